"""Upstox V3: what its frames say, to the digit; what it is asked, within its limits; how its refusals are told."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from assets.market import Bar, BidAsk, Depth, Greeks, MarketStatus, Quote
from assets.sessions import AROUND_THE_CLOCK, Calendar, Session, StoredCalendar
from realtime.feeds.base import Confirmed, Event, FeedError, FrameError, Lowered, Mode, Ready, Refused, Send
from realtime.feeds.upstox import FIRST_FRAME_SECONDS, OPEN_MARKET_SECONDS, UpstoxFeed
from realtime.feeds.upstox_v3_pb2 import FeedResponse
from realtime.price_feed.batcher import Batcher
from realtime.price_feed.listing import Listing
from tests.realtime.feeds.fakes import JumpingClock

RELIANCE, NIFTY, OPTION = "NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50", "NSE_FO|45450"
NOW = datetime(2025, 2, 28, 7, 59, 26, 39000, UTC)
TRADED_AT = datetime(2025, 2, 28, 7, 59, 12, 723000, UTC)
LAST = {"ltp": 1190.55, "ltt": "1740729552723", "ltq": "75", "cp": 1207.1}
LEVELS = [
    {"bidQ": "100", "bidP": 1190.5, "askQ": "20", "askP": 1190.6},
    {"bidQ": "7", "bidP": 1190.45, "askQ": "35", "askP": 1190.65},
    {"bidQ": "51", "bidP": 1190.4, "askQ": "9", "askP": 1190.7},
    {"bidQ": "2", "bidP": 1190.35, "askQ": "411", "askP": 1190.75},
    {"bidQ": "812", "bidP": 1190.3},
]
DAY = {"interval": "1d", "open": 1200, "high": 1210.5, "low": 1180.05, "close": 1190.55, "vol": "9183021"}
MINUTE = {"interval": "I1", "open": 1190.1, "high": 1191, "low": 1189.95, "close": 1190.55, "vol": "7021"}
OHLC = {"ohlc": [DAY | {"ts": "1740681000000"}, MINUTE | {"ts": "1740729540000"}]}
MARKET = {
    "ltpc": LAST,
    "marketLevel": {"bidAskQuote": LEVELS},
    "optionGreeks": {},
    "marketOHLC": OHLC,
    "atp": 1195.13,
    "vtt": "9183021",
    "tbq": 5023121.0,
    "tsq": 6311002.0,
}
GREEKS = {"delta": 0.5121, "theta": -11.0432, "gamma": 0.0007, "vega": 12.08, "rho": 1.9}
FIRST_LEVEL = {
    "ltpc": {"ltp": 212.35, "ltt": "1740729552723", "ltq": "75", "cp": 240.9},
    "firstDepth": {"bidQ": "150", "bidP": 212.1, "askQ": "75", "askP": 212.6},
    "optionGreeks": GREEKS,
    "vtt": "8961750",
    "oi": 1725075.0,
    "iv": 0.1437,
}


def frame(feeds: Mapping[str, Any], kind: str = "live_feed", now: int = 1740729566039) -> bytes:
    """Encodes what the vendor's own clients show, in JSON's names."""
    message = {"type": kind, "feeds": feeds, "currentTs": now}
    return ParseDict(message, FeedResponse()).SerializeToString()


def full(**changes: Any) -> dict[str, Any]:
    return {"fullFeed": {"marketFF": MARKET | changes}, "requestMode": "full_d5"}


def opened(*instruments: str, mode: Mode = "full") -> UpstoxFeed:
    numbers = count(1)
    feed = UpstoxFeed(instruments, new_guid=lambda: f"guid-{next(numbers)}", clock=JumpingClock())
    feed.opened(dict.fromkeys(instruments, mode))
    return feed


def told(feeds: Mapping[str, Any], **options: Any) -> list[Event]:
    return opened(*feeds).decode(frame(feeds, **options))


def batched(calendar: Calendar = AROUND_THE_CLOCK) -> Batcher:
    """What takes the feed's events of one share."""
    batcher = Batcher("upstox", stale_after=300.0, quotes_are_trades=False)
    batcher.follow([Listing(1, "RELIANCE", "INR", RELIANCE, ("upstox",), calendar)], NOW, 0.0)
    batcher.begin(1)
    return batcher


# -- what frames say


