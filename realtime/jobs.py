"""Requests to the process that leads a source: publish these symbols again, freshly fetched where possible.

A job waits in a Redis list that its source's leader empties, and its result lies beside it for an hour. A list
and not a message: what asks may be gone before the answer, and nothing may be lost in between.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from assets.snapshots import connection
from realtime.protocol import now

JOB_SECONDS = 3600


class Job(msgspec.Struct, frozen=True):
    """A request to the process that leads a source: publish these symbols again, freshly fetched where possible."""

    id: str
    symbols: list[str]


def job_key(job_id: str) -> str:
    return f"lf:job:{job_id}"


def request_update(symbols_by_source: Mapping[str, Sequence[str]], user_id: int | None = None) -> str:
    """Hands one job to each source's leader; symbols that nobody serves are under the empty name.

    Returns:
        the job's id.

    Raises:
        redis.RedisError
    """
    job_id = uuid.uuid4().hex
    request = {"user_id": user_id, "symbols": dict(symbols_by_source), "at": now()}
    with connection().pipeline() as pipe:
        pipe.hset(job_key(job_id), "request", msgspec.json.encode(request))
        pipe.expire(job_key(job_id), JOB_SECONDS)
        for source, symbols in symbols_by_source.items():
            if not source:
                continue
            pipe.rpush(f"lf:jobs:{source}", msgspec.json.encode(Job(job_id, list(symbols))))
            pipe.expire(f"lf:jobs:{source}", 60)  # a source that nobody leads forgets
        pipe.execute()
    return job_id


class JobState(msgspec.Struct, frozen=True):
    """What was asked of whom, and what each source's leader has answered so far."""

    user_id: int | None
    requested_at: str
    symbols: dict[str, list[str]]
    results: dict[str, dict[str, Any]]


def read_job(job_id: str) -> JobState | None:
    """Returns a job that is not older than an hour; raises redis.RedisError."""
    found: Any = connection().hgetall(job_key(job_id))
    if b"request" not in found:
        return None
    request = msgspec.json.decode(found.pop(b"request"))
    results = {name.decode(): msgspec.json.decode(text) for name, text in found.items()}
    return JobState(request["user_id"], request["at"], request["symbols"], results)
