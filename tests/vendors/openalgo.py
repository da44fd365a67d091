"""A small OpenAlgo proxy on loopback: the shapes of its real server, fed with made-up or recorded ticks.

There is no snapshot: whoever subscribes hears of the next tick. A tick goes once to each client, under the richest of
the client's modes that it can fill. Written without any of our own decoding.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.vendors.frames import BEGIN, Frames, read_frames
from tests.vendors.server import (
    GARBAGE,
    Client,
    Fault,
    Frame,
    VendorServer,
    add_server_options,
    server_options,
)

AUTH_SECONDS = 15.0
MODES = {"ltp": 1, "quote": 2, "depth": 3}
NAMES = {1: "LTP", 2: "Quote", 3: "Depth"}
BROKER = "upstox"
SYMBOLS = ("NSE:RELIANCE", "NSE:SBIN", "NSE_INDEX:NIFTY")
OWN_GARBAGE: tuple[Frame, ...] = (
    *GARBAGE,
    '{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":2,"data":{"ltp":"N/A"}}',
    '{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,"data":null}',
    '{"type":"market_data","topic":"RELIANCE.NSE","mode":"ltp","data":{"symbol":"RELIANCE","ltp":1}}',
    '{"type":"ltp","symbol":"RELIANCE","exchange":"NSE","ltp":1}',
    '{"type":"a_new_kind","data":{}}',
)


def made_up_ticks(symbols: Sequence[str] = SYMBOLS, count: int = 300, seed: int = 1) -> Frames:
    """Makes ticks as a broker sends them: a quote or depth of a symbol, now and then what happens to an order."""
    dice = random.Random(seed)
    state = {
        symbol: {"close": float(dice.randrange(100, 3000)), "low": 0.0, "high": 0.0, "volume": 0}
        for symbol in symbols
    }
    frames: Frames = []
    seconds = BEGIN
    for number in range(count):
        seconds += dice.random() * 0.05
        symbol = dice.choice(list(symbols))
        if number % 25 == 24:
            event: dict[str, Any] = _order(symbol, number, dice)
        else:
            event = _tick(symbol, state[symbol], round(seconds * 1000), dice)
        frames.append((seconds, json.dumps(event)))
    return frames


def _tick(symbol: str, known: dict[str, float], millis: int, dice: random.Random) -> dict[str, Any]:
    exchange, _, name = symbol.partition(":")
    is_index = exchange.endswith("_INDEX")
    price = round(known["close"] + dice.randrange(-400, 400) * 0.05, 2)
    known["high"] = max(known["high"] or price, price)
    known["low"] = min(known["low"] or price, price)
    known["volume"] += 0 if is_index else dice.randrange(1, 500)
    data: dict[str, Any] = {"ltp": price, "timestamp": millis}
    mode = 2 if is_index or dice.random() < 0.6 else 3
    if mode == 3:
        data["depth"] = {
            side: [
                {
                    "price": round(price + sign * 0.05 * step, 2),
                    "quantity": dice.randrange(1, 500),
                    "orders": 3,
                }
                for step in range(1, 6)
            ]
            for side, sign in (("buy", -1), ("sell", 1))
        }
    else:
        data |= {
            "open": known["close"],
            "high": known["high"],
            "low": known["low"],
            "close": known["close"],
            "volume": known["volume"],
            "last_trade_quantity": 0 if is_index else dice.randrange(1, 500),
            "avg_trade_price": 0.0 if is_index else known["close"],
            "change": round(price - known["close"], 2),
            "change_percent": round(100 * (price - known["close"]) / known["close"], 2),
        }
    return {"symbol": name, "exchange": exchange, "mode": mode, "data": data}


def _order(symbol: str, number: int, dice: random.Random) -> dict[str, Any]:
    exchange, _, name = symbol.partition(":")
    return {
        "type": "order_update",
        "user_id": "u",
        "mode": "live",
        "broker": BROKER,
        "orderid": f"24022100{number:06}",
        "symbol": name,
        "exchange": exchange,
        "action": dice.choice(["BUY", "SELL"]),
        "quantity": 10,
        "price": 1424.05,
        "trigger_price": 0,
        "pricetype": "LIMIT",
        "product": "MIS",
        "order_status": "complete",
        "filled_quantity": 10,
        "pending_quantity": 0,
        "average_price": 1423.85,
        "rejection_reason": "",
    }


class ProxyClient(Client):
    """One connection: the modes of each symbol, and whether it hears of orders."""

    def __init__(self, socket: ServerConnection, fault: Fault) -> None:
        super().__init__(socket, fault, OWN_GARBAGE)
        self.modes: dict[tuple[str, str], set[int]] = {}
        self.hears_orders = False


class OpenAlgoProxy(VendorServer[ProxyClient]):
    """The server.

    Args:
        frames: (seconds, tick or order update as text); a tick's mode is what the broker sent it in.
        key: the API key that is let in.
        symbols: what the broker knows beside what is in the frames.
        features: what the broker can do; all when None.
        auth_seconds: who has not shown the key by then is closed with 4401.
        options: those of every vendor's server.
    """

    faults = {
        "broker-lost:NUMBER": "after so many ticks everybody is told once that the broker is lost",
        "repeat-orders": "every order update comes twice",
        "refuse-whole": "a subscribe with any bad symbol is refused whole",
    }

    def __init__(
        self,
        frames: Sequence[tuple[float, str]],
        *,
        key: str = "key",
        symbols: Sequence[str] = (),
        features: dict[str, bool] | None = None,
        auth_seconds: float = AUTH_SECONDS,
        **options: Any,
    ) -> None:
        script = [(seconds, json.loads(frame)) for seconds, frame in frames]
        super().__init__(script=script, **options)
        self._key = key
        self._features = features or {"ltp": True, "quote": True, "depth": True}
        self._auth_seconds = auth_seconds
        self._known = {_instrument(event) for _, event in script if "symbol" in event}
        self._known |= {
            (exchange, name) for exchange, _, name in (symbol.partition(":") for symbol in symbols)
        }
        self._graces: set[asyncio.Task[None]] = set()
        self._ticks = 0

    def new_client(self, socket: ServerConnection, fault: Fault) -> ProxyClient:
        return ProxyClient(socket, fault)

    # -- the market

    def happens(self, event: dict[str, Any]) -> None:
        if event.get("type") == "order_update":
            for client in self.clients.values():
                for _ in range((1 + (self.fault.kind == "repeat-orders")) * client.hears_orders):
                    client.put(json.dumps(event))
            return
        if "data" not in event:
            return
        self._ticks += 1
        for client in self.clients.values():
            filled = [mode for mode in client.modes.get(_instrument(event), ()) if mode <= event["mode"]]
            if filled:
                tick = {"type": "market_data", **event, "mode": max(filled), "broker": BROKER}
                client.put(json.dumps(tick))
            if self.fault.kind == "broker-lost" and self._ticks == self.fault.number:
                _say_error(client, {}, "BROKER_CONNECTION_ERROR", "the broker is lost")

    # -- a connection

    async def arrived(self, client: ProxyClient) -> None:
        grace = asyncio.create_task(self._close_unless_let_in(client))
        self._graces.add(grace)
        grace.add_done_callback(self._graces.discard)

    async def _close_unless_let_in(self, client: ProxyClient) -> None:
        await asyncio.sleep(self._auth_seconds)
        if not self.is_let_in(client):
            await client.close(4401, "auth timeout")

    async def __aexit__(self, *error: object) -> None:
        for grace in list(self._graces):
            grace.cancel()
        await super().__aexit__(*error)

    def parsed(self, frame: Frame) -> Any:
        request = json.loads(frame)
        if not isinstance(request, dict):
            raise TypeError
        return request

    async def not_understood(self, client: ProxyClient, frame: Frame) -> None:
        _say_error(client, {}, "INVALID_JSON", "Invalid JSON message")

    async def asked(self, client: ProxyClient, request: Any) -> None:
        action = request.get("action") or request.get("type")
        if action in {"authenticate", "auth"}:
            self._authenticate(client, request)
            return
        if not self.is_let_in(client):
            _say_error(client, request, "NOT_AUTHENTICATED", "You must authenticate first")
            return
        match action:
            case "subscribe":
                self._subscribe(client, request)
            case "unsubscribe":
                self._unsubscribe(client, request)
            case "unsubscribe_all":
                client.modes.clear()
                _say(client, request, "unsubscribe", message="Unsubscription processing complete")
            case "subscribe_orders" | "unsubscribe_orders":
                client.hears_orders = action == "subscribe_orders"
                _say(client, request, action, message="Subscribed to order updates")
            case "ping":
                _say(client, request, "pong", server_timestamp=round(time.time() * 1000))
            case "get_broker_info":
                _say(client, request, "broker_info", broker=BROKER, adapter_status="connected", user_id="u")
            case "get_supported_brokers":
                _say(client, request, "supported_brokers", brokers=[BROKER], count=1)
            case _:
                _say_error(client, request, "INVALID_ACTION", f"Invalid action: {action}")

    def _authenticate(self, client: ProxyClient, request: dict[str, Any]) -> None:
        key = request.get("api_key") or request.get("apikey")
        if key != self._key or self.fault.kind == "refuse-auth":
            _say_error(client, request, "AUTHENTICATION_ERROR", "Invalid API key")
            return
        client.put(
            json.dumps(
                {
                    "type": "auth",
                    "status": "success",
                    "message": "Authentication successful",
                    "broker": BROKER,
                    "user_id": "u",
                    "supported_features": self._features,
                }
            )
        )
        self.let_in(client)

    def _subscribe(self, client: ProxyClient, request: dict[str, Any]) -> None:
        mode = _mode(request.get("mode", "Quote"))
        if mode is None:
            _say_error(client, request, "INVALID_MODE", f"Invalid mode: {request.get('mode')}")
            return
        instruments = _instruments(request)
        if not instruments:
            _say_error(client, request, "INVALID_PARAMETERS", "Missing symbol or exchange")
            return
        problems = [self._problem(instrument, mode) for instrument in instruments]
        if any(problems) and self.fault.kind == "refuse-whole":
            _say_error(client, request, "PROCESSING_ERROR", "Error processing message")
            return
        entries = []
        for instrument, problem in zip(instruments, problems, strict=True):
            entry = {"symbol": instrument[1], "exchange": instrument[0], "broker": BROKER}
            if problem:
                entries.append({**entry, "status": "error", "message": problem})
                continue
            client.modes.setdefault(instrument, set()).add(mode)
            done = {"status": "success", "mode": NAMES[mode], "depth": request.get("depth", 5)}
            entries.append({**entry, **done})
        _say(
            client,
            request,
            "subscribe",
            status="partial" if any(problems) else "success",
            message="Subscription processing complete",
            subscriptions=entries,
            broker=BROKER,
        )

    def _problem(self, instrument: tuple[str, str], mode: int) -> str:
        if instrument not in self._known:
            return f"Symbol {instrument[1]} not found for exchange {instrument[0]}"
        if mode == 3 and instrument[0].endswith("_INDEX"):
            return "Depth is not available for an index"
        return ""

    def _unsubscribe(self, client: ProxyClient, request: dict[str, Any]) -> None:
        entries = request.get("symbols") or [request]
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for entry in entries:
            mode = _mode(entry.get("mode", 2))
            modes = client.modes.get(_instrument(entry), set())
            told = {"symbol": entry.get("symbol"), "exchange": entry.get("exchange"), "broker": BROKER}
            if mode in modes:
                modes.discard(mode)
                done.append({**told, "status": "success"})
            else:
                failed.append({**told, "status": "error", "message": "Not subscribed"})
        _say(
            client,
            request,
            "unsubscribe",
            status="success" if not failed else "partial" if done else "error",
            message="Unsubscription processing complete",
            successful=done,
            failed=failed,
            broker=BROKER,
        )


def _instrument(entry: dict[str, Any]) -> tuple[str, str]:
    return str(entry.get("exchange")), str(entry.get("symbol"))


def _instruments(request: dict[str, Any]) -> list[tuple[str, str]]:
    entries = request.get("symbols") or [request]
    return [_instrument(entry) for entry in entries if entry.get("symbol") and entry.get("exchange")]


def _mode(mode: Any) -> int | None:
    if isinstance(mode, str):
        return MODES.get(mode.lower())
    return mode if mode in NAMES else None


def _say(client: ProxyClient, request: dict[str, Any], kind: str, **fields: Any) -> None:
    told = {"type": kind, "status": "success", **fields}
    if "request_id" in request:
        told["request_id"] = request["request_id"]
    client.put(json.dumps(told))


def _say_error(client: ProxyClient, request: dict[str, Any], code: str, message: str) -> None:
    told = {"status": "error", "code": code, "message": message}
    if "request_id" in request:
        told["request_id"] = request["request_id"]
    client.put(json.dumps(told))


def add_options(parser: argparse.ArgumentParser) -> None:
    add_server_options(parser, OpenAlgoProxy)
    parser.add_argument("--key", default="key", help="the API key that is let in")


def server_of(options: argparse.Namespace) -> OpenAlgoProxy:
    frames = read_frames(options.recording) if options.recording else made_up_ticks(count=20_000)
    return OpenAlgoProxy(frames, key=options.key, **server_options(options))
