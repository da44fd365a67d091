"""What each feed brings to the contract suite (`test_contract.py`): one `Entry`, in a file of its own in `entries/`.

`entries/acme.py` holds `ENTRY = Entry(name="acme", ...)`, or `ENTRIES`, a list of them. Each is asked all that the
suite asks; what a field is needed for is said at the field, and what a vendor cannot do is left at its default.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from assets.market import Quote, Trade
from realtime.feeds.base import Event, Feed, Frame, FrameError
from tests.vendors.server import VendorServer

# What no feed of text frames can use. A binary one says which of them are empty messages to it.
NONSENSE: tuple[bytes, ...] = (b"", b"\xff\xfe", b"[" * 100_000, b"null", b"<html>502</html>", b'{"type":')
SESSION_FAST = float("inf")

Ask = tuple[Callable[[Feed], Sequence[Frame]], Sequence[Any]]


def last_quotes(events: Iterable[Event]) -> dict[str, str]:
    """Returns the price of each symbol's last quote, as text."""
    return {event.symbol: str(event.price) for event in events if isinstance(event, Quote)}


def last_trades(events: Iterable[Event]) -> dict[str, str]:
    """Returns the price of each symbol's last trade that moves a price, as text."""
    return {
        event.symbol: str(event.price) for event in events if isinstance(event, Trade) and event.updates_last
    }


def _as_json(frame: Frame) -> Any:
    return json.loads(frame)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One feed, what its vendor sends, and its vendor's loopback server.

    Attributes:
        name: as the tests are to be called.
        make: `make()`, or `make(url, symbols)` for a feed of the loopback server; `url` is the server's.
        symbols: two that the session prices, or more; none for a stream of the account.
        frames: a session of one connection, from the vendor's first frame on, as it comes out of a socket; at least
            four of them say a price.
        told: single frames and exactly what they say, in their order on one connection (see `opened`).
        asks: what is asked of an opened feed (`lambda feed: feed.subscribe(...)`), and the frames it is to send, each
            as `read_request` reads it.
        read_request: a request frame as something to compare, without what differs each time (ids, signatures).
        binary_requests: the vendor takes its requests in binary frames.
        unknown: frames of kinds that the feed does not know; they say nothing.
        nonsense: frames that are a FrameError.
        part_of_a_frame_speaks: the beginning of a frame may be a whole one, as with protobuf.
        serve: `serve(fault)` makes the server of the session, which each of its connections hears from the beginning;
            None: there is no socket.
        prices: the last price of each symbol, as text, of the events of a session, or whatever else it says last of
            things by name; `last`: what they are to be.
        frames_before_data: how many frames of a connection come before the one that says a price.
        garbage_is_counted: the server's garbage are frames that the feed has to count.
        bad: symbols that the vendor does not know, and its reason, in part; None: it says nothing at all.
        refusal: what a vendor that refuses our key makes the feed say, in part; None: there is no key.
        secrets: what must be in no log, state or error.
        permanent: answers to the handshake after which only a person can help.
        followed: the symbols that the requests of one connection add up to.
        wrong_urls: addresses that can never be right; `nowhere`: a right one where nobody listens.
        pushed_out_waits: seconds that a feed waits at least which the vendor dropped for a newer connection.
        frames_per_second: what its decoder is to reach in `benchmarks.decoders`; 0: it is not measured.
        documented: the frames that are measured so, if not those of the session: where the vendor documents one event
            a frame and the session has several.
    """

    name: str
    make: Callable[..., Feed]
    symbols: tuple[str, ...]
    frames: Sequence[bytes]
    told: Sequence[tuple[bytes, Sequence[Event]]] = ()
    asks: Sequence[Ask] = ()
    read_request: Callable[[Frame], Any] = _as_json
    binary_requests: bool = False
    unknown: Sequence[bytes] = ()
    nonsense: Sequence[bytes] = NONSENSE
    part_of_a_frame_speaks: bool = False
    serve: Callable[[str], VendorServer[Any]] | None = None
    prices: Callable[[Iterable[Event]], dict[str, str]] = last_quotes
    last: Mapping[str, str] = field(default_factory=dict)
    frames_before_data: int = 0
    garbage_is_counted: bool = True
    bad: Mapping[str, str | None] = field(default_factory=dict)
    refusal: str | None = None
    secrets: Sequence[str] = ()
    permanent: Sequence[int] = (401, 403)
    followed: Callable[[Sequence[Any]], set[str]] = lambda requests: set()
    wrong_urls: Sequence[str] = ("http://127.0.0.1:1/", "nonsense", "ws://")
    nowhere: str = "ws://127.0.0.1:1"
    pushed_out_waits: float = 30.0
    frames_per_second: int = 100_000
    documented: Sequence[bytes] = ()

    def opened(self, *args: Any) -> Feed:
        """Returns a feed on a connection that has just been opened."""
        feed = self.make(*args)
        feed.opened(dict.fromkeys(self.symbols, feed.base_mode))
        return feed


def entries() -> list[Entry]:
    """Returns every entry of the folder, by file name."""
    found: list[Entry] = []
    for path in sorted((Path(__file__).parent / "entries").glob("*.py")):
        module = import_module(f"tests.realtime.feeds.entries.{path.stem}")
        found += getattr(module, "ENTRIES", None) or [module.ENTRY]
    return found


def is_bad(feed: Feed, frame: bytes) -> bool:
    try:
        feed.decode(frame)
    except FrameError:
        return True
    return False
