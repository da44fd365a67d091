"""Upstox on loopback: market data V3 and V2, the portfolio stream, and the authorisation of all three, on one port.

A stream's own address redirects whoever brings the token to one that serves once; `…/authorize` tells such an address.
The Python SDK is led here by a proxy that ends its TLS: who asks for a name and not for an address of this machine is
sent on with wss://.
"""

import argparse
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.vendors import server
from tests.vendors.server import Client, Fault, Frame, VendorServer, redirect, reply
from tests.vendors.upstox_frames import (
    BEGIN_MS,
    UPDATES,
    Instrument,
    made_up,
    text_of,
    v2_feed,
    v2_frame,
    v3_feed,
    v3_frame,
    v3_market_info,
)

TOKEN = "token"
V3, V2, PORTFOLIO = "/v3/feed/market-data-feed", "/v2/feed/market-data-feed", "/v2/feed/portfolio-stream-feed"
# Where each stream is really served.
SERVED = {
    V3: "/market-data-feeder/v3/upstox-developer-api/feeds",
    V2: "/market-data-feeder/upstox-developer-api/feeds",
    PORTFOLIO: "/upstox-developer-api/order-updates/feed",
}
MODES = {V3: {"ltpc", "full", "option_greeks", "full_d30"}, V2: {"ltpc", "full", "option_chain"}}
INITIAL, LIVE = 0, 1
# Two a second.
HOUR_TICKS = 7200


@dataclass
class _Pass:
    """A code: which stream it opens, for whom, once."""

    stream: str
    token: str
    query: Mapping[str, list[str]] = field(default_factory=dict)


class UpstoxClient(Client):
    """One connection, and the mode of each key that it asked for."""

    def __init__(
        self, socket: ServerConnection, fault: Fault, garbage: Sequence[Frame], opened: _Pass
    ) -> None:
        super().__init__(socket, fault, garbage)
        self.opened = opened
        self.modes: dict[str, str] = {}


