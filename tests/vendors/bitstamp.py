"""Bitstamp on loopback: an answer to each channel by itself, trades, and books that are whole each time."""

import argparse
import json
import re
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.vendors.frames import read_frames
from tests.vendors.server import Client, Fault, Frame, VendorServer, add_server_options, server_options

BEGUN = 1_790_401_277_000_000
LARGEST_FRAME_BYTES = 512
DEPTH = 100
PAIRS = ("btcusd", "etheur")
PRICES = ("83946.07", "83946.08", "83945.90", "83950.10")
CHANNELS = ("live_trades", "order_book")
RECONNECT = '{"event":"bts:request_reconnect","channel":"","data":null}'
HEARTBEAT = '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'


def answer(kind: str, channel: str) -> str:
    return json.dumps({"event": f"bts:{kind}_succeeded", "channel": channel, "data": {}})


def error(message: str) -> str:
    return json.dumps({"event": "bts:error", "channel": "", "data": {"code": None, "message": message}})


def trade(
    pair: str, price: str, number: int, side: int = 0, at: int = BEGUN, amount: str = "0.04929643"
) -> str:
    """Each number comes twice, as a double and as it was."""
    data = {
        "id": number,
        "timestamp": str(at // 1_000_000),
        "amount": float(amount),
        "amount_str": amount,
        "price": float(price),
        "price_str": price,
        "type": side,
        "microtimestamp": str(at),
        "buy_order_id": 2054415512244224,
        "sell_order_id": 2054415575154691,
    }
    return json.dumps({"data": data, "channel": f"live_trades_{pair}", "event": "trade"})


def book(pair: str, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]], at: int = BEGUN) -> str:
    data = {"timestamp": str(at // 1_000_000), "microtimestamp": str(at), "bids": bids, "asks": asks}
    return json.dumps({"data": data, "channel": f"order_book_{pair}", "event": "data"})


def whole_book(pair: str, step: int) -> str:
    """A hundred levels of each side, the best first."""
    bids = [[f"{83946 - level / 100:.2f}", f"{(level + step) % 7 + 0.25:.8f}"] for level in range(DEPTH)]
    asks = [[f"{83946.5 + level / 100:.2f}", f"{(level + step) % 5 + 0.5:.8f}"] for level in range(DEPTH)]
    return book(pair, bids, asks, BEGUN + step * 100_000)


def session(channel: str) -> list[str]:
    """What a subscriber hears of a channel."""
    kind, pair = channel.rsplit("_", 1)
    if kind == "order_book":
        return [whole_book(pair, step) for step in range(10)]
    return [trade(pair, price, 643660479 + 3 * at, at % 2, BEGUN + at) for at, price in enumerate(PRICES)]


SESSIONS = {f"{kind}_{pair}": session(f"{kind}_{pair}") for pair in PAIRS for kind in CHANNELS}


class BitstampClient(Client):
    def __init__(self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame]) -> None:
        super().__init__(socket, fault, garbage)
        self.channels: set[str] = set()


class BitstampServer(VendorServer[BitstampClient]):
    """Every subscriber hears its channels from the beginning, or a recorded market as it goes on."""

    garbage = (
        *VendorServer.garbage,
        '{"event":"trade","channel":"live_trades_btcusd","data":{}}',
        '{"event":"data","channel":"order_book_btcusd","data":{"microtimestamp":"1","bids":[["0","1"]],"asks":[]}}',
    )

    def new_client(self, socket: ServerConnection, fault: Fault) -> BitstampClient:
        return BitstampClient(socket, fault, self.garbage)

    async def asked(self, client: BitstampClient, request: Any) -> None:
        if len(json.dumps(request, separators=(",", ":"))) > LARGEST_FRAME_BYTES:
            await client.close(1009, "read limited at 513 bytes")
            return
        match request:
            case {"event": "bts:heartbeat"}:
                client.put(HEARTBEAT)
            case {"event": "bts:subscribe" | "bts:unsubscribe" as event, "data": {"channel": str(channel)}}:
                self._follow(client, event.removeprefix("bts:"), channel)
            case _:
                client.put(error("Bad subscription string."))

    def _follow(self, client: BitstampClient, kind: str, channel: str) -> None:
        """A pair that does not exist is acknowledged like any other."""
        if not re.fullmatch(rf"({'|'.join(CHANNELS)})_[a-z0-9-]+", channel):
            client.put(error("Invalid channel provided."))
            return
        client.put(answer("subscription" if kind == "subscribe" else "unsubscription", channel))
        if kind == "unsubscribe":
            client.channels.discard(channel)
        elif channel not in client.channels:
            client.channels.add(channel)
            for frame in () if self._script else SESSIONS.get(channel, ()):
                client.put(frame)
            self.let_in(client)

    def happens(self, event: Any) -> None:
        channel = json.loads(event).get("channel")
        for client in self.clients.values():
            if not channel or channel in client.channels:
                client.put(event)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, BitstampServer)


def server_of(options: argparse.Namespace) -> BitstampServer:
    script = read_frames(options.recording) if options.recording else ()
    return BitstampServer(script=script, **server_options(options))
