"""The third-party client that reconnects: polygon_async_client.py URL CLUSTER METHOD:SYMBOL..."""

import asyncio
import sys

from polygon import AsyncStreamClient
from saying import say

url, cluster, *subscriptions = sys.argv[1:]


async def handle(message: object) -> None:
    say("event", message)


async def main() -> None:
    client = AsyncStreamClient("key", cluster)
    client._url = f"{url}/{cluster}"  # it takes a host, and always wss://
    for subscription in subscriptions:
        method, _, symbol = subscription.partition(":")
        await getattr(client, method)([symbol], handle)
    await client.handle_messages(reconnect=True, max_reconnection_attempts=1, reconnection_delay=1)


asyncio.run(main())
