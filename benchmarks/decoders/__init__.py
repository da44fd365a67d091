"""What each vendor's decoder is measured with, a module each: `case()` gives a feed and frames as documented."""

from collections.abc import Sequence
from typing import NamedTuple

from realtime.feeds.base import Feed


class Case(NamedTuple):
    """A feed that is open, frames that differ from each other as a market's do, and how many a second are wanted."""

    feed: Feed
    frames: Sequence[bytes]
    target: int
    what: str