@pytest.mark.parametrize("kind", ["initial_feed", "live_feed"])
def test_a_full_frame_is_a_quote_depth_and_a_bar_to_the_digit(kind: str) -> None:
    assert told({RELIANCE: full()}, kind=kind) == [
        Quote(
            symbol=RELIANCE,
            price=Decimal("1190.55"),
            as_of=TRADED_AT,
            last_quantity=Decimal(75),
            open=Decimal(1200),
            high=Decimal("1210.5"),
            low=Decimal("1180.05"),
            volume=Decimal(9183021),
            average_price=Decimal("1195.13"),
        ),
        Depth(
            symbol=RELIANCE,
            bids=(
                (Decimal("1190.5"), Decimal(100)),
                (Decimal("1190.45"), Decimal(7)),
                (Decimal("1190.4"), Decimal(51)),
                (Decimal("1190.35"), Decimal(2)),
                (Decimal("1190.3"), Decimal(812)),
            ),
            asks=(
                (Decimal("1190.6"), Decimal(20)),
                (Decimal("1190.65"), Decimal(35)),
                (Decimal("1190.7"), Decimal(9)),
                (Decimal("1190.75"), Decimal(411)),
            ),
            as_of=NOW,
        ),
        Bar(
            symbol=RELIANCE,
            interval="1m",
            start=datetime(2025, 2, 28, 7, 59, tzinfo=UTC),
            open=Decimal("1190.1"),
            high=Decimal(1191),
            low=Decimal("1189.95"),
            close=Decimal("1190.55"),
            volume=Decimal(7021),
        ),
    ]


def test_the_last_trade_alone_is_a_quote() -> None:
    assert told({RELIANCE: {"ltpc": LAST}}) == [
        Quote(
            symbol=RELIANCE,
            price=Decimal("1190.55"),
            as_of=TRADED_AT,
            last_quantity=Decimal(75),
        )
    ]


def test_the_first_level_comes_with_greeks_and_without_open_high_and_low() -> None:
    greeks = {name: Decimal(str(value)) for name, value in GREEKS.items()}
    assert told({OPTION: {"firstLevelWithGreeks": FIRST_LEVEL, "requestMode": "option_greeks"}}) == [
        Quote(
            symbol=OPTION,
            price=Decimal("212.35"),
            as_of=TRADED_AT,
            last_quantity=Decimal(75),
            bid=Decimal("212.1"),
            ask=Decimal("212.6"),
            bid_quantity=Decimal(150),
            ask_quantity=Decimal(75),
            volume=Decimal(8961750),
            open_interest=Decimal(1725075),
            greeks=Greeks(iv=Decimal("0.1437"), **greeks),
        )
    ]


def test_a_full_frame_of_an_option_has_greeks_too() -> None:
    [quote, *_] = told({OPTION: full(optionGreeks=GREEKS, iv=0.1437, oi=300.0)})
    assert isinstance(quote, Quote) and quote.greeks is not None
    assert (quote.greeks.delta, quote.greeks.theta) == (Decimal("0.5121"), Decimal("-11.0432"))
    assert (quote.greeks.iv, quote.open_interest) == (Decimal("0.1437"), Decimal(300))


def test_an_index_has_neither_depth_nor_volume() -> None:
    day = {"interval": "1d", "open": 22433.4, "high": 22450.35, "low": 22104.85, "close": 22124.7}
    minute = {"interval": "I1", "open": 22120, "high": 22125, "low": 22119.5, "close": 22124.7}
    bars = [day | {"ts": "1740681000000"}, minute | {"ts": "1740729540000"}]
    last = {"ltp": 22124.7, "ltt": "1740729552723", "cp": 22545.05}
    quote, bar = told({NIFTY: {"fullFeed": {"indexFF": {"ltpc": last, "marketOHLC": {"ohlc": bars}}}}})
    assert quote == Quote(
        symbol=NIFTY,
        price=Decimal("22124.7"),
        as_of=TRADED_AT,
        open=Decimal("22433.4"),
        high=Decimal("22450.35"),
        low=Decimal("22104.85"),
    )
    assert isinstance(bar, Bar) and bar.volume is None


