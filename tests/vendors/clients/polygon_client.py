"""The third-party client with callbacks: polygon_client.py URL CLUSTER METHOD:SYMBOL,SYMBOL..."""

import sys
import time

from polygon import StreamClient
from saying import say

url, cluster, *subscriptions = sys.argv[1:]
client = StreamClient(
    "key",
    cluster,
    # Unchecked, hence bytes, with the current websocket-client.
    on_message=lambda socket, text: say("text", text.decode() if isinstance(text, bytes) else text),
)
client.WS.url = f"{url}/{cluster}"  # it takes a host, and always wss://
client.start_stream_thread()
while client.WS.sock is None or not client.WS.sock.connected:
    time.sleep(0.01)
for subscription in subscriptions:
    method, _, symbols = subscription.partition(":")
    getattr(client, method)(symbols.split(","))
