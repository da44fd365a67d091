"""Upstox market data V3: JSON in, protobuf out.

A field that is left out is zero and means that there is none: no `ltp` is no price, no `bidP` nobody who bids. The
doubles are converted once, by their shortest text. An index has neither depth nor volume. `cp` is not read (see
`upstox_market`), nor are tbq, tsq, iep and what else concerns auctions.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from assets.market import Bar, BidAsk, Depth, Greeks, MarketPhase, MarketStatus, Quote
from realtime.feeds.base import Event, Frame, FrameError, Mode, Ready
from realtime.feeds.upstox_limits import Allotment, allot
from realtime.feeds.upstox_market import UpstoxMarket, same_day
from realtime.feeds.upstox_v3_pb2 import LTPC as LastTrade
from realtime.feeds.upstox_v3_pb2 import (
    OHLC,
    Feed,
    FeedResponse,
    FirstLevelWithGreeks,
    IndexFullFeed,
    MarketFullFeed,
    MarketInfo,
    OptionGreeks,
)

URL = "wss://api.upstox.com/v3/feed/market-data-feed"

# Whether markets are open is the first thing that is said; who says not even that is not there.
FIRST_FRAME_SECONDS = 30.0
# A quiet option may not change for minutes; a lost connection is found by pings much sooner.
OPEN_MARKET_SECONDS = 300.0

_MARKET_INFO = 2
# PRE_OPEN_START, PRE_OPEN_END, NORMAL_OPEN, NORMAL_CLOSE, CLOSING_START, CLOSING_END
_PHASES: tuple[MarketPhase, ...] = ("pre_open", "pre_open", "open", "closed", "closing", "closed")

# Open, high and low.
_Day = tuple[Decimal | None, Decimal | None, Decimal | None]
_NO_DAY: _Day = (None, None, None)

_parse = FeedResponse.FromString


class UpstoxFeed(UpstoxMarket):
    """The streams of V3; the arguments are those of `UpstoxMarket`."""

    modes: frozenset[Mode] = frozenset({"ltpc", "quote", "full", "full_d30", "option_greeks"})

    def __init__(
        self, instruments: Iterable[str] = (), *, url: str = URL, token: str = "", **options: object
    ) -> None:
        super().__init__(instruments, url=url, token=token, **options)  # type: ignore[arg-type]
        self._phases: dict[str, MarketPhase] = {}
        self._patience: float | None = FIRST_FRAME_SECONDS
        self._silence_after: float | None = None

    @property
    def silence_after(self) -> float | None:
        """As long as what is known of the markets makes plausible; who sets it has the last word."""
        return self._silence_after or self._patience

    @silence_after.setter
    def silence_after(self, seconds: float | None) -> None:
        self._silence_after = seconds

    def allot(self, wants: Mapping[str, Mode]) -> Allotment:
        return allot(wants, has_d30="full_d30" in self.modes)

    def opened(self, wants: Mapping[str, Mode]) -> list[Frame]:
        self._phases = {}
        self._patience = FIRST_FRAME_SECONDS
        return super().opened(wants)

    def _ask(self) -> list[Frame]:
        frames = super()._ask()
        if self._phases:
            self._watch()
        return frames

    def _watch(self) -> None:
        """Expects frames while a market is open that we follow, and else none."""
        markets = {symbol.partition("|")[0] for symbol in self._asked}
        is_open = any(self._phases.get(market) == "open" for market in markets)
        self._patience = OPEN_MARKET_SECONDS if is_open else None

    # -- frames

    def read(self, frame: bytes) -> list[Event]:
        """Reads {type: live_feed, feeds: {"NSE_EQ|INE002A01018": {…}}, currentTs: 1740729566039}"""
        response = _parse(frame)
        if not response.currentTs:  # the last field of all that we read: without it the frame was cut
            raise FrameError("no_time", "expected currentTs, was none")
        now = self.moments[response.currentTs]
        if response.type == _MARKET_INFO:
            return self._read_market_info(response.marketInfo, now)
        if self._patience == FIRST_FRAME_SECONDS:
            self._watch()
        return self.read_each(response.feeds, now)

    def _read_market_info(self, info: MarketInfo, now: datetime) -> list[Event]:
        """Reads {segmentStatus: {"NSE_EQ": NORMAL_OPEN, "NSE_INDEX": NORMAL_OPEN, "MCX_FO": PRE_OPEN_END}}"""
        events: list[Event] = [Ready()]
        for market, status in info.segmentStatus.items():
            if 0 <= status < len(_PHASES):
                self._phases[market] = _PHASES[status]
                events.append(MarketStatus(market=market, phase=_PHASES[status], as_of=now))
        self._watch()
        return events

    # -- one instrument

    def read_feed(self, symbol: str, feed: Feed, now: datetime, events: list[Event]) -> None:
        market = feed.fullFeed.marketFF
        # Asking whether a field is there costs more than its value; nearly all that is watched has traded today.
        if market.vtt:
            self._read_market(symbol, market, now, events)
        elif feed.HasField("fullFeed"):
            if feed.fullFeed.HasField("marketFF"):
                self._read_market(symbol, market, now, events)
            elif feed.fullFeed.HasField("indexFF"):
                self._read_index(symbol, feed.fullFeed.indexFF, events)
        elif feed.HasField("ltpc"):
            self._read_last_trade(symbol, feed.ltpc, events)
        elif feed.HasField("firstLevelWithGreeks"):
            self._read_first_level(symbol, feed.firstLevelWithGreeks, now, events)

    def _read_market(self, symbol: str, full: MarketFullFeed, now: datetime, events: list[Event]) -> None:
        """Reads {ltpc: {ltp: 1190.55, ltt: 1740729552723, ltq: 75, cp: 1207.1}, marketLevel: {bidAskQuote: [
        {bidQ: 100, bidP: 1190.5, askQ: 20, askP: 1190.6}, …]}, optionGreeks: {delta: 0.5, …}, marketOHLC: {ohlc: [
        {interval: "1d", open: 1200, …}, {interval: "I1", …}]}, atp: 1195.1, vtt: 9000, oi: 30, iv: 0.2}
        """
        floats, integers = self.floats, self.integers
        day, minute = _bars(full.marketOHLC.ohlc)
        last, quote = full.ltpc, None
        price, traded_at, quantity = last.ltp, last.ltt, last.ltq
        if price and traded_at:
            volume, average, interest = full.vtt, full.atp, full.oi
            if day is not None and not same_day(day.ts, traded_at):
                day, volume, average = None, 0, 0.0  # a day has begun on which nothing was traded yet
            opened, high, low = _NO_DAY if day is None else self._day(day)
            quote = Quote(
                symbol=symbol,
                price=floats[price],
                as_of=self.moments[traded_at],
                last_quantity=integers[quantity] if quantity else None,
                open=opened,
                high=high,
                low=low,
                volume=integers[volume] if volume else None,
                average_price=floats[average] if average else None,
                open_interest=floats[interest] if interest else None,
                greeks=self._greeks(full.optionGreeks, full.iv) if full.HasField("optionGreeks") else None,
            )
        levels = list(full.marketLevel.bidAskQuote)
        depth = Depth(
            symbol=symbol,
            bids=tuple(
                [(floats[bid], integers[q]) for one in levels if (bid := one.bidP) and (q := one.bidQ)]
            ),
            asks=tuple(
                [(floats[ask], integers[q]) for one in levels if (ask := one.askP) and (q := one.askQ)]
            ),
            as_of=now,
        )
        bar = None if minute is None else self._bar(symbol, minute, integers[minute.vol])
        self.tell(events, symbol, quote, depth, bar)

    def _read_index(self, symbol: str, full: IndexFullFeed, events: list[Event]) -> None:
        """Reads {ltpc: {ltp: 22124.7, ltt: 1740729566000, cp: 22545.05}, marketOHLC: {ohlc: [{interval: "1d", …}]}}"""
        day, minute = _bars(full.marketOHLC.ohlc)
        last, quote = full.ltpc, None
        if last.ltp and last.ltt:
            if day is not None and not same_day(day.ts, last.ltt):
                day = None
            opened, high, low = _NO_DAY if day is None else self._day(day)
            quote = Quote(
                symbol=symbol,
                price=self.floats[last.ltp],
                as_of=self.moments[last.ltt],
                open=opened,
                high=high,
                low=low,
            )
        self.tell(events, symbol, quote, bar=None if minute is None else self._bar(symbol, minute, None))

    def _read_last_trade(self, symbol: str, last: LastTrade, events: list[Event]) -> None:
        """Reads {ltp: 1190.55, ltt: 1740729552723, ltq: 75, cp: 1207.1}"""
        quote = None
        if last.ltp and last.ltt:
            quote = Quote(
                symbol=symbol,
                price=self.floats[last.ltp],
                as_of=self.moments[last.ltt],
                last_quantity=self.integers[last.ltq] if last.ltq else None,
            )
        self.tell(events, symbol, quote)

    def _read_first_level(
        self, symbol: str, first: FirstLevelWithGreeks, now: datetime, events: list[Event]
    ) -> None:
        """Reads {ltpc: {…}, firstDepth: {bidQ: 75, bidP: 212.1, askQ: 150, askP: 212.6},
        optionGreeks: {delta: 0.51, …}, vtt: 8961750, oi: 1725075, iv: 0.1437}
        """
        last, level = first.ltpc, first.firstDepth
        bid, ask = self._known(level.bidP), self._known(level.askP)
        bid_quantity = self.integers[level.bidQ] if bid is not None else None
        ask_quantity = self.integers[level.askQ] if ask is not None else None
        quote: Quote | BidAsk
        if last.ltp and last.ltt:
            quote = Quote(
                symbol=symbol,
                price=self.floats[last.ltp],
                as_of=self.moments[last.ltt],
                last_quantity=self.integers[last.ltq] if last.ltq else None,
                bid=bid,
                ask=ask,
                bid_quantity=bid_quantity,
                ask_quantity=ask_quantity,
                volume=self.integers[first.vtt] if first.vtt else None,
                open_interest=self._known(first.oi),
                greeks=self._greeks(first.optionGreeks, first.iv),
            )
        else:
            quote = BidAsk(
                symbol=symbol,
                as_of=now,
                bid=bid,
                ask=ask,
                bid_quantity=bid_quantity,
                ask_quantity=ask_quantity,
            )
        self.tell(events, symbol, quote)

    # -- parts of it

    def _day(self, day: OHLC) -> _Day:
        """Reads {interval: "1d", open: 1200, high: 1210, low: 1180, close: 1190.55, vol: 9000, ts: 1740681000000}"""
        opened, high, low, floats = day.open, day.high, day.low, self.floats
        if opened and high and low:
            return floats[opened], floats[high], floats[low]
        return self._known(opened), self._known(high), self._known(low)

    def _known(self, value: float) -> Decimal | None:
        return self.floats[value] if value else None

    def _greeks(self, greeks: OptionGreeks, iv: float) -> Greeks | None:
        """Returns None where all are zero: what is no option has none."""
        delta, gamma, theta = greeks.delta, greeks.gamma, greeks.theta
        vega, rho = greeks.vega, greeks.rho
        if not (delta or gamma or theta or vega or rho or iv):
            return None
        floats = self.floats
        return Greeks(
            delta=floats[delta],
            gamma=floats[gamma],
            theta=floats[theta],
            vega=floats[vega],
            rho=floats[rho],
            iv=floats[iv] if iv else None,
        )

    def _bar(self, symbol: str, minute: OHLC, volume: Decimal | None) -> Bar | None:
        """Reads {interval: "I1", open: 1190.1, high: 1191, low: 1190, close: 1190.55, vol: 700, ts: 1740729540000}"""
        opened, high, low, close = minute.open, minute.high, minute.low, minute.close
        if not ((starts := minute.ts) and opened and high and low and close):
            return None
        floats = self.floats
        return Bar(
            symbol=symbol,
            interval="1m",
            start=self.moments[starts],
            open=floats[opened],
            high=floats[high],
            low=floats[low],
            close=floats[close],
            volume=volume,
        )


def _bars(all_of_them: Iterable[OHLC]) -> tuple[OHLC | None, OHLC | None]:
    """Returns those of the day and of the minute; other intervals are not ours."""
    day = minute = None
    for ohlc in all_of_them:
        interval = ohlc.interval
        if interval == "1d":
            day = ohlc
        elif interval == "I1":
            minute = ohlc
    return day, minute
