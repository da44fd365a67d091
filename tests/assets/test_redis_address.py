"""REDIS_URL: one server, or Sentinels; what makes no sense is refused without telling the password."""

import os
import subprocess
import sys

import pytest
import redis
import redis.asyncio

from assets.redis_address import cache_location, layer_host, new_pool, parse
from tests.live import ROOT


def test_the_address_of_one_server_is_left_as_it_is() -> None:
    for url in ("redis://127.0.0.1:6379/2", "rediss://u:p@host/0", "unix:///run/redis.sock"):
        assert parse(url) is None
        assert layer_host(url) == {"address": url}
        assert cache_location(url) == (url, {})
        assert new_pool(redis.ConnectionPool, url).connection_kwargs.keys() & {"host", "path"}


def test_sentinels_come_with_their_master_and_what_it_is_opened_with() -> None:
    sentinels = parse(
        "redis+sentinel://web:s%40crt@10.0.0.1:26379,[::1]:26380,third.example:1/live%2Dfolio/3"
    )

    assert sentinels is not None
    assert sentinels.hosts == (("10.0.0.1", 26379), ("::1", 26380), ("third.example", 1))
    assert sentinels.service == "live-folio"
    assert sentinels.options == {"username": "web", "password": "s@crt", "db": 3}
    assert "s@crt" not in repr(sentinels)


def test_what_is_left_out_has_its_usual_value() -> None:
    sentinels = parse("redis+sentinel://:secret@one:26379/master")

    assert sentinels is not None
    assert sentinels.options == {"password": "secret"}


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel://one:26379/",
        "redis+sentinel:///master",
        "redis+sentinel://one/master",
        "redis+sentinel://one:26379,/master",
        "redis+sentinel://one:26379,two/master",
        "redis+sentinel://one:port/master",
        "redis+sentinel://one:26379/master/zero",
        "redis+sentinel://one:26379/master/0/1",
        "redis+sentinel://one:26379/master?ssl=1",
    ],
)
def test_an_address_that_makes_no_sense_says_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match="expected redis"):
        parse(url)


def test_settings_refuse_it_by_name_without_its_password() -> None:
    given = {
        "REDIS_URL": "redis+sentinel://:sesame@one:26379",
        "SECRET_KEY": "x",
        "DJANGO_SETTINGS_MODULE": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings.base"], cwd=ROOT, env={**os.environ, **given},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    last = done.stderr.strip().splitlines()[-1]
    assert "REDIS_URL: expected redis+sentinel://" in last
    assert "sesame" not in done.stderr


@pytest.mark.asyncio
async def test_sentinels_that_all_are_away_look_like_a_redis_that_is_away() -> None:
    url = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/master"
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_pool(new_pool(redis.ConnectionPool, url)).ping()
    client = redis.asyncio.Redis.from_pool(new_pool(redis.asyncio.BlockingConnectionPool, url))
    with pytest.raises(redis.ConnectionError):
        await client.ping()
    await client.aclose()