class Upstox(VendorServer[UpstoxClient]):
    """The server; the arguments beside the base's:

    Args:
        token: what it lets in.
        updates: what the portfolio stream says to whoever comes.
        segments: what V3 says of the markets, segment → status.
    """

    faults = {
        "expired-code:NUMBER": "so many one-time addresses are too old when they are used",
        "complain": "a request for an unknown key is answered, by an error in a text frame",
        "no-plus": "a request for full_d30 is answered by an error in a text frame",
    }
    garbage = (
        *server.GARBAGE,
        v3_frame(LIVE, {"NSE_EQ|X": v3_feed(made_up(count=1)[0][1], "full")}, BEGIN_MS)[:-9],
        v3_frame(LIVE, {"NSE_EQ|X": v3_feed(Instrument("", 0, float("nan"), BEGIN_MS), "ltpc")}, BEGIN_MS),
        '{"status":"success","method":"sub"}',
        # Numbers of fields that are not there yet.
        v3_frame(LIVE, {}, BEGIN_MS) + b"\xf8\x07\x01",
    )

    def __init__(
        self,
        script: Sequence[tuple[float, Instrument]] = (),
        *,
        token: str = TOKEN,
        updates: Sequence[Mapping[str, Any]] = UPDATES,
        segments: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(script=script or made_up(), **options)
        self._token = token
        self._updates = updates
        self._segments = segments
        self._codes: dict[str, _Pass] = {}
        self._expired = self.fault.number if self.fault.kind == "expired-code" else 0
        self._known: dict[str, Instrument] = {}
        # What each stream was asked for with, in its order.
        self.authorizations: list[str] = []

    # -- getting in

    def answer(self, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        stream = parts.path.removesuffix("/authorize")
        if stream in SERVED:
            return self._authorize(request, stream, parse_qs(parts.query), parts.path != stream)
        if parts.path in SERVED.values():
            return self._admit(parts.path, parse_qs(parts.query))
        return reply(404, {"status": "error"})

    def _authorize(
        self, request: Request, stream: str, query: Mapping[str, list[str]], tells: bool
    ) -> Response:
        token = request.headers.get("Authorization", "")
        self.authorizations.append(token)
        if self.fault.kind == "refuse-auth" or token != f"Bearer {self._token}":
            error = {"errorCode": "UDAPI100050", "message": "Invalid token used to access API"}
            return reply(401, {"status": "error", "errors": [error]})
        code = secrets.token_hex(8)
        self._codes[code] = _Pass(stream, token, query)
        host = request.headers.get("Host", "")
        scheme = "ws" if host.startswith(("127.0.0.1", "localhost")) else "wss"
        address = f"{scheme}://{host}{SERVED[stream]}?requestId={secrets.token_hex(4)}&code={code}"
        if not tells:
            self.connections -= 1  # the connection is the one that follows
            return redirect(address)
        data = {"authorized_redirect_uri": address, "authorizedRedirectUri": address}
        return reply(200, {"status": "success", "data": data})

    def _admit(self, path: str, query: Mapping[str, list[str]]) -> Response | None:
        found = self._codes.get(query.get("code", [""])[0])
        if found is None or SERVED[found.stream] != path or self._expired:
            self._expired = max(0, self._expired - 1)
            return reply(401, {"status": "error"})
        return None

    def new_client(self, socket: ServerConnection, fault: Fault) -> UpstoxClient:
        assert socket.request is not None
        code = parse_qs(urlsplit(socket.request.path).query)["code"][0]
        return UpstoxClient(socket, fault, self.garbage, self._codes.pop(code))

    def account_of(self, client: UpstoxClient) -> str:
        return f"{client.opened.stream} {client.opened.token}"

    async def arrived(self, client: UpstoxClient) -> None:
        if client.opened.stream == V3:
            info = v3_market_info(BEGIN_MS, self._segments) if self._segments else v3_market_info()
            client.put(info)
        elif client.opened.stream == PORTFOLIO:
            self.let_in(client)
            self.tell(self._updates, client)

    # -- the account

    def tell(self, updates: Sequence[Mapping[str, Any]], client: UpstoxClient | None = None) -> None:
        """Tells these to one client of the portfolio stream, or to all."""
        for one in [client] if client else self.clients.values():
            if one.opened.stream == PORTFOLIO:
                wanted = one.opened.query.get("update_types", ["order"])[0].split(",")
                for update in updates:
                    if update["update_type"] in wanted:
                        one.put(text_of(update))

    # -- the market

    def parsed(self, frame: Frame) -> Any:
        if isinstance(frame, str):
            raise ValueError("expected a binary frame")
        request = json.loads(frame)
        if request["method"] not in {"sub", "unsub", "change_mode"} or not request["guid"]:
            raise ValueError("expected sub, unsub or change_mode, and a guid")
        request["data"]["instrumentKeys"]
        return request

    async def not_understood(self, client: UpstoxClient, frame: Frame) -> None:
        client.put(_error("", "expected a request in a binary frame"))

    async def asked(self, client: UpstoxClient, request: Any) -> None:
        method, data = request["method"], request["data"]
        keys, stream = data["instrumentKeys"], client.opened.stream
        if method == "unsub":
            for key in keys:
                client.modes.pop(key, None)
            return
        mode = data.get("mode", "ltpc")
        if mode not in MODES.get(stream, ()):
            client.put(_error(method, f"{mode} is not a valid mode"))
        elif mode == "full_d30" and self.fault.kind == "no-plus":
            client.put(_error(method, "full_d30 needs Upstox Plus"))
        else:
            self._follow(client, method, keys, mode)
        self.let_in(client)

    def _follow(self, client: UpstoxClient, method: str, keys: Sequence[str], mode: str) -> None:
        for key in keys:
            if key in self._known:
                client.modes[key] = mode
            elif self.fault.kind == "complain":
                client.put(_error(method, f"{key} is not a valid instrument key"))
        known = [self._known[key] for key in keys if key in self._known]
        if known:
            client.put(_frame(client, known, INITIAL))

    def begins(self) -> None:
        self._known = {}
        for _, one in self._script:
            self._known.setdefault(one.key, one)

    def happens(self, event: Instrument) -> None:
        self._known[event.key] = event
        for client in self.clients.values():
            if event.key in client.modes:
                client.put(_frame(client, [event], LIVE))


def _frame(client: UpstoxClient, instruments: Sequence[Instrument], kind: int) -> bytes:
    now = max(one.now for one in instruments)
    if client.opened.stream == V2:
        return v2_frame(kind, {one.key: v2_feed(one, client.modes[one.key]) for one in instruments}, now)
    return v3_frame(kind, {one.key: v3_feed(one, client.modes[one.key]) for one in instruments}, now)


def _error(method: str, reason: str) -> str:
    return json.dumps({"status": "failed", "method": method, "error": reason})


def add_options(parser: argparse.ArgumentParser) -> None:
    server.add_server_options(parser, Upstox)
    parser.add_argument("--token", default=TOKEN, help="the access token that is let in")


def server_of(options: argparse.Namespace) -> Upstox:
    if options.recording is not None:
        raise ValueError("expected no recording: this market is made up")
    script = made_up(count=HOUR_TICKS, begin=round(time.time() * 1000))
    return Upstox(script, token=options.token, **server.server_options(options))
