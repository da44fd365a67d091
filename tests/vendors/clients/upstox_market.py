"""Upstox's own streamer of market data, V3 or V2, as it is: upstox_market.py CLASS MODE [KEY...]

Each line of its input is a call, in JSON: [METHOD, KEYS, MODE].
"""

import json
import sys

import upstox_client
from saying import say, wait

name, mode, *keys = sys.argv[1:]
configuration = upstox_client.Configuration()
configuration.access_token = "token"
streamer = getattr(upstox_client, name)(upstox_client.ApiClient(configuration), keys, mode)
streamer.on("open", lambda: say("open"))
streamer.on("message", lambda message: say("message", message))
streamer.on("error", lambda error: say("error", str(error)))
streamer.on("close", lambda code, reason: say("close", code, reason))
streamer.on("reconnecting", lambda text: say("reconnecting", text))
streamer.connect()
while line := wait():
    method, *arguments = json.loads(line)
    getattr(streamer, method)(*arguments)
