"""What each valuation was computed from, kept so that it can be computed again: receipts, written down in segments.

A receipt names a basis (the ledger and the closes, which change rarely) and a place in the stream of prices; so a
frame costs a few bytes, however many positions it values. Pure: it makes and reads blobs and stores none.
"""

import secrets
import zlib
from collections.abc import Iterable

import msgspec

# A chain of segments begins with everything known, so that reading a receipt needs no more than its own chain.
SEGMENTS_OF_A_CHAIN = 30
MAX_BLOB_BYTES = 64 * 1024 * 1024

# One price or rate as a valuation used it, encoded; none is empty but that of what is not known any more.
Entry = bytes
GONE: Entry = b""


class ReceiptError(ValueError):
    """No receipt has that name."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts `first` to `last` of one writer."""

    writer: str
    chain: int
    number: int
    first: int
    last: int
    blob: bytes


class _Content(msgspec.Struct, array_like=True):
    """What a blob holds.

    `known` are the prices at the chain's start, `changes` (receipt from which it holds, symbol, price), `bases` those
    that are new by number, `receipts` (portfolio, basis, microseconds since 1970 of its `now`) in order.
    """

    known: dict[str, Entry]
    changes: list[tuple[int, str, Entry]]
    bases: dict[int, bytes]
    receipts: list[tuple[int, int, int]]


class Cut(msgspec.Struct, frozen=True):
    """A segment to be: what a thread makes one of, for a thousand portfolios' bases take a tenth of a second."""

    writer: str
    chain: int
    number: int
    first: int
    last: int
    content: _Content

    def segment(self) -> Segment:
        return Segment(
            writer=self.writer,
            chain=self.chain,
            number=self.number,
            first=self.first,
            last=self.last,
            blob=zlib.compress(_encode(self.content), 1),
        )


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt as it was issued; `prices` has more symbols than the portfolio holds."""

    portfolio_id: int
    basis: bytes
    at_us: int
    prices: dict[str, Entry]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Content).decode


def receipt_id(writer: str, number: int) -> str:
    return f"{writer}-{number:x}"


def parse_id(text: str) -> tuple[str, int]:
    """Returns the writer and the number; raises ReceiptError for what can be no receipt's id."""
    writer, _, number = text.partition("-")
    try:
        if not (len(writer) == 16 and writer.isalnum() and writer.isascii() and 0 < len(number) <= 12):
            raise ValueError
        return writer, int(number, 16)
    except ValueError as error:
        raise ReceiptError(f"expected a receipt's id, was '{text[:40]}'") from error


class ReceiptLog:
    """All receipts of one process, since the last segment was taken."""

    def __init__(self, writer: str | None = None) -> None:
        self.writer = writer or secrets.token_hex(8)
        self._next = 1
        self._first = 1
        self._chain = 0
        self._number = 0
        # As of the last receipt, and told since.
        self._prices: dict[str, Entry] = {}
        self._told: dict[str, Entry] = {}
        self._known: dict[str, Entry] = {}
        self._changes: list[tuple[int, str, Entry]] = []
        self._receipts: list[tuple[int, int, int]] = []
        self._bases: dict[int, bytes] = {}
        self._new_bases: dict[int, bytes] = {}
        self._unneeded: list[int] = []
        self._next_basis = 1

    @property
    def is_empty(self) -> bool:
        return not self._receipts

    def price(self, symbol: str, entry: Entry) -> None:
        """Every later receipt is at this price, until the next one."""
        self._told[symbol] = entry

    def forget_price(self, symbol: str) -> None:
        """Later receipts have no price of it."""
        if symbol in self._prices:
            self._told[symbol] = GONE
        else:
            self._told.pop(symbol, None)

    def basis(self, content: bytes) -> int:
        """Keeps what does not change with prices; returns the number by which receipts name it."""
        number, self._next_basis = self._next_basis, self._next_basis + 1
        self._bases[number] = self._new_bases[number] = content
        return number

    def forget_basis(self, number: int) -> None:
        """No later receipt names it; those that wait to be taken may."""
        self._unneeded.append(number)

    def issue(self, portfolio_id: int, basis: int, at_us: int) -> str:
        """Returns the id of a new receipt, at the prices told so far."""
        number, self._next = self._next, self._next + 1
        if self._told:
            self._changes += [(number, symbol, entry) for symbol, entry in self._told.items()]
            _update(self._prices, self._told.items())
            self._told = {}
        self._receipts.append((portfolio_id, basis, at_us))
        return receipt_id(self.writer, number)

    def take(self) -> Segment | None:
        """Returns what was issued since the last call, to be stored; None if nothing was."""
        cut = self.cut()
        return None if cut is None else cut.segment()

    def cut(self) -> "Cut | None":
        """As `take`, but leaves the compressing to whoever stores it."""
        if not self._receipts:
            return None
        begins = self._number == 0
        content = _Content(
            known=self._known if begins else {},
            changes=self._changes,
            bases=dict(self._bases) if begins else self._new_bases,
            receipts=self._receipts,
        )
        cut = Cut(self.writer, self._chain, self._number, self._first, self._next - 1, content)
        self._number += 1
        self._first = self._next
        self._changes, self._receipts, self._new_bases = [], [], {}
        for unneeded in self._unneeded:
            self._bases.pop(unneeded, None)
        self._unneeded = []
        if self._number == SEGMENTS_OF_A_CHAIN:
            self.begin_chain()
        return cut

    def begin_chain(self) -> None:
        """Lets the next segment be read without those before it; only while nothing waits to be taken."""
        if self._receipts:
            raise ValueError(f"expected nothing to be taken, was {len(self._receipts)} receipts")
        if self._number:
            self._chain, self._number = self._chain + 1, 0
        self._known = dict(self._prices)


def _update(prices: dict[str, Entry], entries: Iterable[tuple[str, Entry]]) -> None:
    for symbol, entry in entries:
        if entry == GONE:
            prices.pop(symbol, None)
        else:
            prices[symbol] = entry


def issue_alone(portfolio_id: int, basis: bytes, at_us: int, prices: dict[str, Entry]) -> Segment:
    """Returns a segment of one receipt, for a valuation that nobody streams."""
    log = ReceiptLog()
    for symbol, entry in prices.items():
        log.price(symbol, entry)
    log.issue(portfolio_id, log.basis(basis), at_us)
    segment = log.take()
    assert segment is not None
    return segment


def find(segments: Iterable[Segment], number: int) -> Receipt:
    """Returns a receipt out of its chain's segments, from the first to the one that has it.

    Raises:
        ReceiptError: the segments do not lead to it.
    """
    prices: dict[str, Entry] = {}
    bases: dict[int, bytes] = {}
    for wanted, segment in enumerate(segments):
        if segment.number != wanted:
            break
        content = _decode(zlib.decompress(segment.blob, bufsize=MAX_BLOB_BYTES))
        bases.update(content.bases)
        prices.update(content.known)
        _update(prices, ((symbol, entry) for since, symbol, entry in content.changes if since <= number))
        if segment.first <= number <= segment.last:
            portfolio_id, basis, at_us = content.receipts[number - segment.first]
            return Receipt(portfolio_id=portfolio_id, basis=bases[basis], at_us=at_us, prices=prices)
    raise ReceiptError("expected all segments from the chain's first one on")
