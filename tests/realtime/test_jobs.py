"""Requests for fresh prices, in a real Redis between whoever asks and the process that leads a source."""

import pytest

from assets.snapshots import connection
from realtime.jobs import read_job, request_update
from tests.realtime.conftest import MakeFeed

pytestmark = pytest.mark.asyncio


async def test_a_job_reaches_each_sources_leader_once_and_its_result_can_be_read(feed: MakeFeed) -> None:
    simulator = feed()
    asked = {"simulator": ["AAPL", "MSFT"], "coinbase": ["BTC-USD"], "": ["FUND"]}
    job_id = request_update(asked, user_id=7)

    job = await simulator.next_job()
    assert job is not None and (job.id, job.symbols) == (job_id, ["AAPL", "MSFT"])
    assert await simulator.next_job() is None
    assert await feed(source="coinbase").next_job() is not None
    await simulator.finish_job(job, ["AAPL"], {"MSFT": "no answer"})

    found = read_job(job_id)
    assert found is not None
    assert (found.user_id, found.symbols) == (7, asked)
    assert found.results.keys() == {"simulator"}
    result = found.results["simulator"]
    assert (result["updated"], result["failed"]) == (["AAPL"], {"MSFT": "no answer"})
    assert found.requested_at <= result["finished_at"]


async def test_jobs_keep_their_order(feed: MakeFeed) -> None:
    leader = feed()
    ids = [request_update({"simulator": [symbol]}, user_id=1) for symbol in ("A", "B", "C")]

    taken = [await leader.next_job() for _ in ids]

    assert [job.id for job in taken if job] == ids


async def test_a_job_for_a_source_that_nobody_leads_is_forgotten() -> None:
    job_id = request_update({"nobody": ["AAPL"]}, user_id=1)

    assert 0 < connection().ttl("lf:jobs:nobody") <= 60
    assert 0 < connection().ttl(f"lf:job:{job_id}") <= 3600
    assert read_job("unknown") is None
