"""Upstox's own streamer of market data V3, as it is: upstox_streamer.py [KEY...]"""

import sys

import upstox_client
from saying import say, wait

configuration = upstox_client.Configuration()
configuration.access_token = "token"
streamer = upstox_client.MarketDataStreamerV3(upstox_client.ApiClient(configuration), sys.argv[1:], "full")
streamer.auto_reconnect(False)
streamer.on("open", lambda: say("open"))
streamer.on("message", lambda message: message and say("message", message))
streamer.connect()
wait()
