"""Massive's (Polygon's) own client: massive_client.py HOST:PORT MARKET SUBSCRIPTION..."""

import sys

from massive import WebSocketClient
from saying import say

feed, market, *subscriptions = sys.argv[1:]
client = WebSocketClient(api_key="key", feed=feed, market=market, subscriptions=subscriptions, secure=False)


def handle(messages: list[object]) -> None:
    for message in messages:
        say(type(message).__name__, message)


client.run(handle)
