"""The events of Polygon's frames, one struct each, and the values that they are.

Numbers come as JSON numbers of a binary double, so they are read as one and converted by their shortest text; a
fractional size comes as text beside the rounded one, and is preferred. Times are Unix milliseconds but for some
topics, whose samples are nanoseconds while their documentation says milliseconds: told apart by their size.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeAlias

import msgspec

from assets.market import (
    Bar,
    BidAsk,
    Conversions,
    Depth,
    Level,
    MarketNotice,
    Quote,
    Side,
    Trade,
    from_float,
    parse_decimal,
)
from realtime.feeds.polygon_conditions import Effect
from realtime.feeds.polygon_symbols import Cluster

HALF = Decimal("0.5")
# Later times than these are in a finer unit; in milliseconds the first is the year 5138.
MILLISECONDS_END, MICROSECONDS_END = 10**14, 10**17
# Of crypto trades.
SIDES: dict[int, Side] = {1: "sell", 2: "buy"}

# No size of theirs is longer, and a longer one would cost us its conversion.
_Text = Annotated[str, msgspec.Meta(max_length=40)]
_Id = str | int


class TradeEvent(msgspec.Struct, gc=False, tag_field="ev", tag="T"):
    sym: str
    p: float
    t: int
    s: float | None = None
    ds: _Text | None = None
    c: tuple[int, ...] | None = None
    x: _Id = ""
    i: _Id = ""
    z: int = 0
    q: int | None = None
    trfi: _Id | None = None


class QuoteEvent(msgspec.Struct, gc=False, tag_field="ev", tag="Q"):
    sym: str
    t: int
    bp: float | None = None
    bs: float | None = None
    ap: float | None = None
    size: float | None = msgspec.field(default=None, name="as")


class _Aggregate(msgspec.Struct, gc=False, kw_only=True):
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - theirs
    s: int
    e: int | None = None
    v: float | None = None


class SecondEvent(_Aggregate, gc=False, kw_only=True, tag_field="ev", tag="A"):
    sym: str
    av: float | None = None
    op: float | None = None
    a: float | None = None
    dv: _Text | None = None
    dav: _Text | None = None


class MinuteEvent(SecondEvent, gc=False, kw_only=True, tag_field="ev", tag="AM"):
    pass


class PriceBandsEvent(msgspec.Struct, gc=False, tag_field="ev", tag="LULD"):
    T: str
    t: int
    h: float | None = None
    l: float | None = None  # noqa: E741
    i: tuple[int, ...] | None = None


class ImbalanceEvent(msgspec.Struct, gc=False, tag_field="ev", tag="NOI"):
    T: str
    t: int
    o: float
    p: float | None = None
    b: float | None = None
    a: str = ""


class FairValueEvent(msgspec.Struct, gc=False, tag_field="ev", tag="FMV"):
    sym: str
    fmv: float
    t: int


class LaunchpadEvent(msgspec.Struct, gc=False, tag_field="ev", tag="LV"):
    sym: str
    val: float
    t: int


class IndexEvent(msgspec.Struct, gc=False, tag_field="ev", tag="V"):
    T: str
    val: float
    t: int


class ForexEvent(msgspec.Struct, gc=False, tag_field="ev", tag="C"):
    p: str
    t: int
    a: float | None = None
    b: float | None = None


class _PairAggregate(_Aggregate, gc=False, kw_only=True):
    pair: str


class ForexMinuteEvent(_PairAggregate, gc=False, kw_only=True, tag_field="ev", tag="CA"):
    pass


class ForexSecondEvent(_PairAggregate, gc=False, kw_only=True, tag_field="ev", tag="CAS"):
    pass


class CryptoTradeEvent(msgspec.Struct, gc=False, tag_field="ev", tag="XT"):
    pair: str
    p: float
    t: int
    s: float | None = None
    ds: _Text | None = None
    c: tuple[int, ...] | None = None
    x: _Id = ""
    i: _Id = ""


class CryptoQuoteEvent(msgspec.Struct, gc=False, tag_field="ev", tag="XQ"):
    pair: str
    t: int
    bp: float | None = None
    bs: float | None = None
    ap: float | None = None
    size: float | None = msgspec.field(default=None, name="as")
    x: _Id = ""


class BookEvent(msgspec.Struct, tag_field="ev", tag="XL2"):
    pair: str
    t: int
    b: list[tuple[float, float]] = []
    a: list[tuple[float, float]] = []
    x: _Id = ""


class CryptoMinuteEvent(_PairAggregate, gc=False, kw_only=True, tag_field="ev", tag="XA"):
    pass


class CryptoSecondEvent(_PairAggregate, gc=False, kw_only=True, tag_field="ev", tag="XAS"):
    pass


class StatusEvent(msgspec.Struct, gc=False, tag_field="ev", tag="status"):
    status: str = ""
    message: str = ""


_Common: TypeAlias = StatusEvent | FairValueEvent | LaunchpadEvent | MinuteEvent
_Stocks: TypeAlias = _Common | TradeEvent | QuoteEvent | SecondEvent | PriceBandsEvent | ImbalanceEvent
_Options: TypeAlias = _Common | TradeEvent | QuoteEvent | SecondEvent
_Forex: TypeAlias = _Common | ForexEvent | ForexMinuteEvent | ForexSecondEvent
_Crypto: TypeAlias = (
    _Common | CryptoTradeEvent | CryptoQuoteEvent | BookEvent | CryptoMinuteEvent | CryptoSecondEvent
)
_Indices: TypeAlias = StatusEvent | IndexEvent | SecondEvent | MinuteEvent
AnyEvent: TypeAlias = _Stocks | _Forex | _Crypto | _Indices
Decode: TypeAlias = Callable[[bytes], list[AnyEvent]]
DecodeOne: TypeAlias = Callable[[msgspec.Raw], AnyEvent]

# What an event is depends on its cluster: one that does not belong to it is not known there.
_EVENTS: dict[Cluster, object] = {
    "stocks": _Stocks,
    "options": _Options,
    "forex": _Forex,
    "crypto": _Crypto,
    "indices": _Indices,
}
KINDS: dict[Cluster, frozenset[str]] = {
    "stocks": frozenset({"status", "FMV", "LV", "AM", "T", "Q", "A", "LULD", "NOI"}),
    "options": frozenset({"status", "FMV", "LV", "AM", "T", "Q", "A"}),
    "forex": frozenset({"status", "FMV", "LV", "AM", "C", "CA", "CAS"}),
    "crypto": frozenset({"status", "FMV", "LV", "AM", "XT", "XQ", "XL2", "XA", "XAS"}),
    "indices": frozenset({"status", "V", "A", "AM"}),
}


def decoders(cluster: Cluster) -> tuple[Decode, DecodeOne]:
    """Returns what reads a whole frame, and what reads one event of it."""
    events = _EVENTS[cluster]
    return (
        msgspec.json.Decoder(list[events]).decode,  # type: ignore[valid-type]
        msgspec.json.Decoder(events).decode,
    )


class _Head(msgspec.Struct):
    ev: str


_head_decoder = msgspec.json.Decoder(_Head)


def kind_of(raw: msgspec.Raw) -> str | None:
    """Returns what an event calls itself; None if it is no event."""
    try:
        return _head_decoder.decode(raw).ev
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


# -- numbers and times


def _level_price(number: float) -> Decimal:
    if number <= 0:
        raise ValueError(f"expected a price above zero, was {number}")
    return from_float(number)


def _level_size(number: float) -> Decimal:
    if number < 0:
        raise ValueError(f"expected a size of at least zero, was {number}")
    return from_float(number)


def _size(text: str) -> Decimal:
    value = parse_decimal(text)
    return Decimal(int(value)) if value == value.to_integral_value() else value


def _side(conditions: tuple[int, ...]) -> Side | None:
    return next((SIDES[condition] for condition in conditions if condition in SIDES), None)


def instant(t: int) -> datetime:
    """Returns the moment of a vendor's time, whichever unit it is in; raises ValueError for one that cannot be."""
    if 0 < t < MILLISECONDS_END:
        return datetime.fromtimestamp(t / 1000, UTC)
    if t <= 0:
        raise ValueError(f"expected a time, was {t}")
    per_second = 10**6 if t < MICROSECONDS_END else 10**9
    seconds, rest = divmod(t, per_second)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 10**6 // per_second)


