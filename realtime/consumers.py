"""One WebSocket from handshake to close: who may come in, what each message does, and the one writer.

A Channels consumer whose `__call__` is its own: the stock dispatch costs a thread hop for each message, and a
channel of the layer for each socket. Nothing here keeps prices; the hub and the outbox do.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import redis.exceptions
from channels.consumer import AsyncConsumer
from django.conf import settings

from assets.models import normal_symbol
from realtime import alert_frames
from realtime.bus import UNREACHABLE
from realtime.catalog import KnownAsset
from realtime.daily_bars import UNKNOWN, read_daily_bars
from realtime.database import UNAVAILABLE, in_database
from realtime.handshake import Credential, Headers, Identity, Refused, anonymous, check_origin, credential_of
from realtime.hub import Hub, running_hub
from realtime.limits import Admission, TokenBucket, leases_of
from realtime.live_portfolio import LivePortfolios
from realtime.outbox import Options
from realtime.protocol import (
    HEARTBEAT_INTERVAL,
    Ack,
    ChangeMode,
    Channel,
    ClearSubscriptions,
    CloseCode,
    ErrorCode,
    Message,
    Mode,
    Ping,
    ProtocolError,
    SubscribeAsset,
    SubscribePortfolio,
    UnsubscribeAsset,
    UnsubscribePortfolio,
    encode,
    envelope,
    error_frame,
    now,
    parse,
    requested_symbols,
)
from realtime.streams import NO_CHANNELS
from realtime.writer import EXTENSION, MessageSocket, Socket, Writer

log = logging.getLogger("personal_finance.realtime.consumer")

MAX_ERRORS_PER_MINUTE = 20
MAX_RATE = 1000.0

_live: dict[Hub, LivePortfolios] = {}


def live_portfolios(hub: Hub) -> LivePortfolios:
    if hub not in _live:
        _live.clear()
        _live[hub] = LivePortfolios(hub)
        alert_frames.listen(hub)
    return _live[hub]


class RealtimeConsumer(AsyncConsumer):
    """The endpoint `/ws/realtime/`; its messages are `realtime.protocol`'s."""

    async def __call__(
        self, scope: Mapping[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]
    ) -> None:
        self._receive, self._send = receive, send
        self._hub = await running_hub()
        self._live = live_portfolios(self._hub)
        self._socket: Socket = scope.get("extensions", {}).get(EXTENSION) or MessageSocket(send)
        await receive()  # websocket.connect
        connection_id = str(uuid.uuid4())
        address = (scope.get("client") or ("unknown", 0))[0]
        revocations = self._hub.identities.revocations
        try:
            identity, unwelcome = await self._admit(scope, address, connection_id)
        except Refused as refusal:
            await self._refuse(refusal)
            return
        leases = leases_of(connection_id, address, identity.user_id)
        try:
            await send({"type": "websocket.accept"})
        except BaseException:
            self._hub.limits.release(leases)
            raise
        if unwelcome is not None:
            self._hub.counters[f"closed_{int(unwelcome)}"] += 1
            self._hub.limits.release(leases)
            await send({"type": "websocket.close", "code": int(unwelcome), "reason": unwelcome.reason})
            return
        options, complaints = parse_options(scope.get("query_string", b""))
        self._connection = self._hub.open(connection_id, identity, address, options)
        if revocations != self._hub.identities.revocations:  # one of them may have been this one's
            self._hub.recheck([self._connection])
        await self._serve(complaints)

    # --- the handshake -----------------------------------------------------------------------------------------------

    async def _admit(
        self, scope: Mapping[str, Any], address: str, connection_id: str
    ) -> tuple[Identity, CloseCode | None]:
        """Returns who is calling, and why not to keep them after accept, so that a browser sees the reason.

        Raises:
            Refused: before accept; no place is taken then.
        """
        headers = Headers(scope)
        check_origin(scope, headers)
        if self._hub.draining or not self._hub.redis_ok:
            raise Refused(503, "not ready", retry_after=2)
        credential = credential_of(headers)
        identity = credential and self._hub.identities.known(credential)
        admission = await self._take_places(connection_id, address, identity)
        if admission is Admission.TOO_FAST:
            raise Refused(429, "too many handshakes from this address", retry_after=1)
        if admission is Admission.ADDRESS_FULL:
            raise Refused(429, "too many connections from this address", retry_after=10)
        if identity is None:
            try:
                identity = await self._identify(credential)
                if identity.may_stream:
                    admission = await self._take_places(connection_id, None, identity)
            except BaseException:
                self._hub.limits.release(leases_of(connection_id, address, user_id_of(identity)))
                raise
        if not identity.may_stream:
            return identity, CloseCode.FORBIDDEN
        return identity, CloseCode.CONNECTION_LIMIT if admission is Admission.USER_FULL else None

    async def _take_places(self, name: str, address: str | None, identity: Identity | None) -> Admission:
        user_id = user_id_of(identity)
        if address is None and user_id is None:
            return Admission.ADMITTED
        try:
            return await self._hub.limits.admit(name, address, user_id)
        except (redis.exceptions.RedisError, *UNREACHABLE) as error:
            raise Refused(503, "Redis does not answer", retry_after=2) from error

    async def _identify(self, credential: Credential | None) -> Identity:
        if credential is None:
            return anonymous()
        try:
            return await self._hub.identities.find(credential)
        except UNAVAILABLE as error:
            raise Refused(503, "the database does not answer", retry_after=2) from error

    async def _refuse(self, refusal: Refused) -> None:
        headers = [(b"content-type", b"application/json")]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refusal.retry_after is not None:
            headers.append((b"retry-after", str(refusal.retry_after).encode()))
        self._hub.counters[f"refused_{refusal.status}"] += 1
        start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
        await self._send(start)
        body = encode({"detail": refusal.detail}).encode()
        await self._send({"type": "websocket.http.response.body", "body": body})

    # --- reading and writing -----------------------------------------------------------------------------------------

    async def _serve(self, complaints: list[ProtocolError]) -> None:
        connection = self._connection
        self._bucket = TokenBucket(
            settings.WEBSOCKET_MESSAGE_RATE, settings.WEBSOCKET_MESSAGE_BURST, self._hub.clock
        )
        self._errors: deque[float] = deque(maxlen=MAX_ERRORS_PER_MINUTE)
        self._floods: deque[float] = deque(maxlen=MAX_ERRORS_PER_MINUTE)
        self._reader = asyncio.current_task()
        self._greet()
        for complaint in complaints:
            connection.put_event(error_frame(complaint))
        writer = Writer(connection, self._socket, self._hub.clock, self._stop_reading)
        code = 1006
        try:
            code = await self._read()
        except asyncio.CancelledError:
            if connection.closing is None:
                raise
        finally:
            self._reader = None
            writer.stop()
            self._live.leave(connection, connection.portfolios)
            self._hub.close(connection, connection.closing[0] if connection.closing else code)
        if connection.closing is not None:
            await writer.end(self._send, *connection.closing)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    def _greet(self) -> None:
        connection, hub = self._connection, self._hub
        data = {
            "status": "connected",
            "connection_id": connection.id,
            "authenticated": connection.identity.is_authenticated,
            "user_id": connection.identity.user_id,
            "epoch": {source: view.epoch for source, view in hub.feeds.views.items()},
            "limits": {
                "subscriptions": settings.MAX_SUBSCRIPTIONS_PER_CONNECTION,
                "message_bytes": settings.WEBSOCKET_MAX_MESSAGE_BYTES,
            },
            "heartbeat_interval": HEARTBEAT_INTERVAL,
            "server_time": now(),
        }
        connection.put_event(envelope("connection", encode(data)))
        for source, view in hub.feeds.views.items():
            connection.outbox.put_status(source, view.frame())

    async def _read(self) -> int:
        """Handles messages until the socket is gone or to be closed; returns the client's close code."""
        # Asked each time, since what a message calls may swallow the cancellation that a closing is.
        while self._connection.closing is None:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return int(event.get("code") or 1005)
            self._connection.heard_at = self._hub.clock()
            await self._handle(event.get("text"))
        return 1005

    async def _handle(self, text: str | None) -> None:
        try:
            if text is None:
                raise ProtocolError(ErrorCode.INVALID_MESSAGE, "expected a text frame, was binary")
            message = parse(text)
            if not isinstance(message.request, Ack) and not self._bucket.take():
                self._limit_rate(message)
                return
        except ProtocolError as error:
            if self._bucket.take():
                self._answer_error(error)
            else:
                self._limit_rate(None)
            return
        try:
            await self._dispatch(message)
        except ProtocolError as error:
            self._answer_error(ProtocolError(error.code, error.message, message.type, message.id))
        except Exception:
            log.exception(
                "message failed", extra={"type": message.type, "connection_id": self._connection.id}
            )
            self._answer_error(
                ProtocolError(
                    ErrorCode.INTERNAL_ERROR, "this is our fault; it was logged", message.type, message.id
                )
            )

    def _answer_error(self, error: ProtocolError) -> None:
        self._hub.counters[f"error_{error.code}"] += 1
        self._connection.put_event(error_frame(error))
        if self._is_too_often(self._errors):
            self._connection.close(CloseCode.TOO_MANY_ERRORS)

    def _limit_rate(self, message: Message | None) -> None:
        retry_after_ms = int(self._bucket.seconds_until_next() * 1000) + 1
        error = ProtocolError(
            ErrorCode.RATE_LIMITED,
            f"more than {settings.WEBSOCKET_MESSAGE_RATE:g} messages a second",
            message.type if message else None,
            message.id if message else None,
        )
        self._hub.counters[f"error_{error.code}"] += 1
        self._connection.put_event(error_frame(error, retry_after_ms=retry_after_ms))
        if self._is_too_often(self._floods):
            self._connection.close(CloseCode.RATE_LIMITED)

    def _is_too_often(self, times: deque[float]) -> bool:
        times.append(self._hub.clock())
        return len(times) == times.maxlen and times[-1] - times[0] < 60

    # --- messages ----------------------------------------------------------------------------------------------------

    def _answer(self, type: str, data: Any, message: Message) -> None:
        self._connection.put_event(envelope(type, encode(data), message.id))

    async def _dispatch(self, message: Message) -> None:
        match message.request:
            case Ping():
                self._answer("pong", {"server_time": now()}, message)
            case SubscribeAsset() | ChangeMode():
                await self._subscribe(message)
            case UnsubscribeAsset():
                self._unsubscribe(message)
            case SubscribePortfolio(portfolio_id):
                await self._live.join(self._connection, portfolio_id)
                results = [{"portfolio_id": portfolio_id, "status": "ok"}]
                self._answer("subscribed", {"results": results}, message)
                self._live.show(self._connection, portfolio_id)
            case UnsubscribePortfolio(portfolio_id):
                self._live.leave(self._connection, [portfolio_id])
                results = [{"portfolio_id": portfolio_id, "status": "ok"}]
                self._answer("unsubscribed", {"results": results}, message)
            case ClearSubscriptions():
                self._clear(message)
            case Ack(frame):
                if not self._connection.outbox.options.acks:
                    raise ProtocolError(ErrorCode.INVALID_MESSAGE, "connect with ?acks=1 to confirm frames")
                if not self._connection.outbox.acknowledge(frame):
                    raise ProtocolError(ErrorCode.INVALID_MESSAGE, f"frame {frame} was not sent yet")

    async def _subscribe(self, message: Message) -> None:
        request = message.request
        assert isinstance(request, SubscribeAsset | ChangeMode)
        asked = requested_symbols(request)
        results: dict[str, dict[str, Any]] = {}
        symbols: dict[str, str] = {}  # normal form to the text asked for
        for text in asked:
            try:
                symbols.setdefault(normal_symbol(text), text)
            except ValueError as error:
                results[text] = failed(text[:64], ErrorCode.INVALID_SYMBOL, str(error))
        try:
            assets = await self._hub.catalog.find(symbols)
        except UNAVAILABLE as error:
            raise ProtocolError(ErrorCode.SERVICE_DEGRADED, "the database does not answer") from error
        accepted: dict[str, KnownAsset] = {}
        for symbol, text in symbols.items():
            refusal = self._refusal(symbol, assets.get(symbol), request, accepted)
            if refusal is None:
                accepted[symbol] = assets[symbol]
                results[text] = self._accepted(symbol, request)
            else:
                results[text] = failed(symbol, *refusal)
        await self._mark_pending(results, accepted.values())
        daily_bars = await self._read_daily_bars(accepted) if request.mode == Mode.FULL_D30 else {}
        # In the order asked for; a symbol spelled twice is answered once.
        self._answer("subscribed", {"results": [results[text] for text in asked if text in results]}, message)
        for result in results.values():
            if "code" in result:
                self._hub.counters[f"error_{result['code']}"] += 1
        if accepted:
            modes = dict.fromkeys(accepted, request.mode)
            channels = None
            if isinstance(request, SubscribeAsset):
                channels = dict.fromkeys(accepted, frozenset[str](request.channels))
            self._hub.subscribe(self._connection, modes, channels, daily_bars)

    def _refusal(
        self,
        symbol: str,
        asset: KnownAsset | None,
        request: SubscribeAsset | ChangeMode,
        accepted: Mapping[str, KnownAsset],
    ) -> tuple[ErrorCode, str] | None:
        """Returns why a symbol can't be subscribed to as asked."""
        subscribed, limit = self._connection.subscriptions, settings.MAX_SUBSCRIPTIONS_PER_CONNECTION
        if asset is None:
            return ErrorCode.UNKNOWN_SYMBOL, "no such asset"
        if (lack := self._lacking(asset, request)) is not None:
            return ErrorCode.UNSUPPORTED_MODE, f"no source of {symbol} fills {lack}"
        if isinstance(request, ChangeMode) and symbol not in subscribed:
            return ErrorCode.INVALID_MESSAGE, "not subscribed"
        if limit and len(subscribed.keys() | accepted.keys() | {symbol}) > limit:
            return ErrorCode.SUBSCRIPTION_LIMIT, f"a connection may subscribe to {limit} assets"
        return None

    def _lacking(self, asset: KnownAsset, request: SubscribeAsset | ChangeMode) -> str | None:
        """Returns what of a request no source of the asset gives."""
        feeds = self._hub.feeds
        if request.mode not in feeds.modes(asset.sources):
            return f"mode {request.mode[:32]}"
        wanted = request.channels if isinstance(request, SubscribeAsset) else ()
        lacking = [name for name in wanted if name not in feeds.channels(asset.sources)]
        return f"channel {lacking[0]}" if lacking else None

    def _accepted(self, symbol: str, request: SubscribeAsset | ChangeMode) -> dict[str, Any]:
        result: dict[str, Any] = {"symbol": symbol, "status": "ok", "mode": request.mode}
        names = self._connection.channels.get(symbol, NO_CHANNELS)
        if isinstance(request, SubscribeAsset):
            names = frozenset(request.channels)
        if names:
            result["channels"] = [name for name in Channel if name in names]
        return result

    async def _mark_pending(
        self, results: Mapping[str, dict[str, Any]], assets: Iterable[KnownAsset]
    ) -> None:
        pending = await self._hub.last_values.without_price(assets, self._connection.identity.viewer)
        for result in results.values():
            if result["status"] == "ok" and result["symbol"] in pending:
                result["status"] = "pending"

    async def _read_daily_bars(self, symbols: Iterable[str]) -> dict[str, str]:
        try:
            connection = self._connection
            return await in_database(
                read_daily_bars, symbols, connection.outbox.options.numbers, connection.identity.viewer
            )
        except UNAVAILABLE:
            return dict.fromkeys(symbols, UNKNOWN)

    def _unsubscribe(self, message: Message) -> None:
        assert isinstance(message.request, UnsubscribeAsset)
        results: list[dict[str, Any]] = []
        symbols: list[str] = []
        for text in requested_symbols(message.request):
            try:
                symbols.append(normal_symbol(text))
                results.append({"symbol": symbols[-1], "status": "ok"})
            except ValueError as error:
                results.append(failed(text[:64], ErrorCode.INVALID_SYMBOL, str(error)))
        self._hub.unsubscribe(self._connection, symbols)
        self._answer("unsubscribed", {"results": results}, message)

    def _clear(self, message: Message) -> None:
        connection = self._connection
        results: list[dict[str, Any]] = [
            {"symbol": symbol, "status": "ok"} for symbol in connection.subscriptions
        ]
        results += [{"portfolio_id": id, "status": "ok"} for id in sorted(connection.portfolios)]
        self._hub.unsubscribe(connection, list(connection.subscriptions))
        self._live.leave(connection, connection.portfolios)
        self._answer("unsubscribed", {"results": results}, message)