def test_the_depth_of_thirty_levels_is_told_whole_and_no_days_come_with_it() -> None:
    levels = [{"bidQ": i + 1, "bidP": 1190.5 - i, "askQ": i + 2, "askP": 1190.6 + i * 0.5} for i in range(30)]
    deep = full(marketLevel={"bidAskQuote": levels}) | {"requestMode": "full_d30"}
    _, depth, bar = told({RELIANCE: deep})
    assert isinstance(depth, Depth) and len(depth.bids) == len(depth.asks) == 30
    assert depth.bids[29] == (Decimal("1161.5"), Decimal(30))
    assert isinstance(bar, Bar) and bar.interval == "1m"


@pytest.mark.parametrize("text", ["190.55", "0.05", "0.1", "99999.95", "1e-07", "1190.0"])
def test_a_double_is_read_by_its_shortest_text(text: str) -> None:
    [quote] = told({RELIANCE: {"ltpc": LAST | {"ltp": float(text)}}})
    assert isinstance(quote, Quote) and quote.price == Decimal(text)


# -- what is not there


def test_a_price_that_is_left_out_is_none() -> None:
    assert [type(event) for event in told({RELIANCE: full(ltpc={"cp": 1207.1})})] == [Depth, Bar]
    assert told({NIFTY: {"ltpc": {"cp": 22545.05}}}) == []


def test_a_price_without_its_time_is_none() -> None:
    """The time of the frame is not that of the trade, which may be yesterday's."""
    assert told({RELIANCE: {"ltpc": {"ltp": 1190.55}}}) == []


def test_an_option_that_never_traded_has_a_bid_and_an_ask() -> None:
    first = FIRST_LEVEL | {"ltpc": {"cp": 240.9}, "firstDepth": {"askQ": "75", "askP": 212.6}}
    assert told({OPTION: {"firstLevelWithGreeks": first}}) == [
        BidAsk(
            symbol=OPTION,
            as_of=NOW,
            bid=None,
            ask=Decimal("212.6"),
            bid_quantity=None,
            ask_quantity=Decimal(75),
        )
    ]


def test_the_vendors_close_is_never_taken_for_the_previous_one() -> None:
    """It flips at a time of the vendor's own choosing."""
    [quote, *_] = told({RELIANCE: full()})
    assert isinstance(quote, Quote) and quote.previous_close is None and quote.official_close is None


@pytest.mark.parametrize("day", ["1740594600000", "1740767400000"], ids=["yesterday", "tomorrow"])
def test_the_figures_of_another_day_are_not_those_of_the_last_trade(day: str) -> None:
    other = full(marketOHLC={"ohlc": [DAY | {"ts": day}]}, oi=300.0)
    [quote, _] = told({RELIANCE: other})
    assert isinstance(quote, Quote) and quote.open_interest == 300
    assert {quote.open, quote.high, quote.low, quote.volume, quote.average_price} == {None}


def test_a_volume_that_is_left_out_is_none() -> None:
    [quote, *_] = told({RELIANCE: full(vtt=0)})
    assert isinstance(quote, Quote) and quote.volume is None
    [quote] = told({OPTION: {"firstLevelWithGreeks": FIRST_LEVEL | {"vtt": 0}}})
    assert isinstance(quote, Quote) and quote.volume is None


def test_a_morning_that_begins_with_zeros_leaves_the_day_before_as_it_was() -> None:
    opens = datetime(2025, 2, 28, 3, 45, tzinfo=UTC)
    spans = [(opens + timedelta(days=days), opens + timedelta(days=days, hours=6.25)) for days in (-1, 0, 3)]
    calendar = StoredCalendar("XNSE", [Session(start.date(), start, end) for start, end in spans])
    batcher = batched(calendar)
    feed, zeros = opened(RELIANCE), {"interval": "1d", "ts": "1740767400000"}
    batcher.take(feed.decode(frame({RELIANCE: full()})), NOW, 0.0)
    morning = NOW + timedelta(hours=19)
    batcher.tick(morning, 68400.0)
    for volume in (0, 77):
        reset = full(marketOHLC={"ohlc": [zeros]}, vtt=volume)
        batcher.take(feed.decode(frame({RELIANCE: reset})), morning, 68400.0)
    day = batcher.lines["RELIANCE"].bars.day
    assert day is not None and (day.start, day.open, day.volume) == (opens, 1200, 9183021)


