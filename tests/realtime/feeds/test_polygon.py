"""Polygon's frames into exact values: every kind of event, what conditions allow, and what is only half right."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.market import Bar, BidAsk, Depth, MarketNotice, Quote, Trade
from realtime.feeds.base import Confirmed, Event, FeedError, FrameError, Mode, Ready, Refused, Send
from realtime.feeds.polygon import PolygonFeed
from realtime.feeds.polygon_conditions import OPTIONS, effects
from realtime.feeds.polygon_symbols import Cluster, names, rest_ticker, wire_symbols

D = Decimal
MILLISECONDS = 1_536_036_818_784
AT = datetime(2018, 9, 4, 4, 53, 38, 784_000, tzinfo=UTC)


def let_in(cluster: Cluster, *symbols: str, mode: Mode = "quote") -> PolygonFeed:
    feed = PolygonFeed(cluster, "secret", symbols)
    feed.opened(dict.fromkeys(symbols, mode))
    feed.decode(b'[{"ev":"status","status":"auth_success","message":"authenticated"}]')
    return feed


def told(feed: PolygonFeed, *events: dict[str, Any]) -> list[Event]:
    """What one frame of these events says, without the confirmation that comes along now and then."""
    return [
        event
        for event in feed.decode(json.dumps(events).encode())
        if not isinstance(event, Confirmed | Ready)
    ]


def trade(**changes: Any) -> dict[str, Any]:
    event = {
        "ev": "T", "sym": "MSFT", "x": 4, "i": "12345", "z": 3, "p": 114.125, "s": 100, "c": [0],
        "t": MILLISECONDS, "pt": 1536036818763, "q": 3681328,
    }  # fmt: skip
    return {**event, **changes}


def second(**changes: Any) -> dict[str, Any]:
    event = {
        "ev": "A", "sym": "MSFT", "v": 200, "av": 8642007, "op": 25.66, "vw": 25.3981, "o": 25.39, "c": 25.4,
        "h": 25.41, "l": 25.38, "a": 25.3714, "z": 50, "s": MILLISECONDS - 784, "e": MILLISECONDS + 216,
    }  # fmt: skip
    return {**event, **changes}


# -- every kind of event


def test_a_trade_with_its_fractional_size_and_an_id_that_is_unique() -> None:
    feed = let_in("stocks", "MSFT")
    assert told(feed, trade(ds="100.5", trfi=201)) == [
        Trade(symbol="MSFT", price=D("114.125"), quantity=D("100.5"), as_of=AT, trade_id="4-201-12345")
    ]
    (whole,) = told(feed, trade(ds="100.000000"))
    assert isinstance(whole, Trade)
    assert (str(whole.quantity), whole.trade_id) == ("100", "4-12345")
    # The same id is another trade on another exchange.
    assert [one.trade_id for one in told(feed, trade(x=4), trade(x=12)) if isinstance(one, Trade)] == [
        "4-12345",
        "12-12345",
    ]


def test_a_trade_of_an_option_has_no_id_and_is_named_by_its_number() -> None:
    contract = "O:AMC210827C00037000"
    feed = let_in("options", contract)
    event = {
        "ev": "T",
        "sym": contract,
        "x": 65,
        "p": 1.54,
        "s": 1,
        "c": [233],
        "t": MILLISECONDS,
        "q": 651921857,
    }
    first, second = told(feed, event, {**event, "q": 651921858})
    assert isinstance(first, Trade) and isinstance(second, Trade)
    assert (first.trade_id, second.trade_id) == ("65-651921857", "65-651921858")
    # Where there is not even a number, no two trades are taken for one.
    del event["q"]
    (unnamed,) = told(feed, event)
    assert isinstance(unnamed, Trade) and unnamed.trade_id == ""


def test_a_quote_without_a_price_and_zero_for_nobody() -> None:
    feed = let_in("stocks", "MSFT")
    quote = {
        "ev": "Q", "sym": "MSFT", "bx": 4, "bp": 114.125, "bs": 100, "ax": 7, "ap": 114.128, "as": 160, "c": 0,
        "i": [604], "t": MILLISECONDS, "q": 50385480, "z": 3,
    }  # fmt: skip
    assert told(feed, quote, {**quote, "bp": 0, "bs": 0}) == [
        BidAsk(
            symbol="MSFT",
            as_of=AT,
            bid=D("114.125"),
            ask=D("114.128"),
            bid_quantity=D(100),
            ask_quantity=D(160),
        ),
        BidAsk(symbol="MSFT", as_of=AT, bid=None, ask=D("114.128"), ask_quantity=D(160)),
    ]


def test_a_second_tells_of_the_day_and_prices_what_no_trade_has_priced() -> None:
    feed = let_in("stocks", "MSFT")
    day = {"open": D("25.66"), "volume": D(8642007), "average_price": D("25.3714")}
    end = datetime(2018, 9, 4, 4, 53, 38, 999_000, tzinfo=UTC)
    assert told(feed, second()) == [Quote(symbol="MSFT", price=D("25.4"), as_of=end, **day)]  # type: ignore[arg-type]
    # From now on the last price is that of a trade, and its time too: the aggregate only tells of the day.
    _, quote = told(feed, trade(p=25.39), second(dav="8642007.25"))
    day["volume"] = D("8642007.25")
    assert quote == Quote(symbol="MSFT", price=D("25.39"), as_of=AT, **day)  # type: ignore[arg-type]


def test_a_minute_is_the_vendors_own_bar_beside_what_it_tells_of_the_day() -> None:
    feed = let_in("stocks", "GTE")
    minute = {
        "ev": "AM", "sym": "GTE", "v": 4110, "dv": "4110.5", "av": 9470157, "op": 0.4372, "vw": 0.4488, "o": 0.4488,
        "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "z": 685, "s": 1610144640000, "e": 1610144700000,
    }  # fmt: skip
    bar, quote = told(feed, minute)
    assert bar == Bar(
        symbol="GTE",
        interval="1m",
        start=datetime(2021, 1, 8, 22, 24, tzinfo=UTC),
        open=D("0.4488"),
        high=D("0.4489"),
        low=D("0.4486"),
        close=D("0.4486"),
        volume=D("4110.5"),
    )
    assert isinstance(quote, Quote)
    # Its last moment, so that it falls into its own minute and not into the next one.
    assert quote.as_of == datetime(2021, 1, 8, 22, 24, 59, 999_000, tzinfo=UTC)


def test_notices_of_price_bands_imbalances_and_fair_values_in_nanoseconds() -> None:
    feed = let_in("stocks", "MSFT", "NTEST.Q", "AAPL")
    bands = {
        "ev": "LULD",
        "T": "MSFT",
        "h": 492.99,
        "l": 446.04,
        "i": [16],
        "z": 3,
        "t": 1764086430905642800,
        "q": 5,
    }
    imbalance = {
        "ev": "NOI", "T": "NTEST.Q", "t": 1601318039223013600, "at": 930, "a": "M", "i": 44, "x": 10, "o": -480,
        "p": 440, "b": 25.03,
    }  # fmt: skip
    fair = {"ev": "FMV", "fmv": 189.22, "sym": "AAPL", "t": 1678220098130000000}
    assert told(feed, bands, imbalance, fair) == [
        MarketNotice(
            symbol="MSFT",
            kind="price_bands",
            as_of=datetime(2025, 11, 25, 16, 0, 30, 905_642, tzinfo=UTC),
            figures={"high": D("492.99"), "low": D("446.04"), "indicators": "16"},
        ),
        MarketNotice(
            symbol="NTEST.Q",
            kind="imbalance",
            as_of=datetime(2020, 9, 28, 18, 33, 59, 223_013, tzinfo=UTC),
            figures={
                "quantity": D(480),
                "side": "sell",
                "paired_quantity": D(440),
                "reference_price": D("25.03"),
                "auction": "M",
            },
        ),
        MarketNotice(
            symbol="AAPL",
            kind="fair_value",
            as_of=datetime(2023, 3, 7, 20, 14, 58, 130_000, tzinfo=UTC),
            figures={"value": D("189.22")},
        ),
    ]


def test_a_launchpad_value_prices_what_no_trade_has_priced() -> None:
    feed = let_in("stocks", "MSFT")
    value = {"ev": "LV", "val": 189.22, "sym": "MSFT", "t": MILLISECONDS}
    assert told(feed, value) == [Quote(symbol="MSFT", price=D("189.22"), as_of=AT)]
    told(feed, trade())
    assert told(feed, value) == []


def test_an_index_has_a_value_and_no_volume() -> None:
    feed = let_in("indices", "I:SPX")
    value = {"ev": "V", "val": 3988.5, "T": "I:SPX", "t": 1678220675500}
    at = datetime(2023, 3, 7, 20, 24, 35, 500_000, tzinfo=UTC)
    minute = {"ev": "AM", "sym": "I:SPX", "op": 3985.67, "o": 3985.67, "c": 3985.67, "h": 3986.1, "l": 3985.6,
              "s": 1678220675000, "e": 1678220676000}  # fmt: skip
    quote, bar, day = told(feed, value, minute)
    assert quote == Quote(symbol="I:SPX", price=D("3988.5"), as_of=at)
    assert isinstance(bar, Bar) and bar.volume is None
    assert day == Quote(symbol="I:SPX", price=D("3988.5"), as_of=at, open=D("3985.67"))


def test_a_currency_pair_is_worth_the_exact_middle_of_bid_and_ask() -> None:
    feed = let_in("forex", "EUR/USD")
    quote = {"ev": "C", "p": "EUR/USD", "x": "44", "a": 1.08514, "b": 1.08511, "t": MILLISECONDS}
    assert told(feed, quote, {**quote, "b": 0}) == [
        Quote(symbol="EUR/USD", price=D("1.085125"), as_of=AT, bid=D("1.08511"), ask=D("1.08514")),
        BidAsk(symbol="EUR/USD", as_of=AT, bid=None, ask=D("1.08514")),
    ]


def test_a_pairs_minute_is_a_bar_and_its_count_of_quotes_no_volume() -> None:
    aggregate = {
        "ev": "CA", "pair": "EUR/USD", "o": 1.085, "c": 1.0851, "h": 1.0852, "l": 1.0849, "v": 110,
        "s": 1610463240000, "e": 1610463300000,
    }  # fmt: skip
    bar, quote = told(let_in("forex", "EUR/USD"), aggregate)
    assert isinstance(bar, Bar) and isinstance(quote, Quote)
    assert (bar.close, bar.volume, quote.price) == (D("1.0851"), None, D("1.0851"))
    other = {**aggregate, "ev": "AM", "sym": "C:EUR-USD", "av": 9000, "a": 1.085}  # of the launchpad
    assert told(let_in("forex", "EUR/USD"), other) == [bar, quote]
    aggregate |= {"ev": "XA", "pair": "BTC-USD", "v": 951.6112, "vw": 0.7756, "z": 73}
    bar, quote = told(let_in("crypto", "BTC-USD"), aggregate)
    assert isinstance(bar, Bar) and bar.volume == D("951.6112")
    for cluster, kind, pair in (("forex", "CAS", "EUR/USD"), ("crypto", "XAS", "BTC-USD")):
        assert told(let_in(cluster, pair), {**aggregate, "ev": kind, "pair": pair}) == [  # type: ignore[arg-type]
            Quote(
                symbol=pair, price=D("1.0851"), as_of=datetime(2021, 1, 12, 14, 54, 59, 999_000, tzinfo=UTC)
            )
        ]


def test_a_crypto_trade_says_who_took() -> None:
    feed = let_in("crypto", "BTC-USD")
    event = {
        "ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": MILLISECONDS, "s": 0.01616617, "c": [2], "i": 14272084,
        "x": 3, "r": 1610462007576,
    }  # fmt: skip
    sold = {**event, "c": [1], "i": "9"}
    assert told(feed, event, sold) == [
        Trade(
            symbol="BTC-USD",
            price=D("33021.9"),
            quantity=D("0.01616617"),
            as_of=AT,
            side=side,  # type: ignore[arg-type]
            trade_id=trade_id,
        )
        for side, trade_id in (("buy", "3-14272084"), ("sell", "3-9"))
    ]


def test_a_book_is_whole_sorted_and_of_one_exchange_at_a_time() -> None:
    feed = let_in("crypto", "BTC-USD", mode="full")
    book = {
        "ev": "XL2", "pair": "BTC-USD", "t": MILLISECONDS, "r": 1610462411128, "x": 3,
        "b": [[33712.1, 0.5], [33712.7, 0.16], [33700, 0]], "a": [[33718.23, 2.5], [33717.9, 1]],
    }  # fmt: skip
    other = {**book, "x": 1, "t": MILLISECONDS + 5000}
    quote = {"ev": "XQ", "pair": "BTC-USD", "bp": 33712.7, "bs": 0.16, "ap": 33718.23, "as": 2.5, "t": MILLISECONDS,
             "x": 1, "r": 1610412257446}  # fmt: skip
    assert told(feed, book, other, quote) == [
        Depth(
            symbol="BTC-USD",
            bids=((D("33712.7"), D("0.16")), (D("33712.1"), D("0.5"))),
            asks=((D("33717.9"), D(1)), (D("33718.23"), D("2.5"))),
            as_of=AT,
        )
    ]
    # It has been silent for ten seconds, so the other one's is shown from now on.
    (later,) = told(feed, {**other, "t": MILLISECONDS + 10_000})
    assert isinstance(later, Depth)
    quoted = told(feed, {**quote, "t": MILLISECONDS + 10_001})
    assert [type(one) for one in quoted] == [BidAsk]


# -- what a trade may do (NUMBERS, part E)


@pytest.mark.parametrize(
    ("conditions", "last", "high_low", "volume"),
    [
        (None, True, True, True),
        ([], True, True, True),
        ([14, 41], True, True, True),  # intermarket sweep, trade-through exempt
        ([37], False, False, True),  # odd lot
        ([14, 37, 41], False, False, True),
        ([12], False, False, True),  # before or after hours
        ([2], False, False, True),  # average price
        ([13], False, False, True),
        ([32], False, True, True),  # out of sequence: may widen the bar, moves no price
        ([10, 52], False, False, True),  # the stricter of two
        ([9999], True, True, True),
    ],
)
def test_conditions_say_what_a_stock_trade_may_do(
    conditions: list[int] | None, last: bool, high_low: bool, volume: bool
) -> None:
    (one,) = told(let_in("stocks", "MSFT"), trade(c=conditions))
    assert isinstance(one, Trade)
    assert (one.updates_last, one.updates_high_low, one.updates_volume) == (last, high_low, volume)


def test_what_is_no_trade_is_not_told_and_a_correction_is_no_volume() -> None:
    feed = let_in("stocks", "MSFT")
    assert told(feed, trade(c=[16]), trade(c=[15], x=7)) == []
    close, correction = told(feed, trade(c=[38]))
    assert isinstance(close, Quote) and close.official_close == D("114.125")
    assert isinstance(correction, Trade) and not correction.updates_volume and correction.updates_last


def test_the_official_close_is_that_of_the_exchange_that_lists() -> None:
    feed = let_in("stocks", "MSFT")
    assert told(feed, trade(c=[15], z=3, x=12)) == [
        Quote(symbol="MSFT", price=D("114.125"), as_of=AT, official_close=D("114.125"))
    ]
    assert told(feed, trade(c=[15], z=1, x=12), trade(c=[15], z=2, x=11)) == []


def test_an_odd_lot_and_an_after_hours_print_do_not_become_the_price_that_an_aggregate_repeats() -> None:
    feed = let_in("stocks", "MSFT")
    told(
        feed,
        trade(p=100.0),
        trade(p=150.0, c=[37], t=MILLISECONDS + 1),
        trade(p=160.0, c=[12], t=MILLISECONDS + 2),
    )
    (quote,) = told(feed, second())
    assert isinstance(quote, Quote) and quote.price == 100


def test_conditions_of_options_are_opras() -> None:
    effect = effects(OPTIONS)
    assert effect[(209,)] == effect[(232,)] == effect[(204,)] == (True, True, True)
    assert effect[(202,)] == (False, True, True)
    assert effect[(201,)].is_nothing and effect[(209, 207)].is_nothing
    contract = "O:SPY251219C00650000"
    feed = let_in("options", contract)
    assert told(feed, trade(sym=contract, c=[203])) == []
    (one,) = told(feed, trade(sym=contract, c=[37]))  # another list than the stocks'
    assert isinstance(one, Trade) and one.updates_last


# -- symbols


@pytest.mark.parametrize(
    ("cluster", "symbol", "wire", "rest"),
    [
        ("stocks", "BRK.B", ("BRK.B",), "BRK.B"),
        ("options", "SPY251219C00650000", ("O:SPY251219C00650000",), "O:SPY251219C00650000"),
        ("options", "O:SPY251219C00650000", ("O:SPY251219C00650000",), "O:SPY251219C00650000"),
        ("indices", "SPX", ("I:SPX",), "I:SPX"),
        ("forex", "C:EURUSD", ("EUR/USD", "EUR-USD"), "C:EURUSD"),
        ("forex", "usd-jpy", ("USD/JPY", "USD-JPY"), "C:USDJPY"),
        ("forex", "GBPINR", ("GBP/INR", "GBP-INR"), "C:GBPINR"),
        ("crypto", "X:BTCUSD", ("BTC-USD",), "X:BTCUSD"),
        ("crypto", "DOGE/USDT", ("DOGE-USDT",), "X:DOGEUSDT"),
    ],
)
def test_a_symbol_with_or_without_prefix_is_the_same_instrument(
    cluster: Cluster, symbol: str, wire: tuple[str, ...], rest: str
) -> None:
    assert wire_symbols(cluster, symbol) == wire
    assert rest_ticker(cluster, symbol) == rest
    assert set(wire) <= set(names(cluster, symbol))


def test_events_carry_the_symbol_that_was_asked_for_whatever_frames_call_it() -> None:
    feed = let_in("crypto", "X:BTCUSD")
    event = {"ev": "XT", "pair": "BTC-USD", "p": 1, "t": MILLISECONDS, "s": 1, "i": 1, "x": 3}
    fair = {"ev": "FMV", "fmv": 2, "sym": "X:BTC-USD", "t": MILLISECONDS}
    assert [one.symbol for one in told(feed, event, fair)] == ["X:BTCUSD"] * 2  # type: ignore[union-attr]


def test_a_symbol_that_cannot_be_one_is_refused_and_harms_no_other() -> None:
    feed = let_in("crypto", "NOPE", "BTC-USD")
    event = {"ev": "XT", "pair": "BTC-USD", "p": 1, "t": MILLISECONDS, "s": 1, "i": 1, "x": 3}
    feed.subscribe({"WRONG": "quote"})
    first, refusal = told(feed, event)
    assert isinstance(first, Trade)
    assert refusal == Refused(("WRONG",), "expected a pair such as BTC-USD, was 'WRONG'")


def test_one_instrument_under_two_names_is_refused_the_second_and_goes_on_as_the_first() -> None:
    feed = let_in("forex", "EUR/USD")
    assert feed.subscribe({"C:EURUSD": "ltpc"}) == []
    quote = {"ev": "C", "p": "EUR/USD", "a": 1.08514, "b": 1.08511, "t": MILLISECONDS}
    value, refusal = told(feed, quote)
    assert isinstance(value, Quote) and value.symbol == "EUR/USD"
    assert refusal == Refused(("C:EURUSD",), "expected each instrument once, was 'C:EURUSD' beside 'EUR/USD'")
    assert feed.unsubscribe(["C:EURUSD"]) == [] and len(told(feed, quote)) == 1
    # Once the first is gone the other may be followed.
    feed.unsubscribe(["EUR/USD"])
    assert feed.subscribe({"C:EURUSD": "ltpc"})
    (value,) = told(feed, quote)
    assert isinstance(value, Quote) and value.symbol == "C:EURUSD"


def test_a_ticker_that_nobody_follows_says_nothing() -> None:
    feed = let_in("stocks", "MSFT")
    assert told(feed, trade(sym="AAPL"), second(sym="AAPL")) == []
    feed.unsubscribe(["MSFT"])
    assert told(feed, trade()) == []


def test_a_recording_is_read_without_knowing_its_tickers() -> None:
    feed = PolygonFeed("stocks", "", everything=True)
    feed.opened({})
    assert [one.symbol for one in told(feed, trade(), trade(sym="AAPL"))] == ["MSFT", "AAPL"]  # type: ignore[union-attr]


# -- what is only half right


def test_kinds_that_are_unknown_or_of_another_cluster_say_nothing() -> None:
    feed = let_in("stocks", "MSFT")
    crypto = {"ev": "XT", "pair": "MSFT", "p": 1, "t": MILLISECONDS, "s": 1}
    assert told(feed, {"ev": "ZZ", "sym": "MSFT"}, crypto) == []
    assert [type(one) for one in told(feed, {"ev": "ZZ"}, trade(), crypto)] == [Trade]
    assert feed.bad_events.total() == 0


def test_a_bad_event_is_counted_and_left_out_and_the_others_of_its_frame_are_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = let_in("stocks", "MSFT")
    assert [type(one) for one in told(feed, trade(p="N/A"), trade(), trade(t=-1), trade(p=1e-300))] == [Trade]
    assert feed.bad_events == {"bad_T": 1, "bad_number": 2}
    assert caplog.text.count("left out an event (bad_number)") == 1


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "not_json"),
        (b"<html>502</html>", "not_json"),
        (b'[{"ev":"T","sym":"MSFT","p":114.12', "not_json"),
        (b'[{"ev":"T","sym":"MSFT"},{"ev":"T","sym":', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"null", "bad_event"),
        (b'"text"', "bad_event"),
        (b"[1]", "bad_event"),
        (b'[{"sym":"MSFT"}]', "bad_event"),
        (b'[{"ev":"T","sym":"MSFT"}]', "bad_T"),
        (b'[{"ev":"T","sym":"MSFT","p":1e999,"t":1}]', "bad_T"),
        (b'[{"ev":"T","sym":"MSFT","p":1,"s":1,"ds":"NaN","t":1536036818784}]', "bad_number"),
        (b'[{"ev":"T","sym":"MSFT","p":1,"s":1,"ds":"1e99","t":1536036818784}]', "bad_number"),
        (b'[{"ev":"T","sym":"MSFT","p":1e40,"s":1,"t":1536036818784}]', "bad_number"),
        (b'[{"ev":"T","sym":"MSFT","p":1,"s":1,"t":99999999999999999999999}]', "bad_number"),
        (b'[{"ev":"AM","sym":"MSFT","o":3,"h":2,"l":1,"c":2,"s":1536036818784}]', "bad_number"),
    ],
)
def test_a_frame_that_cannot_be_used_is_a_frame_error_and_the_next_one_is_read(
    frame: bytes, kind: str
) -> None:
    feed = let_in("stocks", "MSFT")
    with pytest.raises(FrameError) as problem:
        feed.decode(frame)
    assert problem.value.kind == kind
    assert told(feed, trade())


def test_deep_nesting_is_a_frame_error() -> None:
    with pytest.raises(FrameError):
        let_in("stocks", "MSFT").decode(b"[" * 100_000)


def test_a_single_event_without_its_array_is_read_too() -> None:
    assert isinstance(let_in("stocks", "MSFT").decode(json.dumps(trade()).encode())[0], Trade)


def test_a_double_of_190_55_stays_190_55_and_a_whole_one_stays_whole() -> None:
    feed = let_in("stocks", "MSFT")
    prices = [
        one.price
        for one in told(feed, trade(p=190.55), trade(p=190), trade(p=0.0001))
        if isinstance(one, Trade)
    ]
    assert [format(price, "f") for price in prices] == ["190.55", "190", "0.0001"]


# -- letting in, and what the vendor says of us


def status(feed: PolygonFeed, kind: str, message: str) -> list[Event]:
    return feed.decode(json.dumps([{"ev": "status", "status": kind, "message": message}]).encode())


def sent(events: list[Event]) -> list[dict[str, str]]:
    return [json.loads(event.frame) for event in events if isinstance(event, Send)]


def test_the_key_waits_for_the_greeting_and_the_subscriptions_for_the_key() -> None:
    feed = PolygonFeed("stocks", "secret", ["AAPL"])
    assert feed.opened({"AAPL": "ltpc"}) == []
    assert feed.subscribe({"MSFT": "ltpc"}) == []
    assert sent(status(feed, "connected", "Connected Successfully")) == [
        {"action": "auth", "params": "secret"}
    ]
    assert feed.silence_after is not None
    assert sent(status(feed, "auth_success", "authenticated")) == [
        {"action": "subscribe", "params": "T.AAPL,T.MSFT"},
        {"action": "subscribe", "params": "AM.AAPL,AM.MSFT"},
    ]
    assert feed.silence_after is None
    assert status(feed, "success", "subscribed to: T.AAPL") == [Ready()]
    assert status(feed, "success", "subscribed to: T.MSFT,AM.AAPL, AM.MSFT") == []
    # All has been answered, so that a refusal without a name is of nothing.
    assert status(feed, "error", "not authorized") == []


@pytest.mark.parametrize(
    ("kind", "message", "permanent", "pause"),
    [
        ("auth_failed", "authentication failed", True, None),
        ("auth_failed", "Your plan doesn't include websocket access.", True, None),
        ("auth_timeout", "No authentication request received.", False, None),
        ("slow_consumer", "buffer full", False, None),
        ("max_connections", "Maximum number of websocket connections exceeded.", False, 30),
        ("force_disconnect", "maintenance", False, 30),
    ],
)
def test_a_refusal_of_us_ends_the_connection_and_only_a_wrong_key_ends_the_feed(
    kind: str, message: str, permanent: bool, pause: float | None
) -> None:
    feed = let_in("stocks", "MSFT")
    with pytest.raises(FeedError, match=message.rstrip(".")) as refused:
        status(feed, kind, message + " key secret")
    assert (refused.value.permanent, refused.value.retry_after) == (permanent, pause)
    assert "secret" not in str(refused.value)


def test_words_that_are_no_refusal_are_logged_once_and_the_vendors_reasons_are_cut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = let_in("indices", "I:SPX")
    for _ in range(3):
        assert status(feed, "error", "try again " * 100) == []
    assert len(caplog.records) == 1 and len(caplog.text) < 400
    for topic in ("V", "A"):
        status(feed, "error", f"not authorized: {topic}.I:SPX")
    *_, refused = status(feed, "error", "not authorized: AM.I:SPX " + "pay " * 100)
    assert isinstance(refused, Refused) and len(refused.reason) < 220
    with pytest.raises(FeedError) as error:
        status(feed, "auth_failed", "pay " * 100)
    assert len(str(error.value)) < 240


def test_what_is_alive_confirms_what_it_has_priced_now_and_then() -> None:
    feed = let_in("stocks", "MSFT", "AAPL", "QUIET")

    def confirmed(**changes: Any) -> list[Event]:
        return [
            one for one in feed.decode(json.dumps([trade(**changes)]).encode()) if isinstance(one, Confirmed)
        ]

    assert confirmed() == [Confirmed(("MSFT",))]
    assert confirmed(sym="AAPL", t=MILLISECONDS + 9000) == []
    assert confirmed(sym="AAPL", t=MILLISECONDS + 10_000) == [Confirmed(("MSFT", "AAPL"))]


def test_no_secret_is_shown_by_the_feed() -> None:
    assert "secret" not in repr(PolygonFeed("stocks", "secret")) + PolygonFeed("stocks", "secret").url


def test_a_symbol_that_nothing_may_price_is_taken_back_whole() -> None:
    feed = let_in("indices", "I:NDX", "I:SPX")
    for topic in ("V", "A"):
        status(feed, "error", f"not authorized: {topic}.I:NDX")
    events = status(feed, "error", "not authorized: AM.I:NDX")
    assert events == [Refused(("I:NDX",), "AM: error: not authorized: AM.I:NDX")]
    stocks = let_in("stocks", "MSFT")
    for topic in ("T", "A"):
        status(stocks, "error", f"not authorized: {topic}.MSFT")
    given_up = sent(status(stocks, "error", "not authorized: AM.MSFT"))
    assert given_up == [
        {"action": "unsubscribe", "params": f"{topic}.MSFT"} for topic in ("LULD", "NOI", "Q")
    ]
    # Whoever follows it again asks for it again.
    assert [json.loads(one)["params"] for one in stocks.subscribe({"MSFT": "ltpc"})] == ["T.MSFT", "AM.MSFT"]