def user_id_of(identity: Identity | None) -> int | None:
    return None if identity is None else identity.user_id


def failed(symbol: str, code: ErrorCode, reason: str) -> dict[str, Any]:
    return {"symbol": symbol, "status": "error", "code": code, "message": reason}


def parse_options(query: bytes) -> tuple[Options, list[ProtocolError]]:
    """Returns the options in a query string; one that makes no sense is left at its default and complained of."""
    given = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    complaints: list[ProtocolError] = []

    def choice(name: str, choices: Mapping[str, Any], default: Any) -> Any:
        if name in given and given[name] not in choices:
            complain(f"{name}: expected one of {', '.join(choices)}, was {given[name][:32]!r}")
        return choices.get(given.get(name, ""), default)

    def complain(text: str) -> None:
        complaints.append(ProtocolError(ErrorCode.INVALID_MESSAGE, text))

    max_rate: float | None = None
    if "max_rate" in given:
        try:
            max_rate = float(given["max_rate"])
        except ValueError:
            max_rate = 0.0
        if not 0 < max_rate <= MAX_RATE:
            complain(
                f"max_rate: expected a number above 0, at most {MAX_RATE:g}, was {given['max_rate'][:32]!r}"
            )
            max_rate = None
    flags = {"0": False, "1": True}
    options = Options(
        batch=choice("batch", flags, False),
        max_rate=max_rate,
        numbers=choice("numbers", {"number": "number", "string": "string"}, "number"),
        acks=choice("acks", flags, False),
    )
    return options, complaints