def test_fields_and_kinds_that_are_not_known_say_nothing() -> None:
    known = frame({RELIANCE: {"ltpc": LAST | {"iep": 1201.5}}, OPTION: full(iep=3.0, casEligible=True)})
    newer = known + b"\xf8\x07\x01"
    assert opened(RELIANCE, OPTION).decode(known) == opened(RELIANCE, OPTION).decode(newer)
    assert told({RELIANCE: {}}) == []
    assert opened(RELIANCE).decode(FeedResponse(type=7, currentTs=1740729566039).SerializeToString()) == []  # type: ignore[arg-type]


# -- what is news


def test_what_repeats_only_confirms() -> None:
    feed = opened(RELIANCE)
    feed.decode(frame({RELIANCE: full()}))
    assert feed.decode(frame({RELIANCE: full()})) == [Confirmed((RELIANCE,))]


def test_what_is_alive_confirms_what_is_quiet_now_and_then() -> None:
    feed = opened(RELIANCE, NIFTY, OPTION)
    feed.decode(frame({RELIANCE: {"ltpc": LAST}, NIFTY: {"ltpc": LAST}}))

    def confirmed(seconds: int) -> list[Event]:
        last = LAST | {"ltp": 1190 + seconds}
        events = feed.decode(frame({RELIANCE: {"ltpc": last}}, now=1740729566039 + seconds * 1000))
        return [event for event in events if isinstance(event, Confirmed)]

    assert [confirmed(seconds) for seconds in (1, 10, 11)] == [
        [Confirmed((NIFTY,))],
        [],
        [Confirmed((NIFTY,))],
    ]
    feed.opened(dict.fromkeys((RELIANCE, NIFTY), "ltpc"))  # who knows what was missed
    assert confirmed(30) == []


def test_a_frame_whose_trade_is_no_newer_moves_no_price() -> None:
    feed = opened(RELIANCE)
    feed.decode(frame({RELIANCE: full()}))
    thinner = {"bidAskQuote": LEVELS[1:]}
    events = feed.decode(frame({RELIANCE: full(marketLevel=thinner)}, now=1740729567039))
    assert [type(event) for event in events] == [Depth]


def test_a_late_trade_is_told_and_moves_no_price() -> None:
    feed = opened(RELIANCE)
    late = LAST | {"ltp": 1100.0, "ltt": "1740729551000"}
    batcher = batched()
    for last in (LAST, late):
        batcher.take(feed.decode(frame({RELIANCE: full(ltpc=last)})), NOW, 0.0)
    record = batcher.changed()["RELIANCE"]
    assert record.price == Decimal("1190.55") and batcher.rejected["older"] == 1


def test_what_nobody_looks_at_any_more_keeps_a_high_that_goes_with_its_price() -> None:
    feed = opened(RELIANCE)
    batcher = batched()
    batcher.take(feed.decode(frame({RELIANCE: full()})), NOW, 0.0)
    feed.change_mode({RELIANCE: "ltpc"})
    higher = LAST | {"ltp": 1300.0, "ltt": "1740729562723"}
    batcher.take(feed.decode(frame({RELIANCE: {"ltpc": higher}})), NOW, 0.0)
    record = batcher.changed()["RELIANCE"]
    assert (record.price, record.high, record.low) == (1300, 1300, Decimal("1180.05"))


# -- markets


def test_market_info_tells_each_segment_and_that_we_are_in() -> None:
    statuses = {
        "NSE_EQ": "NORMAL_OPEN",
        "NSE_FO": "PRE_OPEN_START",
        "BSE_EQ": "PRE_OPEN_END",
        "MCX_FO": "NORMAL_CLOSE",
        "NCD_FO": "CLOSING_START",
        "BCD_FO": "CLOSING_END",
    }
    events = opened().decode(market_info(statuses))
    assert isinstance(events[0], Ready)
    phases = {event.market: event.phase for event in events if isinstance(event, MarketStatus)}
    assert phases == {
        "NSE_EQ": "open",
        "NSE_FO": "pre_open",
        "BSE_EQ": "pre_open",
        "MCX_FO": "closed",
        "NCD_FO": "closing",
        "BCD_FO": "closed",
    }
    assert all(event.as_of == NOW for event in events if isinstance(event, MarketStatus))


def market_info(statuses: Mapping[str, Any]) -> bytes:
    info = {"segmentStatus": statuses}
    message = {"type": "market_info", "currentTs": 1740729566039, "marketInfo": info}
    return ParseDict(message, FeedResponse()).SerializeToString()


