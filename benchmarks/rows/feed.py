"""Row 8: decoding and keeping books, in memory; `benchmarks/feed_decode.py` measures, in a process of its own."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.outcome import Check, Outcome, Row, left_out
from benchmarks.programs import ROOT, ServerError
from benchmarks.report import times

MODULE = "benchmarks.feed_decode"
RECORDING = "recordings/coinbase-exchange-2021-04-17.tsv"
WITHIN_SECONDS = 300.0


def recording() -> Path | None:
    """Returns the recording that COINBASE_RECORDING names, else the one beside the project, if it is there."""
    named = os.environ.get("COINBASE_RECORDING")
    path = Path(named) if named else ROOT.parent / "shared" / RECORDING
    return path if path.is_file() else None


def decoding(bench: Bench) -> Outcome:
    if find_spec(MODULE) is None:
        return left_out(f"{MODULE} is not there")
    path = recording()
    if path is None:
        return left_out("no recording; COINBASE_RECORDING names one")
    words = ("-m", MODULE, "--json", *(["--short"] if bench.short else []))
    environment = {"COINBASE_RECORDING": str(path)}
    printed = bench.servers.programs.once(*words, environment=environment, timeout=WITHIN_SECONDS)
    lines = printed.strip().splitlines()
    if not lines:
        raise ServerError(f"{MODULE} printed nothing")
    return outcome_of(json.loads(lines[-1]))


def outcome_of(told: dict[str, Any]) -> Outcome:
    ours, theirs, ratio = (
        told[name] for name in ("ours_frames_per_second", "cryptofeed_frames_per_second", "ratio")
    )
    reached = f"{ours:,.0f} frames/s of {told['frames']:,} recorded ones"
    if ratio is None:
        return Outcome(reached=reached, note=f"left out: {told.get('note') or 'cryptofeed is not installed'}")
    return Outcome(
        reached=f"{reached}, cryptofeed {theirs:,.0f}",
        ratio=f"{times(ratio)} cryptofeed",
        checks=(Check("ratio", ratio, least=2),),
    )


ROWS = (
    Row(
        "8",
        "feed in memory: recorded frames to batches, whole books kept with Decimals",
        "≥ 2 x cryptofeed 2.3.2's compiled handler",
        decoding,
    ),
)
