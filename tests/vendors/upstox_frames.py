"""A made-up hour of Upstox: instruments that trade, as messages of V3 and of V2, and updates of an account."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from realtime.feeds import upstox_v2_pb2 as v2
from realtime.feeds import upstox_v3_pb2 as v3

# 2025-02-28, a Friday: 13:00 in India.
BEGIN_MS = 1_740_727_800_000
DAY_MS, INDIA_MS = 86_400_000, 19_800_000
STOCK, INDEX, OPTION = "NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50", "NSE_FO|45450"
OPEN = 2
SEGMENTS = {
    segment: OPEN
    for exchange, parts in {"NSE": "EQ FO COM INDEX", "BSE": "EQ FO INDEX", "MCX": "FO INDEX"}.items()
    for segment in (f"{exchange}_{part}" for part in parts.split())
} | {"NCD_FO": OPEN, "BCD_FO": OPEN}
LEVELS = 30
# open, high, low, close, volume, start
Figures = tuple[float, float, float, float, int, int]


@dataclass(frozen=True)
class Instrument:
    """All that the vendor knows of one instrument at a moment."""

    key: str
    now: int
    ltp: float
    ltt: int
    ltq: int = 0
    cp: float = 0.0
    day: Figures | None = None
    minute: Figures | None = None
    bids: tuple[tuple[float, int], ...] = ()
    asks: tuple[tuple[float, int], ...] = ()
    # delta, theta, gamma, vega, rho
    greeks: tuple[float, float, float, float, float] | None = None
    iv: float = 0.0
    atp: float = 0.0
    vtt: int = 0
    oi: float = 0.0
    is_index: bool = False


@dataclass
class _Market:
    """One instrument as it trades; prices are counted in steps of 0.05."""

    key: str
    dice: random.Random
    steps: int
    trades: int = 0
    volume: int = 0
    turnover: int = 0
    seen: list[int] = field(default_factory=list)
    in_minute: list[int] = field(default_factory=list)
    minute: int = 0
    minute_volume: int = 0
    # What is offered at each price: a trade or an order changes one or two of them.
    offers: dict[int, int] = field(default_factory=dict)

    def next(self, now: int) -> Instrument:
        traded_at = now - 40
        quantity = self.dice.randrange(1, 500)
        if traded_at // 60_000 != self.minute:
            self.minute, self.minute_volume = traded_at // 60_000, 0
            self.in_minute.clear()
        self.steps += self.dice.randrange(-4, 5)
        for seen in (self.seen, self.in_minute):
            seen.append(self.steps)
        self.volume += quantity
        self.minute_volume += quantity
        self.turnover += quantity * self.steps
        is_index = "_INDEX" in self.key
        return Instrument(
            key=self.key,
            now=now,
            ltp=_price(self.steps),
            ltt=traded_at,
            ltq=0 if is_index else quantity,
            cp=_price(self.seen[0] - 9),
            day=_figures(self.seen, 0 if is_index else self.volume, now - (now + INDIA_MS) % DAY_MS),
            minute=_figures(self.in_minute, 0 if is_index else self.minute_volume, self.minute * 60_000),
            bids=() if is_index else self._side(-1),
            asks=() if is_index else self._side(1),
            greeks=self._greeks() if self.key.startswith("NSE_FO") else None,
            iv=round(self.dice.uniform(0.1, 0.3), 6) if self.key.startswith("NSE_FO") else 0.0,
            atp=0.0 if is_index else round(self.turnover / self.volume * 0.05, 2),
            vtt=0 if is_index else self.volume,
            oi=float(self.dice.randrange(10_000, 20_000) * 75) if self.key.startswith("NSE_FO") else 0.0,
            is_index=is_index,
        )

    def _side(self, sign: int) -> tuple[tuple[float, int], ...]:
        self.offers[self.steps + sign * self.dice.randrange(1, 6)] = 75 * self.dice.randrange(1, 200)
        steps = range(self.steps + sign, self.steps + sign * (LEVELS + 1), sign)
        return tuple(
            (_price(step), self.offers.setdefault(step, 75 * self.dice.randrange(1, 200))) for step in steps
        )

    def _greeks(self) -> tuple[float, float, float, float, float]:
        uniform = self.dice.uniform
        return (
            round(uniform(0.1, 0.9), 4),
            round(uniform(-20, -1), 4),
            round(uniform(0, 0.01), 6),
            round(uniform(1, 20), 4),
            round(uniform(0, 5), 4),
        )


def _price(steps: int) -> float:
    return steps * 5 / 100


def _figures(seen: Sequence[int], volume: int, start: int) -> Figures:
    prices = map(_price, (seen[0], max(seen), min(seen), seen[-1]))
    return (*prices, volume, start)  # type: ignore[return-value]


def made_up(
    keys: Sequence[str] = (STOCK, INDEX, OPTION), count: int = 120, seed: int = 1, begin: int = BEGIN_MS
) -> list[tuple[float, Instrument]]:
    """Returns what happens, as (seconds, instrument): each of them once, then any of them twice a second."""
    dice = random.Random(seed)
    markets = [_Market(key, dice, dice.randrange(4_000, 40_000)) for key in keys]
    ticks = []
    for index in range(count):
        market = markets[index] if index < len(markets) else dice.choice(markets)
        seconds = index / 2
        ticks.append((seconds, market.next(begin + round(seconds * 1000))))
    return ticks


# -- V3


def v3_frame(kind: int, feeds: Mapping[str, v3.Feed], now: int) -> bytes:
    return v3.FeedResponse(type=kind, feeds=feeds, currentTs=now).SerializeToString()


def v3_market_info(now: int = BEGIN_MS, segments: Mapping[str, int] = SEGMENTS) -> bytes:
    info = v3.MarketInfo(segmentStatus=segments)
    return v3.FeedResponse(type=2, currentTs=now, marketInfo=info).SerializeToString()


def v3_feed(one: Instrument, mode: str) -> v3.Feed:
    last = v3.LTPC(ltp=one.ltp, ltt=one.ltt, ltq=one.ltq, cp=one.cp)
    if mode == "ltpc":
        return v3.Feed(ltpc=last)
    if mode == "option_greeks":
        first = v3.FirstLevelWithGreeks(
            ltpc=last,
            firstDepth=_v3_levels(one, 1)[0] if one.bids else None,
            optionGreeks=_v3_greeks(one),
            vtt=one.vtt,
            oi=one.oi,
            iv=one.iv,
        )
        return v3.Feed(firstLevelWithGreeks=first, requestMode="option_greeks")
    is_deep = mode == "full_d30"
    full = v3.FullFeed()
    ohlc = v3.MarketOHLC(ohlc=_ohlcs(v3.OHLC, one))
    if one.is_index:
        full.indexFF.CopyFrom(v3.IndexFullFeed(ltpc=last, marketOHLC=ohlc))
    else:
        full.marketFF.CopyFrom(
            v3.MarketFullFeed(
                ltpc=last,
                marketLevel=v3.MarketLevel(bidAskQuote=_v3_levels(one, LEVELS if is_deep else 5)),
                optionGreeks=_v3_greeks(one),
                marketOHLC=ohlc,
                atp=one.atp,
                vtt=one.vtt,
                oi=one.oi,
                iv=one.iv,
                tbq=4321.0,
                tsq=1234.0,
            )
        )
    return v3.Feed(fullFeed=full, requestMode="full_d30" if is_deep else "full_d5")


def _v3_levels(one: Instrument, count: int) -> list[v3.Quote]:
    return [
        v3.Quote(bidP=bid, bidQ=bids, askP=ask, askQ=asks)
        for (bid, bids), (ask, asks) in zip(one.bids[:count], one.asks[:count], strict=True)
    ]


def _v3_greeks(one: Instrument) -> v3.OptionGreeks:
    delta, theta, gamma, vega, rho = one.greeks or (0.0,) * 5
    return v3.OptionGreeks(delta=delta, theta=theta, gamma=gamma, vega=vega, rho=rho)


def _ohlcs(kind: Any, one: Instrument) -> list[Any]:
    bars = []
    for interval, figures in (("1d", one.day), ("I1", one.minute)):
        if figures is not None:
            opened, high, low, close, volume, start = figures
            bars.append(
                kind(interval=interval, open=opened, high=high, low=low, close=close, vol=volume, ts=start)
            )
    return bars


# -- V2


def v2_frame(kind: int, feeds: Mapping[str, v2.Feed], now: int) -> bytes:
    return v2.FeedResponse(type=kind, feeds=feeds, currentTs=now).SerializeToString()


def v2_feed(one: Instrument, mode: str) -> v2.Feed:
    last = v2.LTPC(ltp=one.ltp, ltt=one.ltt, ltq=one.ltq, cp=one.cp)
    if mode == "ltpc":
        return v2.Feed(ltpc=last)
    ohlc = v2.MarketOHLC(ohlc=_ohlcs(v2.OHLC, one))
    if one.is_index:
        index = v2.IndexFullFeed(ltpc=last, marketOHLC=ohlc, lastClose=one.cp)
        return v2.Feed(ff=v2.FullFeed(indexFF=index))
    delta, theta, gamma, vega, rho = one.greeks or (0.0,) * 5
    greeks = v2.OptionGreeks(iv=one.iv, delta=delta, theta=theta, gamma=gamma, vega=vega, rho=rho)
    details = v2.ExtendedFeedDetails(atp=one.atp, cp=one.cp, vtt=one.vtt, oi=one.oi, tbq=4321.0, tsq=1234.0)
    levels = [
        v2.Quote(bp=bid, bq=bids, bidQ=bids, ap=ask, aq=asks, askQ=asks)
        for (bid, bids), (ask, asks) in zip(one.bids[:5], one.asks[:5], strict=True)
    ]
    if mode == "option_chain":
        chain = v2.OptionChain(ltpc=last, bidAskQuote=levels[0], optionGreeks=greeks, eFeedDetails=details)
        return v2.Feed(oc=chain)
    market = v2.MarketFullFeed(
        ltpc=last,
        marketLevel=v2.MarketLevel(bidAskQuote=levels),
        optionGreeks=greeks,
        marketOHLC=ohlc,
        eFeedDetails=details,
    )
    return v2.Feed(ff=v2.FullFeed(marketFF=market))


# -- the account

ORDER: dict[str, Any] = {
    "update_type": "order",
    "user_id": "AB1234",
    "exchange": "NSE",
    "instrument_token": STOCK,
    "instrument_key": STOCK,
    "trading_symbol": "RELIANCE-EQ",
    "product": "D",
    "order_type": "LIMIT",
    "average_price": 0.0,
    "price": 1190.55,
    "trigger_price": 0.0,
    "quantity": 10,
    "pending_quantity": 10,
    "transaction_type": "BUY",
    "order_ref_id": "17407278",
    "exchange_order_id": "1100000000012345",
    "parent_order_id": None,
    "validity": "DAY",
    "status": "open",
    "is_amo": False,
    "variety": "SIMPLE",
    "tag": None,
    "exchange_timestamp": "2025-02-28 13:00:01",
    "status_message": "",
    "order_id": "250228000000001",
    "order_timestamp": "2025-02-28 13:00:02",
    "filled_quantity": 0,
    "placed_by": "AB1234",
}
FILLED = ORDER | {
    "status": "complete",
    "average_price": 1190.5,
    "filled_quantity": 10,
    "pending_quantity": 0,
    "order_timestamp": "2025-02-28 13:00:05",
}
POSITION: dict[str, Any] = {
    "update_type": "position",
    "exchange": "NSE",
    "instrument_token": STOCK,
    "product": "D",
    "quantity": 10,
    "average_price": 1190.5,
    "last_price": 1191.15,
    "pnl": 6.5,
    "multiplier": 1.0,
    "trading_symbol": "RELIANCE-EQ",
}
HOLDING: dict[str, Any] = {
    "update_type": "holding",
    "isin": "INE002A01018",
    "instrument_token": STOCK,
    "quantity": 36,
    "t1_quantity": 0,
    "average_price": 1021.85,
    "close_price": 1207.1,
    "trading_symbol": "RELIANCE",
}
GTT: dict[str, Any] = {
    "update_type": "gtt_order",
    "type": "SINGLE",
    "exchange": "NSE_EQ",
    "quantity": 5,
    "product": "D",
    "rules": [{"strategy": "ENTRY", "status": "SCHEDULED", "trigger_type": "ABOVE", "trigger_price": 1250.5}],
    "trading_symbol": "RELIANCE",
    "instrument_token": STOCK,
    "gtt_order_id": "GTT-C25280200071353",
    "expires_at": 1772263802000000,
}
UPDATES: tuple[dict[str, Any], ...] = (ORDER, FILLED, POSITION, HOLDING, GTT)


def text_of(update: Mapping[str, Any]) -> str:
    return json.dumps(update, separators=(",", ":"))


def later(one: Instrument, **changes: Any) -> Instrument:
    """Returns it as it is a moment after."""
    return replace(one, now=one.now + 500, **changes)
