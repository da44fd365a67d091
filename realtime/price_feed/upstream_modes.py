"""Which mode to ask a vendor for, when people want different things of one instrument."""

from collections.abc import Collection, Mapping

from realtime.feeds.base import Mode

# From the least to the most that a vendor sends; where there are greeks at all, `full` has them too.
RICHNESS: tuple[Mode, ...] = ("ltpc", "quote", "option_greeks", "full", "full_d30")
# Where a book, or thirty levels, are wanted: the deepest that there is.
DEEPEST: tuple[Mode, ...] = ("full_d30", "full")


def upstream_modes(
    wants: Mapping[str, Collection[str]], modes: Collection[Mode], base: Mode = "quote"
) -> dict[str, Mode]:
    """Returns the richest mode that is wanted of each symbol and that the feed has, where that is more than the base.

    Thirty levels that only another source of the symbol has are five of this one.

    Args:
        wants: symbol to modes and channels.
        modes: those of the feed.
        base: what the feed follows every symbol in.
    """
    found: dict[str, Mode] = {}
    richer = RICHNESS[RICHNESS.index(base) + 1 :]
    for symbol, wanted in wants.items():
        is_deep = "book" in wanted or "full_d30" in wanted
        deepest = next((mode for mode in DEEPEST if is_deep and mode in modes), None)
        for mode in richer:
            if mode in modes and (mode in wanted or mode == deepest):
                found[symbol] = mode
    return found
