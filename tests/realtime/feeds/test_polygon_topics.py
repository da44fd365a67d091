"""What a cluster of Polygon is asked for, mode by mode, and what follows when its plan lacks something."""

import json

from realtime.feeds.polygon_topics import PAIRS_A_FRAME, REQUESTS_KEPT, Topics


def asked(frames: list[str]) -> list[str]:
    """Frames in short: + for subscribe, - for unsubscribe."""
    requests = [json.loads(frame) for frame in frames]
    return [f"{'+' if one['action'] == 'subscribe' else '-'}{one['params']}" for one in requests]


def test_each_mode_asks_for_no_more_than_it_shows() -> None:
    assert asked(Topics("stocks").want({"AAPL": "ltpc"})) == ["+T.AAPL", "+AM.AAPL"]
    assert asked(Topics("stocks").want({"AAPL": "quote"})) == [
        "+T.AAPL", "+A.AAPL", "+AM.AAPL", "+LULD.AAPL", "+NOI.AAPL", "+Q.AAPL",
    ]  # fmt: skip
    assert asked(Topics("options").want({"O:X": "quote"})) == ["+T.O:X", "+A.O:X", "+AM.O:X", "+Q.O:X"]
    assert asked(Topics("indices").want({"I:SPX": "quote"})) == ["+V.I:SPX", "+A.I:SPX", "+AM.I:SPX"]
    assert asked(Topics("forex").want({"EURUSD": "ltpc"})) == ["+C.EUR/USD,C.EUR-USD"]
    assert asked(Topics("crypto").want({"BTC-USD": "full"})) == [
        "+XT.BTC-USD", "+XA.BTC-USD", "+XL2.BTC-USD", "+XQ.BTC-USD",
    ]  # fmt: skip


def test_topics_of_special_plans_are_asked_for_where_somebody_wants_them() -> None:
    topics = Topics("crypto", more=["FMV", "NOI"])
    assert asked(topics.want({"BTC-USD": "ltpc"})) == ["+XT.BTC-USD", "+XA.BTC-USD"]
    assert asked(topics.want({"BTC-USD": "quote"})) == ["+FMV.BTC-USD", "+XQ.BTC-USD"]


def test_a_change_of_mode_asks_for_the_difference_and_an_end_for_nothing_more() -> None:
    topics = Topics("crypto")
    topics.want({"BTC-USD": "full", "ETH-USD": "ltpc"})
    assert asked(topics.want({"BTC-USD": "quote"})) == ["-XL2.BTC-USD"]
    assert asked(topics.want({"BTC-USD": "quote", "ETH-USD": "quote"})) == ["+XQ.ETH-USD"]
    assert asked(topics.drop(["ETH-USD", "UNKNOWN"])) == ["-XA.ETH-USD", "-XQ.ETH-USD", "-XT.ETH-USD"]


def test_all_tickers_are_asked_for_once_and_richer_topics_one_by_one() -> None:
    topics = Topics("stocks", all_tickers=True)
    assert asked(topics.want({"AAPL": "ltpc", "MSFT": "ltpc"})) == ["+T.*", "+AM.*"]
    assert asked(topics.want({"MSFT": "quote"})) == ["+A.MSFT", "+LULD.MSFT", "+NOI.MSFT", "+Q.MSFT"]
    assert asked(topics.drop(["AAPL"])) == []


def test_many_tickers_are_asked_for_in_several_frames() -> None:
    frames = Topics("stocks").want(
        dict.fromkeys((f"S{number}" for number in range(PAIRS_A_FRAME + 1)), "ltpc")
    )
    assert [len(json.loads(frame)["params"].split(",")) for frame in frames] == [PAIRS_A_FRAME, 1] * 2


def test_a_plan_without_trades_is_priced_by_aggregates() -> None:
    topics = Topics("stocks")
    topics.want({"AAPL": "ltpc", "MSFT": "ltpc"})
    # Nothing is named, so it is the oldest request that has had no answer.
    refusal = topics.refused("not authorized")
    assert refusal.topics == ("T",) and refusal.symbols == ()
    assert asked(refusal.frames) == ["+A.AAPL,A.MSFT"]
    topics.acknowledged("AM.AAPL")
    topics.acknowledged("AM.MSFT")
    refusal = topics.refused("not authorized")
    assert (refusal.topics, refusal.symbols, refusal.frames) == (("A",), (), [])


def test_a_symbol_that_nothing_may_price_is_refused_and_no_other() -> None:
    topics = Topics("indices")
    topics.want({"I:SPX": "ltpc", "I:NDX": "ltpc"})
    assert asked(topics.refused("not authorized: V.I:NDX").frames) == ["+A.I:NDX"]
    assert topics.refused("You are not authorized (A.I:NDX).").symbols == ()
    refusal = topics.refused("not authorized: AM.I:NDX")
    assert (refusal.symbols, refusal.frames) == (("I:NDX",), [])
    assert asked(topics.drop(["I:NDX"])) == []


def test_a_refusal_of_all_tickers_asks_for_the_next_topic_one_by_one() -> None:
    topics = Topics("stocks", all_tickers=True)
    topics.want({"AAPL": "ltpc", "MSFT": "ltpc"})
    assert asked(topics.refused("not authorized: T.*").frames) == ["+A.AAPL,A.MSFT"]
    assert asked(topics.want({"IBM": "ltpc"})) == ["+A.IBM"]


def test_an_unknown_topic_is_never_answered_and_takes_no_blame_for_others() -> None:
    topics = Topics("stocks")
    topics.want({"AAPL": "quote"})
    for pair in ("T.AAPL", "A.AAPL", "AM.AAPL", "NOI.AAPL"):  # LULD is passed over
        topics.acknowledged(pair)
    assert topics.refused("not authorized").topics == ("Q",)
    assert topics.refused("not authorized") == topics.refused("not authorized")  # nobody's
    assert not topics.is_waiting


def test_a_refusal_that_names_what_we_never_asked_for_is_nobodys() -> None:
    topics = Topics("stocks")
    topics.want({"AAPL": "ltpc"})
    topics.acknowledged("T.AAPL")
    topics.acknowledged("AM.AAPL")
    refusal = topics.refused("not authorized for FMV.MSFT, see https://example.com/A.B")
    assert (refusal.frames, refusal.symbols, refusal.topics) == ([], (), ())


def test_requests_that_nobody_answers_do_not_pile_up() -> None:
    topics = Topics("forex")
    for _ in range(REQUESTS_KEPT):
        topics.want({"EURUSD": "ltpc"})
        topics.drop(["EURUSD"])
    topics.want({"EURUSD": "quote"})
    assert len(topics._requests) == REQUESTS_KEPT