def test_a_status_that_is_not_known_is_left_out() -> None:
    events = opened().decode(market_info({"NSE_EQ": 9, "BSE_EQ": "NORMAL_OPEN"}))
    assert [event.market for event in events if isinstance(event, MarketStatus)] == ["BSE_EQ"]


def test_silence_is_suspicious_only_while_a_market_is_open_that_is_followed() -> None:
    feed = opened(RELIANCE)
    assert feed.silence_after == FIRST_FRAME_SECONDS
    feed.decode(market_info({"NSE_EQ": "PRE_OPEN_START", "MCX_FO": "NORMAL_OPEN"}))
    assert feed.silence_after is None
    feed.subscribe({"MCX_FO|445": "ltpc"})
    assert feed.silence_after == OPEN_MARKET_SECONDS
    feed.unsubscribe(["MCX_FO|445"])
    assert feed.silence_after is None
    feed.decode(market_info({"NSE_EQ": "NORMAL_OPEN"}))
    assert feed.silence_after == OPEN_MARKET_SECONDS
    feed.opened({RELIANCE: "ltpc"})
    assert feed.silence_after == FIRST_FRAME_SECONDS


# -- what is no good


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "not_protobuf"),
        (b"null", "not_protobuf"),
        (b"<html>502</html>", "not_protobuf"),
        (b"[" * 100_000, "not_protobuf"),
        (b'{"status":', "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (b"\x08\x01", "no_time"),
        (frame({RELIANCE: {"ltpc": LAST | {"ltp": "NaN"}}}), "bad_number"),
        (frame({RELIANCE: {"ltpc": LAST | {"ltp": 1e300}}}), "bad_number"),
        (frame({RELIANCE: {"ltpc": LAST | {"ltt": "-5"}}}), "bad_number"),
        (frame({RELIANCE: {"ltpc": LAST | {"ltt": "9223372036854775807"}}}), "bad_number"),
        (frame({RELIANCE: {"ltpc": LAST}}, now=-1), "bad_number"),
    ],
)
def test_a_frame_that_cannot_be_used_is_named(bad: bytes, kind: str) -> None:
    with pytest.raises(FrameError) as refusal:
        opened(RELIANCE).decode(bad)
    assert refusal.value.kind == kind


def test_a_frame_that_was_cut_gives_no_value() -> None:
    whole = frame({RELIANCE: full(), NIFTY: {"ltpc": LAST}})
    for end in range(len(whole)):
        with pytest.raises(FrameError):
            opened(RELIANCE).decode(whole[:end])


def test_an_instrument_without_numbers_harms_no_other_and_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = opened(RELIANCE, NIFTY)
    for number in range(2):
        last = {"ltpc": LAST | {"ltp": 100 + number}}
        events = feed.decode(frame({RELIANCE: {"ltpc": LAST | {"ltp": "Infinity"}}, NIFTY: last}))
        assert [event.symbol for event in events if isinstance(event, Quote)] == [NIFTY]
    assert feed.bad_instruments == 2 and caplog.text.count(RELIANCE) == 1


def test_what_is_remembered_of_numbers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.market.CONVERSIONS_KEPT", 10)
    feed = opened(RELIANCE)
    for step in range(100):
        last = {"ltp": 1000 + step / 100, "ltt": 1740729552723 + step, "ltq": step + 1}
        [quote] = feed.decode(frame({RELIANCE: {"ltpc": last}}))
        assert isinstance(quote, Quote) and quote.price == Decimal(str(1000 + step / 100))
    assert max(map(len, (feed.floats, feed.integers, feed.moments))) <= 10


# -- what it is asked


def asked(frames: list[Any]) -> list[dict[str, Any]]:
    assert all(isinstance(frame, bytes) for frame in frames)
    return [json.loads(frame) for frame in frames]


def test_a_request_is_json_in_a_binary_frame() -> None:
    feed = UpstoxFeed(new_guid=lambda: "guid-1")
    assert asked(feed.opened({RELIANCE: "full"})) == [
        {"guid": "guid-1", "method": "sub", "data": {"instrumentKeys": [RELIANCE], "mode": "full"}}
    ]
    assert asked(feed.change_mode({RELIANCE: "full_d30"})) == [
        {
            "guid": "guid-1",
            "method": "change_mode",
            "data": {"instrumentKeys": [RELIANCE], "mode": "full_d30"},
        }
    ]
    assert asked(feed.unsubscribe([RELIANCE])) == [
        {"guid": "guid-1", "method": "unsub", "data": {"instrumentKeys": [RELIANCE]}}
    ]
    assert feed.subscribe({}) == feed.unsubscribe([]) == feed.change_mode({}) == []


