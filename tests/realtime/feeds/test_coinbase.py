"""Coinbase Exchange: what its frames say, to the digit; how its refusals are split; how its gaps are seen."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assets.market import AccountEvent, Book, Depth, Quote, Trade
from realtime.feeds.base import Confirmed, Event, FeedError, FrameError, Gap, Refused, Send, Subscribed
from realtime.feeds.coinbase import CoinbaseFeed
from realtime.feeds.coinbase_channels import signed
from tests.realtime.feeds.fakes import START, JumpingClock

SECRET = "bm90IGEgcmVhbCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc="
TICKER = {
    "type": "ticker",
    "sequence": 201390042,
    "product_id": "SKL-USD",
    "price": "0.7904",
    "open_24h": "0.7055",
    "volume_24h": "34220028.50000000",
    "low_24h": "0.6915",
    "high_24h": "0.8098",
    "volume_30d": "948647381.20000000",
    "best_bid": "0.7901",
    "best_ask": "0.7911",
    "side": "buy",
    "time": "2021-04-17T16:43:37.056746Z",
    "trade_id": 1568267,
    "last_size": "1338.3",
}
MATCH = {
    "type": "match",
    "trade_id": 881614,
    "maker_order_id": "27fff20b-af29-4f45-8744-56dd1ef57dc0",
    "taker_order_id": "1da6ce16-c8da-4732-9f71-6049f4c6aaf8",
    "side": "sell",
    "size": "0.04",
    "price": "14.7775",
    "product_id": "BAND-GBP",
    "sequence": 333938798,
    "time": "2021-04-17T16:43:30.244075Z",
}
SNAPSHOT = {
    "type": "snapshot",
    "product_id": "BTC-USD",
    "bids": [["99.5", "1"], ["100.00", "0.4505"], ["98", "3"]],
    "asks": [["101.50", "2"], ["101", "0.5775"]],
}


def opened(*products: str, **options: Any) -> CoinbaseFeed:
    feed = CoinbaseFeed(products, clock=JumpingClock(), **options)
    feed.opened(products)
    return feed


def told(feed: CoinbaseFeed, message: dict[str, Any], **fields: Any) -> list[Event]:
    return feed.decode(json.dumps({**message, **fields}).encode())


def update(*changes: tuple[str, str, str], product: str = "BTC-USD") -> dict[str, Any]:
    return {
        "type": "l2update",
        "product_id": product,
        "changes": changes,
        "time": "2022-08-04T15:25:05.010758Z",
    }


def heartbeat(last_trade_id: int) -> dict[str, Any]:
    return {
        "type": "heartbeat",
        "last_trade_id": last_trade_id,
        "product_id": "BAND-GBP",
        "sequence": 1,
        "time": "2021-04-17T16:43:37.056746Z",
    }


def shown(events: list[Event]) -> Depth:
    """What the one event shows, which must be a book."""
    (book,) = events
    assert isinstance(book, Book)
    return book.top(5)


def requests(events: list[Event]) -> list[tuple[str, list[str]]]:
    frames = [json.loads(event.frame) for event in events if isinstance(event, Send)]
    return [(frame["type"], frame["product_ids"]) for frame in frames]


# -- what it asks


def test_it_subscribes_to_all_its_channels_at_once() -> None:
    (frame,) = CoinbaseFeed().opened(["BTC-USD", "ETH-EUR"])
    assert json.loads(frame) == {
        "type": "subscribe",
        "product_ids": ["BTC-USD", "ETH-EUR"],
        "channels": ["ticker", "matches", "level2_batch", "heartbeat"],
    }


def test_with_keys_it_asks_for_the_full_book_and_signs() -> None:
    feed = CoinbaseFeed(key="k", secret=SECRET, passphrase="p", clock=JumpingClock())
    frame = json.loads(feed.opened(["BTC-USD"])[0])
    timestamp = f"{START.timestamp():.6f}"
    assert frame["channels"] == ["ticker", "matches", "level2", "heartbeat"]
    assert (frame["key"], frame["passphrase"], frame["timestamp"]) == ("k", "p", timestamp)
    assert frame["signature"] == signed("k", b"not a real secret, 32 bytes long", "p", timestamp)["signature"]


def test_a_signature_is_the_one_that_openssl_makes() -> None:
    fields = signed("k", b"not a real secret, 32 bytes long", "p", "1423668312.654321")
    assert fields["signature"] == "WU8WmEOulDLuQGSWgrT52ANWq2xY5F4iW0+Kc+8Iq+I="


@pytest.mark.parametrize(
    "credentials",
    [{"key": "k"}, {"key": "k", "secret": SECRET}, {"secret": "???", "key": "k", "passphrase": "p"}],
)
def test_half_credentials_and_a_secret_that_is_no_base64_are_refused(credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        CoinbaseFeed(**credentials)  # type: ignore[arg-type]


def test_only_one_request_is_under_way_at_a_time() -> None:
    feed = opened("BTC-USD")
    assert feed.subscribe(["ETH-USD"]) == []
    assert feed.unsubscribe(["BTC-USD"]) == []
    answer = {"type": "subscriptions", "channels": [{"name": "ticker", "product_ids": ["BTC-USD"]}]}
    events = told(feed, answer)
    assert events[0] == Subscribed(("BTC-USD",))
    assert requests(events) == [("subscribe", ["ETH-USD"])]
    assert requests(told(feed, answer)) == [("unsubscribe", ["BTC-USD"])]
    assert requests(told(feed, answer)) == []


# -- what its frames say


def test_a_ticker_is_a_quote_with_the_figures_of_24_hours() -> None:
    assert told(opened("SKL-USD"), TICKER, best_bid_size="12.5", best_ask_size="0.00000001") == [
        Quote(
            symbol="SKL-USD",
            price=Decimal("0.7904"),
            as_of=datetime(2021, 4, 17, 16, 43, 37, 56746, tzinfo=UTC),
            last_quantity=Decimal("1338.3"),
            bid=Decimal("0.7901"),
            ask=Decimal("0.7911"),
            bid_quantity=Decimal("12.5"),
            ask_quantity=Decimal("0.00000001"),
            open=Decimal("0.7055"),
            high=Decimal("0.8098"),
            low=Decimal("0.6915"),
            volume=Decimal("34220028.50000000"),
            previous_close=None,
            window="24h",
        )
    ]


def test_a_ticker_keeps_its_digits() -> None:
    (quote,) = told(opened("SKL-USD"), TICKER, price="43000.0100")
    assert isinstance(quote, Quote)
    assert str(quote.price) == "43000.0100"


def test_a_first_ticker_without_a_trade_is_as_old_as_we_know() -> None:
    bare = {"type": "ticker", "product_id": "SKL-USD", "price": "1", "best_bid": "0", "best_ask": ""}
    (quote,) = told(opened("SKL-USD"), bare)
    assert isinstance(quote, Quote)
    assert (quote.as_of, quote.bid, quote.ask) == (START, None, None)


def test_a_match_is_a_trade_of_its_takers_side() -> None:
    assert told(opened("BAND-GBP"), MATCH) == [
        Trade(
            symbol="BAND-GBP",
            price=Decimal("14.7775"),
            quantity=Decimal("0.04"),
            as_of=datetime(2021, 4, 17, 16, 43, 30, 244075, tzinfo=UTC),
            side="buy",
            trade_id="881614",
        )
    ]


def test_a_snapshot_and_its_changes_are_a_book() -> None:
    feed = opened("BTC-USD")
    depth = shown(told(feed, SNAPSHOT))
    assert depth.bids == tuple(
        (Decimal(p), Decimal(q)) for p, q in (("100.00", "0.4505"), ("99.5", "1"), ("98", "3"))
    )
    assert depth.asks[0] == (Decimal("101"), Decimal("0.5775"))
    changes = update(("buy", "100", "0.00000000"), ("sell", "100.5", "7"), ("buy", "98", "4"))
    depth = shown(told(feed, changes))
    assert depth.bids == ((Decimal("99.5"), Decimal(1)), (Decimal(98), Decimal(4)))
    assert depth.asks[0] == (Decimal("100.5"), Decimal(7))


def test_a_change_below_the_best_levels_says_nothing() -> None:
    feed = opened("BTC-USD")
    bids = [[str(price), "1"] for price in range(100, 80, -1)]
    shown(told(feed, SNAPSHOT, bids=bids))
    assert told(feed, update(("buy", "85", "0"), ("buy", "84.5", "9"))) == []
    book = feed.book("BTC-USD")
    assert book is not None
    assert (Decimal("84.5"), Decimal(9)) in book.top(30).bids


def test_a_new_snapshot_is_the_truth() -> None:
    feed = opened("BTC-USD")
    told(feed, SNAPSHOT)
    depth = shown(told(feed, SNAPSHOT, bids=[["5", "5"]], asks=[]))
    assert (depth.bids, depth.asks) == (((Decimal(5), Decimal(5)),), ())


def test_a_change_before_the_snapshot_is_a_bad_frame_and_a_connection_begins_without_books() -> None:
    feed = opened("BTC-USD")
    told(feed, SNAPSHOT)
    feed.opened(["BTC-USD"])
    with pytest.raises(FrameError, match="expected a snapshot of BTC-USD first"):
        told(feed, update(("buy", "1", "1")))


def test_a_frame_with_one_bad_change_changes_nothing() -> None:
    feed = opened("BTC-USD")
    told(feed, SNAPSHOT)
    with pytest.raises(FrameError):
        told(feed, update(("buy", "99.75", "1"), ("buy", "1", "NaN")))
    book = feed.book("BTC-USD")
    assert book is not None and book.top(1).bids == ((Decimal("100.00"), Decimal("0.4505")),)


@pytest.mark.parametrize("price", ["N/A", "", "0", "-1", "NaN", "Infinity", "1e308", "1e-999999", "9" * 41])
def test_a_price_that_is_none_is_a_bad_frame(price: str) -> None:
    with pytest.raises(FrameError):
        told(opened("SKL-USD"), TICKER, price=price)


@pytest.mark.parametrize("message", [TICKER, MATCH, {**MATCH, "type": "last_match"}])
def test_a_time_without_a_zone_is_a_bad_frame(message: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="timezone"):
        told(opened("SKL-USD"), message, time="2021-04-17T16:43:30.244075")


@pytest.mark.parametrize(
    "level", [["NaN", "1"], ["1", "-1"], ["0", "1"], ["1e999", "1"], ["x", "1"], ["1"], ["1", "1", "1"]]
)
def test_a_level_that_is_none_is_a_bad_frame(level: list[str]) -> None:
    with pytest.raises(FrameError):
        told(opened("BTC-USD"), SNAPSHOT, bids=[level])


# -- order and gaps


def test_tickers_that_are_repeated_or_out_of_order_are_dropped() -> None:
    feed = opened("SKL-USD")
    assert len(told(feed, TICKER)) == 1
    assert told(feed, TICKER) == []
    assert told(feed, TICKER, sequence=201390041) == []
    assert len(told(feed, TICKER, sequence=201390052)) == 1


def test_trades_that_are_repeated_or_out_of_order_are_dropped() -> None:
    feed = opened("BAND-GBP")
    assert len(told(feed, MATCH, type="last_match")) == 1
    assert told(feed, MATCH) == []
    assert told(feed, MATCH, trade_id=881613) == []
    assert len(told(feed, MATCH, trade_id=881615)) == 1


def test_missed_trades_are_a_gap() -> None:
    feed = opened("BAND-GBP")
    told(feed, MATCH)
    gap, trade = told(feed, MATCH, trade_id=881618)
    assert gap == Gap("BAND-GBP", "trades 881615 to 881617 were missed")
    assert isinstance(trade, Trade)


OWN = {"user_id": "5844eceecf7e803e259d0365", "maker_user_id": "5844eceecf7e803e259d0365"}


def trades(events: list[Event]) -> list[str]:
    assert not [event for event in events if isinstance(event, Gap)]
    return [event.trade_id for event in events if isinstance(event, Trade)]


def test_our_copy_of_a_match_that_is_ahead_of_the_others_hides_none_of_them() -> None:
    feed = opened("BAND-GBP", channels=["matches", "user"], key="k", secret=SECRET, passphrase="p")
    assert trades(told(feed, MATCH)) == ["881614"]
    assert trades(told(feed, MATCH, trade_id=881616, **OWN)) == []
    assert trades(told(feed, MATCH, trade_id=881615)) == ["881615"]
    assert trades(told(feed, MATCH, trade_id=881616)) == ["881616"]
    assert trades(told(feed, MATCH, trade_id=881617, **OWN)) == ["881617"]


def test_our_own_matches_alone_are_no_trades_of_the_market_with_holes_between_them() -> None:
    feed = opened(
        "BAND-GBP", channels=["ticker", "user", "heartbeat"], key="k", secret=SECRET, passphrase="p"
    )
    for number in (881614, 881714):
        (event,) = told(feed, MATCH, trade_id=number, sequence=number, **OWN)
        assert isinstance(event, AccountEvent)
    assert told(feed, heartbeat(881800)) == told(feed, heartbeat(881900)) == [Confirmed(("BAND-GBP",))]


def test_a_heartbeat_confirms_the_last_price() -> None:
    assert told(opened("BAND-GBP"), heartbeat(5)) == [Confirmed(("BAND-GBP",))]


def test_a_trade_that_two_heartbeats_miss_is_a_gap_and_one_that_is_late_is_none() -> None:
    feed = opened("BAND-GBP")
    told(feed, MATCH)
    assert told(feed, heartbeat(881615)) == [Confirmed(("BAND-GBP",))]
    assert len(told(feed, MATCH, trade_id=881615)) == 1
    assert told(feed, heartbeat(881616)) == [Confirmed(("BAND-GBP",))]
    assert told(feed, heartbeat(881616))[1:] == [Gap("BAND-GBP", "trade 881616 was missed")]
    assert told(feed, heartbeat(881616)) == [Confirmed(("BAND-GBP",))]


# -- refusals


def refused(feed: CoinbaseFeed, reason: str, message: str = "Failed to subscribe") -> list[Event]:
    return told(feed, {"type": "error", "message": message, "reason": reason})


def test_a_product_that_the_vendor_names_is_refused_and_the_others_are_asked_again() -> None:
    feed = opened("BTC-USD", "NOPE-USD", "ETH-USD")
    events = refused(feed, "NOPE-USD is not a valid product")
    assert events[0] == Refused(("NOPE-USD",), "NOPE-USD is not a valid product")
    assert requests(events) == [("subscribe", ["BTC-USD", "ETH-USD"])]


def test_a_product_whose_name_is_part_of_another_is_not_blamed() -> None:
    feed = opened("SD-USD", "NOPE-SD-USD")
    assert refused(feed, "NOPE-SD-USD is not a valid product")[0] == Refused(
        ("NOPE-SD-USD",), "NOPE-SD-USD is not a valid product"
    )


@pytest.mark.parametrize("bad", [{"C"}, {"A", "H"}, {"A", "B", "C", "D", "E", "F", "G", "H"}])
def test_a_refusal_without_a_name_is_bisected(bad: set[str]) -> None:
    feed = CoinbaseFeed()
    open_requests = [json.loads(frame)["product_ids"] for frame in feed.opened("ABCDEFGH")]
    found: set[str] = set()
    accepted: set[str] = set()
    while open_requests:
        products = open_requests.pop()
        if bad & set(products):
            events = refused(feed, "Invalid product ID provided")
        else:
            accepted |= set(products)
            events = told(feed, {"type": "subscriptions", "channels": []})
        for event in events:
            if isinstance(event, Refused):
                found |= set(event.symbols)
        open_requests += [products for _, products in requests(events)]
    assert found == bad
    assert accepted == set("ABCDEFGH") - bad


@pytest.mark.parametrize(
    ("reason", "permanent"),
    [
        ("Sorry, you could not be authenticated: Bad Request", True),
        ("invalid signature", True),
        ("invalid api key", True),
        ("authentication required for this channel", True),
        ("No channels provided", True),
        ("foo is not a valid channel", True),
        ("rate limit exceeded", False),
        ("request timestamp expired", False),
        ("internal error", False),
    ],
)
def test_a_refusal_of_us_all_ends_the_connection_and_says_whether_for_good(
    reason: str, permanent: bool
) -> None:
    with pytest.raises(FeedError) as caught:
        refused(opened("BTC-USD", "ETH-USD"), reason)
    assert caught.value.permanent is permanent
    assert permanent or caught.value.retry_after == 5
    assert not isinstance(caught.value, FrameError)
    assert reason in str(caught.value)


def test_an_error_that_answers_nothing_ends_the_connection() -> None:
    feed = opened("BTC-USD")
    told(feed, {"type": "subscriptions", "channels": []})
    with pytest.raises(FeedError, match="ErrSlowConsume"):
        refused(feed, "", "ErrSlowConsume")


def test_a_refused_unsubscribe_harms_nothing() -> None:
    feed = opened("BTC-USD")
    told(feed, {"type": "subscriptions", "channels": []})
    feed.unsubscribe(["ETH-USD"])
    feed.subscribe(["SKL-USD"])
    assert requests(refused(feed, "ETH-USD is not a valid product", "Failed to unsubscribe")) == [
        ("subscribe", ["SKL-USD"])
    ]
