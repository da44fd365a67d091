"""The same events as `polygon`, ten of mixed kinds in each frame, as the vendor sends them when much happens."""

import json

from benchmarks.decoders import Case
from benchmarks.decoders.polygon import FRAMES, events, opened

EVENTS_A_FRAME = 10


def case() -> Case:
    made = events(FRAMES)
    frames = [
        json.dumps(made[start : start + EVENTS_A_FRAME], separators=(",", ":")).encode()
        for start in range(0, len(made), EVENTS_A_FRAME)
    ]
    return Case(opened(), frames, 10_000, "ten trades, quotes and second aggregates a frame")
