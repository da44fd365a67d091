"""Our own polled feed through the real ccxt: ccxt_feed.py '[[NAME, EXCHANGE, URL, [[what, argument...]...]]...]'

Each of those has a feed of its own, and they ask side by side; what it says begins with its name.
"""

import asyncio
import json
import sys
from datetime import datetime

import msgspec
from saying import say

from realtime.feeds.base import FeedError
from realtime.feeds.ccxt_exchange import CcxtFeed


async def ask(name: str, exchange: str, url: str, questions: list[list[str]]) -> None:
    feed = CcxtFeed(exchange, url=url)
    for what, *words in questions:
        try:
            if what == "history":
                days, until, symbol = words
                found = await feed.history(symbol, int(days), datetime.fromisoformat(until))
            else:
                found = await feed.poll(words)
        except FeedError as error:
            say(name, "FeedError", [str(error), error.permanent, error.retry_after])
            continue
        for event in found:
            say(name, type(event).__name__, msgspec.to_builtins(event))


async def ask_all() -> None:
    await asyncio.gather(*(ask(*one) for one in json.loads(sys.argv[1])))


asyncio.run(ask_all())