def test_every_request_has_a_name_of_its_own() -> None:
    [first], [second] = UpstoxFeed().opened({RELIANCE: "full"}), UpstoxFeed().opened({RELIANCE: "full"})
    assert json.loads(first)["guid"] != json.loads(second)["guid"]


@pytest.mark.parametrize(
    ("wanted", "upstream"),
    [
        ("ltpc", "ltpc"),
        ("quote", "full"),
        ("full", "full"),
        ("option_greeks", "full"),
        ("full_d30", "full_d30"),
    ],
)
def test_each_mode_is_asked_for_as_what_fills_it(wanted: Mode, upstream: str) -> None:
    """There is no `quote`, and `option_greeks` has no open, high and low."""
    [request] = asked(UpstoxFeed().opened({RELIANCE: wanted}))
    assert request["data"]["mode"] == upstream


def test_what_nobody_watches_is_asked_for_in_the_cheapest_mode() -> None:
    assert UpstoxFeed.base_mode == "ltpc"


def test_a_change_of_mode_that_changes_nothing_upstream_is_not_sent() -> None:
    feed = opened(RELIANCE, mode="quote")
    assert feed.change_mode({RELIANCE: "full"}) == []


def test_many_instruments_are_asked_for_in_several_frames() -> None:
    keys = [f"NSE_EQ|{number}" for number in range(1200)]
    requests = asked(UpstoxFeed().opened(dict.fromkeys(keys, "ltpc")))
    assert [len(request["data"]["instrumentKeys"]) for request in requests] == [500, 500, 200]
    assert [key for request in requests for key in request["data"]["instrumentKeys"]] == keys


def test_one_too_many_is_refused_with_its_reason_and_the_others_are_asked_for() -> None:
    keys = [f"NSE_EQ|{number}" for number in range(5001)]
    feed = UpstoxFeed()
    requests = asked(feed.opened(dict.fromkeys(keys, "ltpc")))
    assert sum(len(request["data"]["instrumentKeys"]) for request in requests) == 5000
    events = feed.decode(market_info({"NSE_EQ": "NORMAL_OPEN"}))
    assert events[-1] == Refused((keys[5000],), "the vendor's limit of instruments is reached")
    assert not any(
        isinstance(event, Refused) for event in feed.decode(market_info({"NSE_EQ": "NORMAL_OPEN"}))
    )


def modes(frames: list[Any]) -> list[tuple[str, str | None, int]]:
    return [
        (one["method"], one["data"].get("mode"), len(one["data"]["instrumentKeys"])) for one in asked(frames)
    ]


def test_what_was_watched_stays_so_that_the_volume_of_its_day_goes_on() -> None:
    feed = UpstoxFeed()
    feed.opened({RELIANCE: "ltpc", NIFTY: "ltpc"})
    assert modes(feed.change_mode({RELIANCE: "full_d30"})) == [("change_mode", "full_d30", 1)]
    assert modes(feed.change_mode({RELIANCE: "ltpc"})) == [("change_mode", "full", 1)]
    assert modes(feed.opened({RELIANCE: "ltpc", NIFTY: "ltpc"})) == [("sub", "ltpc", 1), ("sub", "full", 1)]


def test_what_was_watched_gives_its_room_to_what_is_watched() -> None:
    keys = [f"NSE_EQ|{number}" for number in range(1500)]
    feed = UpstoxFeed()
    feed.opened({RELIANCE: "full", NIFTY: "ltpc"})
    assert modes(feed.change_mode({RELIANCE: "ltpc"})) == []
    assert modes(feed.subscribe(dict.fromkeys(keys, "full"))) == [
        ("change_mode", "ltpc", 1),
        ("sub", "full", 500),
        ("sub", "full", 500),
        ("sub", "full", 500),
    ]
    assert modes(feed.unsubscribe(keys[:1])) == [("unsub", None, 1), ("change_mode", "full", 1)]


