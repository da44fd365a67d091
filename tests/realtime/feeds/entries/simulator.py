"""The simulated market: its frames are spans of time."""

from realtime.feeds.simulator import SimulatorFeed, symbols
from tests.realtime.feeds.contract import Entry

THREE = symbols(3)

ENTRY = Entry(
    name="simulator",
    make=lambda: SimulatorFeed(THREE),
    symbols=tuple(one.symbol for one in THREE),
    frames=[b"%d %d" % (second * 10**6, (second + 1) * 10**6) for second in range(200_000_000, 200_000_050)],
    part_of_a_frame_speaks=True,
    frames_per_second=0,  # a frame of it stands for whole seconds of a market
)
