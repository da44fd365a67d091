"""Which topics a cluster of Polygon is asked for, and how those requests fare.

Each topic has frames of its own, because a refusal may name nothing: it is then of the oldest request that has had
no answer. A plan without the topic that prices best is asked for the next one; a symbol that none of them may
price is refused. An unknown topic is never answered, and an unknown ticker is acknowledged and silent.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from realtime.feeds.base import Channel, Mode
from realtime.feeds.polygon_symbols import Cluster, wire_symbols

# Their largest documented example has a few; the server reads a frame at once, so it must not be a megabyte.
PAIRS_A_FRAME = 100
# Requests that nobody answers must not pile up.
REQUESTS_KEPT = 1000

BASE: Mode = "ltpc"
# What every symbol is asked for, and what richer modes add. Minute aggregates are the vendor's own bars and, for
# stocks and options, the day's open and volume.
TOPICS: dict[Cluster, dict[Mode, tuple[str, ...]]] = {
    "stocks": {"ltpc": ("T", "AM"), "quote": ("Q", "A", "LULD", "NOI")},
    "options": {"ltpc": ("T", "AM"), "quote": ("Q", "A")},
    "forex": {"ltpc": ("C",), "quote": ("CA",)},
    "crypto": {"ltpc": ("XT", "XA"), "quote": ("XQ",), "full": ("XL2",)},
    "indices": {"ltpc": ("V", "AM"), "quote": ("A",)},
}
# What can price a symbol, best first.
PRICING: dict[Cluster, tuple[str, ...]] = {
    "stocks": ("T", "A", "AM"),
    "options": ("T", "A", "AM"),
    "forex": ("C", "CAS", "CA"),
    "crypto": ("XT", "XAS", "XA"),
    "indices": ("V", "A", "AM"),
}
# What plans of their own give, where somebody asks for it.
MORE: dict[Cluster, frozenset[str]] = {
    "stocks": frozenset({"FMV", "LV"}),
    "options": frozenset({"FMV", "LV"}),
    "forex": frozenset({"FMV", "LV", "AM"}),
    "crypto": frozenset({"FMV", "LV", "AM"}),
    "indices": frozenset(),
}
ALL = "*"
_PAIR = re.compile(r"\b[A-Z][A-Z0-9]{0,3}\.[^\s,;\"']+")

Wants = Mapping[str, Mode]


def channels(cluster: Cluster, topics: Iterable[str]) -> frozenset[Channel]:
    """Returns what a cluster fills beside quotes: indices and currencies have no trades, only crypto has books."""
    found: set[Channel] = {"bars"}
    if cluster in {"stocks", "options", "crypto"}:
        found.add("trades")
    if cluster == "crypto":
        found.add("book")
    if cluster == "stocks" or "FMV" in MORE[cluster].intersection(topics):
        found.add("notices")
    return frozenset(found)


class _Request:
    """A frame that was sent: one topic, and the pairs of it that were not answered yet."""

    __slots__ = ("open", "topic")

    def __init__(self, topic: str, pairs: Iterable[str]) -> None:
        self.topic = topic
        self.open = dict.fromkeys(pairs)


class Refusal(msgspec.Struct, frozen=True):
    """What follows from a refusal: frames to send, symbols without a price, and the topics that were refused."""

    frames: list[str]
    symbols: tuple[str, ...]
    topics: tuple[str, ...]


class Topics:
    """The subscriptions of one connection.

    Args:
        all_tickers: the topics of the base mode are asked for all tickers at once.
        more: topics beside the usual ones, for every symbol that is wanted in more than the base mode.
    """

    def __init__(self, cluster: Cluster, *, all_tickers: bool = False, more: Iterable[str] = ()) -> None:
        self._cluster = cluster
        self._all_tickers = all_tickers
        self._more = tuple(topic for topic in more if topic in MORE[cluster])
        self.clear()

    def clear(self) -> None:
        """Forgets the last connection."""
        self._modes: dict[str, Mode] = {}
        self._asked: dict[str, set[str]] = {}
        self._asked_for_all: set[str] = set()
        self._denied: dict[str, set[str]] = {}
        self._denied_for_all: set[str] = set()
        self._owners: dict[str, str] = {}
        self._requests: deque[_Request] = deque(maxlen=REQUESTS_KEPT)

    @property
    def is_waiting(self) -> bool:
        """Whether something was asked for that has not been answered."""
        return bool(self._requests)

    # -- asking

    def want(self, wants: Wants) -> list[str]:
        """Returns the frames that make the subscriptions of these symbols those of their modes."""
        self._modes.update(wants)
        added: dict[str, list[str]] = {}
        dropped: dict[str, list[str]] = {}
        for symbol in wants:
            asked, now = self._asked.get(symbol, set()), self._topics(symbol)
            for topic in sorted(now - asked):
                added.setdefault(topic, []).extend(self._pairs(topic, symbol))
            for topic in sorted(asked - now):
                dropped.setdefault(topic, []).extend(self._pairs(topic, symbol))
            self._asked[symbol] = now
        return [*self._unsubscribe(dropped), *self._subscribe(added)]

    def drop(self, symbols: Iterable[str]) -> list[str]:
        dropped: dict[str, list[str]] = {}
        for symbol in symbols:
            self._modes.pop(symbol, None)
            self._denied.pop(symbol, None)  # who follows it again asks again
            for topic in sorted(self._asked.pop(symbol, ())):
                dropped.setdefault(topic, []).extend(self._pairs(topic, symbol))
        return list(self._unsubscribe(dropped))

    def _topics(self, symbol: str) -> set[str]:
        denied = self._denied.get(symbol, set()) | self._denied_for_all
        usual = TOPICS[self._cluster]
        mode = self._modes[symbol]
        wanted = {*usual[BASE]}
        if mode != BASE:
            wanted.update(usual["quote"], self._more)
        if mode == "full":
            wanted.update(usual.get("full", ()))
        best = next((topic for topic in PRICING[self._cluster] if topic not in denied), None)
        if best is not None:
            wanted.add(best)
        return wanted - denied

    def _pairs(self, topic: str, symbol: str) -> list[str]:
        """Returns what stands for a symbol in a frame; nothing where all tickers are asked for already."""
        if self._all_tickers and topic in TOPICS[self._cluster][BASE]:
            if topic in self._asked_for_all:
                return []
            self._asked_for_all.add(topic)
            return [f"{topic}.{ALL}"]
        pairs = [f"{topic}.{name}" for name in wire_symbols(self._cluster, symbol)]
        self._owners.update(dict.fromkeys(pairs, symbol))
        return pairs

    def _subscribe(self, pairs: Mapping[str, list[str]]) -> Iterator[str]:
        for topic in sorted(pairs, key=self._rank):
            for part in _parts(pairs[topic]):
                self._requests.append(_Request(topic, part))
                yield _frame("subscribe", part)

    def _unsubscribe(self, pairs: Mapping[str, list[str]]) -> Iterator[str]:
        for topic in sorted(pairs):
            for part in _parts([pair for pair in pairs[topic] if not pair.endswith(f".{ALL}")]):
                yield _frame("unsubscribe", part)

    def _rank(self, topic: str) -> tuple[int, str]:
        """What prices comes first."""
        pricing = PRICING[self._cluster]
        return (pricing.index(topic) if topic in pricing else len(pricing), topic)

    # -- what is answered

    def acknowledged(self, pair: str) -> None:
        """Takes "subscribed to: T.AAPL"; requests before that one were of topics that the vendor does not know."""
        for number, request in enumerate(self._requests):
            if pair in request.open:
                del request.open[pair]
                for _ in range(number + (not request.open)):
                    self._requests.popleft()
                return

    def refused(self, message: str) -> Refusal:
        """Takes a refusal of what it names, or else of what was asked first and has not been answered."""
        named = (found.rstrip(".!)") for found in _PAIR.findall(message))
        pairs = [pair for pair in named if self._is_ours(pair)]
        if pairs:
            for pair in pairs:
                self.acknowledged(pair)
        elif self._requests:
            pairs = list(self._requests.popleft().open)
        denied = self._deny(pairs)
        frames = self.want({symbol: self._modes[symbol] for symbol in denied if symbol in self._modes})
        without = [symbol for symbol in denied if symbol in self._modes and not self._can_price(symbol)]
        return Refusal(frames, tuple(without), tuple(dict.fromkeys(pair.partition(".")[0] for pair in pairs)))

    def _is_ours(self, pair: str) -> bool:
        topic, _, name = pair.partition(".")
        return pair in self._owners or (name == ALL and topic in self._asked_for_all)

    def _deny(self, pairs: Iterable[str]) -> list[str]:
        """Notes what may not be had, and returns whom that concerns."""
        concerned: dict[str, None] = {}
        for pair in pairs:
            topic, _, name = pair.partition(".")
            if name == ALL:
                self._denied_for_all.add(topic)
                self._asked_for_all.discard(topic)
                concerned.update(dict.fromkeys(self._modes))
            elif (symbol := self._owners.get(pair)) is not None:
                self._denied.setdefault(symbol, set()).add(topic)
                concerned[symbol] = None
        for symbol in concerned:
            self._asked.get(symbol, set()).difference_update(
                self._denied.get(symbol, set()), self._denied_for_all
            )
        return list(concerned)

    def _can_price(self, symbol: str) -> bool:
        return not self._asked.get(symbol, set()).isdisjoint(PRICING[self._cluster])


def _parts(pairs: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(pairs), PAIRS_A_FRAME):
        yield pairs[start : start + PAIRS_A_FRAME]


def _frame(action: str, pairs: Iterable[str]) -> str:
    return msgspec.json.encode({"action": action, "params": ",".join(pairs)}).decode()
