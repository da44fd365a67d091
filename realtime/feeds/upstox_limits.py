"""Which of Upstox's modes each instrument is asked for in, within what one connection may carry.

Pure. The vendor counts keys a mode: so many if it is the only one in use, fewer beside others. Nobody loses a price
because somebody else wants depth: whoever comes too late for a rich mode stays in a cheaper one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from realtime.feeds.base import Mode

Upstream = Literal["ltpc", "option_greeks", "full", "full_d30"]
# The cheapest first, so that there is room when the dear ones are asked for.
UPSTREAM: tuple[Upstream, ...] = ("ltpc", "option_greeks", "full", "full_d30")

# Of a plain account. That of full_d30 is not published; so many books of 30 levels is what people look at.
ALONE: Mapping[Upstream, int] = {"ltpc": 5000, "option_greeks": 3000, "full": 2000, "full_d30": 50}
BESIDE_OTHERS: Mapping[Upstream, int] = {"ltpc": 2000, "option_greeks": 2000, "full": 1500, "full_d30": 50}

# There is no mode `quote`, and `option_greeks` has no open, high and low: only `full` fills either.
_STEPS: Mapping[Mode, tuple[Upstream, ...]] = {
    "ltpc": ("ltpc", "full", "option_greeks"),
    "quote": ("full", "ltpc", "option_greeks"),
    "full": ("full", "ltpc", "option_greeks"),
    "option_greeks": ("full", "option_greeks", "ltpc"),
    "full_d30": ("full_d30", "full", "ltpc", "option_greeks"),
}


class Allotment(NamedTuple):
    """`modes`: how each instrument is asked for; `lowered`: those that get less than is wanted; `refused`: no room."""

    modes: dict[str, Upstream]
    lowered: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def allot(
    wants: Mapping[str, Mode],
    *,
    alone: Mapping[Upstream, int] = ALONE,
    beside: Mapping[Upstream, int] = BESIDE_OTHERS,
    has_d30: bool = True,
) -> Allotment:
    """Shares out what there is; who was there first goes first."""
    steps = {symbol: _steps(mode, has_d30) for symbol, mode in wants.items()}
    first = {choices[0] for choices in steps.values()}
    if len(first) == 1 and len(wants) <= alone[(only := next(iter(first)))]:
        return Allotment(dict.fromkeys(wants, only))
    if first == {"ltpc"} or len(wants) > beside["ltpc"] + beside["full"]:
        return _all_cheap(wants, steps, alone["ltpc"])
    return _mixed(steps, beside)


def _steps(mode: Mode, has_d30: bool) -> tuple[Upstream, ...]:
    return tuple(step for step in _STEPS[mode] if has_d30 or step != "full_d30")


def _all_cheap(wants: Iterable[str], steps: Mapping[str, tuple[Upstream, ...]], room: int) -> Allotment:
    symbols = list(wants)
    kept = symbols[:room]
    lowered = tuple(symbol for symbol in kept if steps[symbol][0] != "ltpc")
    return Allotment(dict.fromkeys(kept, "ltpc"), lowered, tuple(symbols[room:]))


def _mixed(steps: Mapping[str, tuple[Upstream, ...]], room: Mapping[Upstream, int]) -> Allotment:
    taken: Counter[Upstream] = Counter()
    modes: dict[str, Upstream] = {}
    # Those that want more choose first; what is left of the rich modes takes whom the cheap one has no room for.
    for symbol in sorted(steps, key=lambda symbol: steps[symbol][0] == "ltpc"):
        mode = next(step for step in steps[symbol] if taken[step] < room[step])
        taken[mode] += 1
        modes[symbol] = mode
    wanted = (symbol for symbol in steps if steps[symbol][0] != "ltpc")
    return Allotment(modes, tuple(symbol for symbol in wanted if modes[symbol] != steps[symbol][0]))
