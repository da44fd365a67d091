"""Our own polled feed through the real yfinance: yahoo_feed.py URL SECONDS poll|history [DAYS UNTIL] SYMBOL..."""

import asyncio
import sys
from datetime import datetime

import msgspec
from saying import say

from realtime.feeds.base import FeedError
from realtime.feeds.yahoo import YahooFeed

url, seconds, what, *rest = sys.argv[1:]
feed = YahooFeed(url=url, total_seconds=float(seconds))


async def ask() -> None:
    try:
        if what == "history":
            days, until, symbol = rest
            found = await feed.history(symbol, int(days), datetime.fromisoformat(until))
        else:
            found = await feed.poll(rest)
    except FeedError as error:
        say(
            "FeedError",
            {"message": str(error), "permanent": error.permanent, "retry_after": error.retry_after},
        )
        return
    for event in found:
        say(type(event).__name__, msgspec.to_builtins(event))
    say("end")


asyncio.run(ask())