# -- values


class Values:
    """Makes values of events; keeps nothing but numbers that it has seen."""

    def __init__(self) -> None:
        self.number = Conversions(from_float)
        self.size = Conversions(_size)
        self._level_price = Conversions(_level_price)
        self._level_size = Conversions(_level_size)
        self._side = Conversions(_side)

    def optional(self, number: float | None) -> Decimal | None:
        return None if number is None else self.number[number]

    def offered(self, number: float | None) -> Decimal | None:
        """Returns a bid or an ask; zero stands for none."""
        return self.number[number] if number else None

    def amount(self, text: str | None, number: float | None) -> Decimal | None:
        if text:
            return self.size[text]
        return None if number is None else self.number[number]

    def trade(self, event: TradeEvent, symbol: str, effect: Effect) -> Trade:
        """Reads {"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"ds":"100.5","c":[0,12],
        "t":1536036818784,"q":3681328,"trfi":201,"trft":1536036818780} and
        {"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[233],"t":1629820676333,"q":651921857}
        """
        size = self.size[event.ds] if event.ds else self.number[event.s or 0.0]
        # Ids are unique within one exchange and, off exchange, one reporting facility. A trade of an option has none,
        # but a number that is unique within its contract.
        number = event.i or event.q
        trade_id = f"{event.x}-{number}" if event.trfi is None else f"{event.x}-{event.trfi}-{number}"
        return Trade(
            symbol=symbol,
            price=self.number[event.p],
            quantity=size,
            as_of=instant(event.t),
            trade_id=trade_id if number else "",
            updates_last=effect.last,
            updates_high_low=effect.high_low,
            updates_volume=effect.volume,
        )

    def official_close(self, event: TradeEvent, symbol: str) -> Quote:
        """Reads {"ev":"T","sym":"MSFT","x":12,"z":3,"p":114.2,"s":2000,"c":[15],"t":1536091200784}"""
        price = self.number[event.p]
        return Quote(symbol=symbol, price=price, as_of=instant(event.t), official_close=price)

    def bid_ask(self, event: QuoteEvent | CryptoQuoteEvent, symbol: str) -> BidAsk:
        """Reads {"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],
        "t":1536036818784,"q":50385480,"z":3} and
        {"ev":"XQ","pair":"BTC-USD","bp":33712.7,"bs":0.16,"ap":33718.23,"as":2.5,"t":1610412257417,"x":1,"r":1610412257446}
        """
        bid, ask = event.bp, event.ap
        return BidAsk(
            symbol=symbol,
            as_of=instant(event.t),
            bid=self.number[bid] if bid else None,
            ask=self.number[ask] if ask else None,
            bid_quantity=self.optional(event.bs) if bid else None,
            ask_quantity=self.optional(event.size) if ask else None,
        )

    def forex(self, event: ForexEvent, symbol: str) -> Quote | BidAsk:
        """Reads {"ev":"C","p":"USD/CNH","x":"44","a":6.83366,"b":6.83363,"t":1536036818784}

        A pair has no last trade: its price is the middle between what is bid and what is asked.
        """
        bid, ask = self.offered(event.b), self.offered(event.a)
        as_of = instant(event.t)
        if bid is None or ask is None:
            return BidAsk(symbol=symbol, as_of=as_of, bid=bid, ask=ask)
        return Quote(symbol=symbol, price=(bid + ask) * HALF, as_of=as_of, bid=bid, ask=ask)

    def crypto_trade(self, event: CryptoTradeEvent, symbol: str) -> Trade:
        """Reads {"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"i":14272084,
        "x":3,"r":1610462007576}
        """
        return Trade(
            symbol=symbol,
            price=self.number[event.p],
            quantity=self.size[event.ds] if event.ds else self.number[event.s or 0.0],
            as_of=instant(event.t),
            side=self._side[event.c] if event.c else None,
            trade_id=f"{event.x}-{event.i}",
        )

    def book(self, event: BookEvent, symbol: str) -> Depth:
        """Reads {"ev":"XL2","pair":"BTC-USD","t":1610462411115,"r":1610462411128,"x":1,
        "b":[[33712.7,0.16],[33712.1,0.5]],"a":[[33718.23,2.5]]}
        """
        return Depth(
            symbol=symbol,
            bids=tuple(sorted(self._levels(event.b), reverse=True)),
            asks=tuple(sorted(self._levels(event.a))),
            as_of=instant(event.t),
        )

    def _levels(self, pairs: list[tuple[float, float]]) -> list[Level]:
        price_of, size_of = self._level_price, self._level_size
        return [(price_of[price], size_of[size]) for price, size in pairs if size]

    def index(self, event: IndexEvent, symbol: str) -> Quote:
        """Reads {"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}"""
        return Quote(symbol=symbol, price=self.number[event.val], as_of=instant(event.t))

    def launchpad(self, event: LaunchpadEvent, symbol: str) -> Quote:
        """Reads {"ev":"LV","val":189.22,"sym":"AAPL","t":1678220098130}"""
        return Quote(symbol=symbol, price=self.number[event.val], as_of=instant(event.t))

    def bar(self, event: _Aggregate, symbol: str, volume: Decimal | None) -> Bar:
        """Reads {"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,
        "h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000} and
        {"ev":"XA","pair":"BCD-USD","v":951.61,"vw":0.7756,"z":73,"o":0.772,"c":0.784,"h":0.784,"l":0.771,
        "s":1610463240000,"e":1610463300000}
        """
        number = self.number
        opened, high, low, close = number[event.o], number[event.h], number[event.l], number[event.c]
        if not low <= min(opened, close) <= max(opened, close) <= high:
            raise ValueError(f"expected open, high, low and close, was {opened}, {high}, {low}, {close}")
        return Bar(
            symbol=symbol,
            interval="1m",
            start=instant(event.s),
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )

    def day(self, event: SecondEvent, symbol: str, price: Decimal, as_of: datetime) -> Quote:
        """Reads what an aggregate says of the whole day, beside a price and its time.

        {"ev":"A","sym":"SPCE","v":200,"dv":"200.5","av":8642007,"dav":"8642007.25","op":25.66,"vw":25.3981,
        "o":25.39,"c":25.39,"h":25.39,"l":25.39,"a":25.3714,"z":50,"s":1610144868000,"e":1610144869000}
        """
        return Quote(
            symbol=symbol,
            price=price,
            as_of=as_of,
            open=self.offered(event.op),
            volume=self.amount(event.dav, event.av),
            average_price=self.offered(event.a),
        )

    def notice(self, event: PriceBandsEvent | ImbalanceEvent | FairValueEvent, symbol: str) -> MarketNotice:
        """Reads {"ev":"LULD","T":"MSFT","h":218.02,"l":197.26,"i":[16],"z":3,"t":1601316169400285200,"q":8} and
        {"ev":"NOI","T":"NTEST.Q","t":1601318039223013600,"at":930,"a":"M","i":44,"x":10,"o":480,"p":440,"b":25.03} and
        {"ev":"FMV","fmv":189.22,"sym":"AAPL","t":1678220098130}
        """
        figures: dict[str, Decimal | str] = {}
        if isinstance(event, FairValueEvent):
            figures["value"] = self.number[event.fmv]
            return MarketNotice(symbol=symbol, kind="fair_value", as_of=instant(event.t), figures=figures)
        if isinstance(event, PriceBandsEvent):
            known = {"high": self.offered(event.h), "low": self.offered(event.l)}
            figures |= {name: value for name, value in known.items() if value is not None}
            if event.i:
                figures["indicators"] = ",".join(map(str, event.i))
            return MarketNotice(symbol=symbol, kind="price_bands", as_of=instant(event.t), figures=figures)
        figures["quantity"] = abs(self.number[event.o])
        if event.o < 0:
            figures["side"] = "sell"
        known = {"paired_quantity": self.optional(event.p), "reference_price": self.offered(event.b)}
        figures |= {name: value for name, value in known.items() if value is not None}
        if event.a:
            figures["auction"] = event.a
        return MarketNotice(symbol=symbol, kind="imbalance", as_of=instant(event.t), figures=figures)
