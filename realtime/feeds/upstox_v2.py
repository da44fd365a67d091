"""Upstox market data V2, which the vendor has discontinued: kept for recordings and for servers that still speak it.

Its messages have other names and numbers than V3's, hence a codec of its own; no market status, 100 instruments.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from assets.market import Bar, Depth, Greeks, Level, Quote
from realtime.feeds.base import Event, FrameError, Mode
from realtime.feeds.upstox_limits import Allotment, Upstream
from realtime.feeds.upstox_market import UpstoxMarket, same_day
from realtime.feeds.upstox_v2_pb2 import (
    LTPC,
    OHLC,
    ExtendedFeedDetails,
    Feed,
    FeedResponse,
    MarketFullFeed,
    OptionChain,
    OptionGreeks,
)
from realtime.feeds.upstox_v2_pb2 import Quote as TwoSides

URL = "wss://api.upstox.com/v2/feed/market-data-feed"
MOST_INSTRUMENTS = 100

_parse = FeedResponse.FromString


class UpstoxV2Feed(UpstoxMarket):
    """The streams of V2; the arguments are those of `UpstoxMarket`."""

    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full", "option_greeks"})
    # Nobody says when the markets are closed.
    silence_after = None

    def __init__(
        self, instruments: Iterable[str] = (), *, url: str = URL, token: str = "", **options: object
    ) -> None:
        super().__init__(instruments, url=url, token=token, **options)  # type: ignore[arg-type]

    def allot(self, wants: Mapping[str, Mode]) -> Allotment:
        modes: dict[str, Upstream] = {s: "ltpc" if mode == "ltpc" else "full" for s, mode in wants.items()}
        too_many = tuple(modes)[MOST_INSTRUMENTS:]
        for symbol in too_many:
            del modes[symbol]
        return Allotment(modes, refused=too_many)

    def read(self, frame: bytes) -> list[Event]:
        """Reads {type: initial_feed, feeds: {"NSE_EQ|INE002A01018": {ff: {…}}}, currentTs: 1740729566039}"""
        response = _parse(frame)
        if not response.currentTs:  # the last field: without it the frame was cut
            raise FrameError("no_time", "expected currentTs, was none")
        return self.read_each(response.feeds, self.moments[response.currentTs])

    def read_feed(self, symbol: str, feed: Feed, now: datetime, events: list[Event]) -> None:
        match feed.WhichOneof("FeedUnion"):
            case "ltpc":
                self.tell(events, symbol, self._quote(symbol, feed.ltpc))
            case "oc":
                self._read_option(symbol, feed.oc, now, events)
            case "ff" if feed.ff.HasField("marketFF"):
                self._read_market(symbol, feed.ff.marketFF, now, events)
            case "ff":
                bars = feed.ff.indexFF.marketOHLC.ohlc
                quote = self._quote(symbol, feed.ff.indexFF.ltpc, bars)
                self.tell(events, symbol, quote, bar=self._minute(symbol, bars, has_volume=False))

    def _read_market(self, symbol: str, full: MarketFullFeed, now: datetime, events: list[Event]) -> None:
        """Reads {ltpc: {…}, marketLevel: {bidAskQuote: [{bq: 100, bp: 1190.5, aq: 20, ap: 1190.6, bidQ: 100, askQ: 20},
        …]}, optionGreeks: {iv: 0.2, …}, marketOHLC: {ohlc: […]}, eFeedDetails: {atp: 1195.1, vtt: 9000, oi: 30, …}}
        """
        bars = full.marketOHLC.ohlc
        quote = self._quote(symbol, full.ltpc, bars, full.eFeedDetails, full.optionGreeks)
        depth = self._depth(symbol, full.marketLevel.bidAskQuote, now)
        self.tell(events, symbol, quote, depth, self._minute(symbol, bars, has_volume=True))

    def _read_option(self, symbol: str, option: OptionChain, now: datetime, events: list[Event]) -> None:
        """Reads {ltpc: {…}, bidAskQuote: {bq: 75, bp: 212.1, …}, optionGreeks: {…}, eFeedDetails: {…}}"""
        quote = self._quote(symbol, option.ltpc, (), option.eFeedDetails, option.optionGreeks)
        self.tell(events, symbol, quote, self._depth(symbol, [option.bidAskQuote], now))

    # -- parts of it

    def _quote(
        self,
        symbol: str,
        last: LTPC,
        bars: Iterable[OHLC] = (),
        details: ExtendedFeedDetails | None = None,
        greeks: OptionGreeks | None = None,
    ) -> Quote | None:
        if not (last.ltp and last.ltt):
            return None
        details = details or ExtendedFeedDetails()
        day, volume, average = next((b for b in bars if b.interval == "1d"), OHLC()), details.vtt, details.atp
        if not same_day(day.ts, last.ltt):
            day, volume, average = OHLC(), 0, 0.0  # a day has begun on which nothing was traded yet
        return Quote(
            symbol=symbol,
            price=self.floats[last.ltp],
            as_of=self.moments[last.ltt],
            last_quantity=self.integers[last.ltq] if last.ltq else None,
            open=self._known(day.open),
            high=self._known(day.high),
            low=self._known(day.low),
            volume=self.integers[volume] if volume else None,
            average_price=self._known(average),
            open_interest=self._known(details.oi),
            greeks=None if greeks is None else self._greeks(greeks),
        )

    def _known(self, value: float) -> Decimal | None:
        return self.floats[value] if value else None

    def _greeks(self, greeks: OptionGreeks) -> Greeks | None:
        """Returns None where all are zero: what is no option has none."""
        names = ("delta", "gamma", "theta", "vega", "rho")
        if not (greeks.iv or any(getattr(greeks, name) for name in names)):
            return None
        values = {name: self.floats[getattr(greeks, name)] for name in names}
        return Greeks(iv=self._known(greeks.iv), **values)

    def _depth(self, symbol: str, levels: Iterable[TwoSides], now: datetime) -> Depth:
        bids: list[Level] = []
        asks: list[Level] = []
        for level in levels:
            # The wider fields came later, beside those of 32 bits.
            if level.bp and (size := level.bidQ or level.bq):
                bids.append((self.floats[level.bp], self.integers[size]))
            if level.ap and (size := level.askQ or level.aq):
                asks.append((self.floats[level.ap], self.integers[size]))
        return Depth(symbol=symbol, bids=tuple(bids), asks=tuple(asks), as_of=now)

    def _minute(self, symbol: str, bars: Iterable[OHLC], *, has_volume: bool) -> Bar | None:
        minute = next((one for one in bars if one.interval == "I1"), None)
        if minute is None or not (minute.ts and minute.open and minute.high and minute.low and minute.close):
            return None
        return Bar(
            symbol=symbol,
            interval="1m",
            start=self.moments[minute.ts],
            open=self.floats[minute.open],
            high=self.floats[minute.high],
            low=self.floats[minute.low],
            close=self.floats[minute.close],
            volume=self.integers[minute.vol or minute.volume] if has_volume else None,
        )