def test_who_leaves_makes_room_for_who_has_less_than_wanted(caplog: pytest.LogCaptureFixture) -> None:
    keys = [f"NSE_EQ|{number}" for number in range(2001)]
    feed = UpstoxFeed()
    feed.opened(dict.fromkeys(keys, "full"))
    assert "501 with less" in caplog.text
    requests = asked(feed.unsubscribe(keys[:1]))
    assert [(request["method"], request["data"].get("mode")) for request in requests] == [
        ("unsub", None),
        ("change_mode", "full"),
        ("change_mode", "full"),
    ]


def test_who_has_less_than_wanted_is_named_until_there_is_room() -> None:
    keys = [f"NSE_EQ|{number}" for number in range(2001)]
    feed = opened(*keys, mode="full")

    def said() -> list[Event]:
        events = feed.decode(market_info({"NSE_EQ": "NORMAL_OPEN"}))
        return [event for event in events if isinstance(event, Lowered)]

    assert said() == [Lowered(dict.fromkeys(keys[1500:], "ltpc"))]
    assert said() == []
    feed.change_mode({keys[0]: "ltpc"})
    assert said() == [Lowered(dict.fromkeys(keys[1501:], "ltpc"))]
    feed.opened({keys[0]: "full"})
    assert said() == [Lowered({})]
    feed.opened({keys[0]: "full"})
    assert said() == []


# -- refusals in text


def refusal(**fields: Any) -> bytes:
    return json.dumps({"status": "failed", "method": "sub", **fields}).encode()


def test_a_refused_key_is_told_with_the_vendors_reason_and_not_asked_for_again() -> None:
    feed = opened(RELIANCE, NIFTY)
    reason = f"{RELIANCE} is not a valid instrument key"
    assert feed.decode(refusal(error=reason)) == [Refused((RELIANCE,), reason)]
    assert feed.unsubscribe([RELIANCE]) == []


def test_a_key_that_begins_like_a_refused_one_is_not_refused_with_it() -> None:
    keys = ("NSE_INDEX|Nifty 50", "NSE_INDEX|Nifty 500", "NSE_FO|4545", "NSE_FO|45450")
    feed = opened(*keys)
    reason = "NSE_INDEX|Nifty 500 and NSE_FO|45450 are not valid"
    assert feed.decode(refusal(error=reason)) == [Refused((keys[1], keys[3]), reason)]
    assert feed.decode(refusal(error=f"{keys[0]} is not")) == [Refused((keys[0],), f"{keys[0]} is not")]


def test_every_key_of_a_long_refusal_is_refused_and_its_reason_is_cut() -> None:
    keys = tuple(f"NSE_EQ|INE{number:09}" for number in range(30))
    [refused] = opened(*keys).decode(refusal(error=f"not valid: {', '.join(keys)}"))
    assert isinstance(refused, Refused) and refused.symbols == keys and len(refused.reason) == 200


def test_an_error_without_a_key_is_only_counted() -> None:
    with pytest.raises(FrameError) as error:
        opened(RELIANCE).decode(refusal(error={"code": "X1", "message": "try again"}))
    assert (error.value.kind, str(error.value)) == ("vendor_error", "X1 try again")


@pytest.mark.parametrize(
    "reason", ["Invalid token used to access API", "Unauthorized", "authentication failed"]
)
def test_a_refused_token_is_permanent_and_says_what_to_do(reason: str) -> None:
    with pytest.raises(FeedError) as error:
        opened(RELIANCE).decode(refusal(errors=[{"errorCode": "UDAPI100050", "message": reason}]))
    assert error.value.permanent and "renew it" in str(error.value)


def test_an_account_without_thirty_levels_gets_five() -> None:
    feed = opened(RELIANCE, mode="full_d30")
    [send] = feed.decode(refusal(error="full_d30 needs Upstox Plus"))
    assert isinstance(send, Send)
    [request] = asked([send.frame])
    assert (request["method"], request["data"]["mode"]) == ("change_mode", "full")
    assert "full_d30" not in feed.modes and "full_d30" in UpstoxFeed.modes
    assert Lowered({RELIANCE: "full"}) in feed.decode(market_info({"NSE_EQ": "NORMAL_OPEN"}))


def test_an_answer_that_is_no_refusal_says_nothing() -> None:
    assert opened(RELIANCE).decode(b'{"status":"success","method":"sub"}') == []
