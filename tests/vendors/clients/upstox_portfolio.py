"""Upstox's own streamer of the account, as it is: upstox_portfolio.py TOKEN"""

import sys

import upstox_client
from saying import say, wait

configuration = upstox_client.Configuration()
configuration.access_token = sys.argv[1]
streamer = upstox_client.PortfolioDataStreamer(
    upstox_client.ApiClient(configuration),
    order_update=True,
    position_update=True,
    holding_update=True,
    gtt_update=True,
)
streamer.on("open", lambda: say("open"))
streamer.on("message", lambda message: say("message", message))
streamer.on("error", lambda error: say("error", str(error)))
streamer.connect()
wait()
