"""An outside client: a browser's session over HTTP and a WebSocket, from the standard library and `websockets`.

It knows the addresses of the product and nothing of its code. Each WebSocket comes from an address of its own
(X-Forwarded-For, which the server believes from loopback), so that limits by address bind only who tests them.
"""

import contextlib
import email.message
import http.client
import itertools
import json
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.live import PATIENCE

Frame = dict[str, Any]


def decode(text: str | bytes) -> Any:
    """Strict JSON, decimals exact."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise AssertionError(f"expected strict JSON, was {name}")


_addresses = itertools.count(1)


def new_address() -> str:
    """An address that nobody had before, out of the range reserved for tests of benchmarks, 198.18.0.0/15."""
    high, low = divmod(next(_addresses), 254)
    return f"198.19.{high % 256}.{low + 1}"


class Refused(Exception):
    """A handshake was answered with an HTTP status."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status} {body!r}")
        self.status = status
        self.body = body
        self.headers = headers


class Closed(NamedTuple):
    code: int
    reason: str


class ServerClosed(Exception):
    """The server closed the socket while a frame was expected."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(str(closed))
        self.code, self.reason = closed


class Socket:
    """One WebSocket. `seen` keeps every frame that came, in order; `expect` takes each at most once."""

    def __init__(self, connection: ClientConnection, at_close: contextlib.ExitStack) -> None:
        self._connection = connection
        self._at_close = at_close
        self._ids = itertools.count(1)
        self._waiting: list[Frame] = []  # not taken by anybody yet
        self.seen: list[Frame] = []
        self.texts: list[str] = []

    @classmethod
    def open(
        cls,
        url: str,
        *,
        options: str = "",
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
        sock: socket.socket | None = None,
        max_queue: int | None = None,
    ) -> "Socket":
        """Raises Refused when the server answers with anything but an upgrade."""
        headers = {"X-Forwarded-For": new_address(), **(headers or {})}
        address = f"{url}?{options}" if options else url
        at_close = contextlib.ExitStack()
        try:
            opening = connect(
                address, origin=origin, additional_headers=headers, compression=None, proxy=None,  # type: ignore[arg-type]
                max_size=None, max_queue=max_queue, open_timeout=PATIENCE, close_timeout=2,
                ping_interval=None, sock=sock,
            )  # fmt: skip
            return cls(at_close.enter_context(opening), at_close)
        except InvalidStatus as error:
            response = error.response
            raise Refused(
                response.status_code, bytes(response.body or b""), dict(response.headers)
            ) from error

    # --- sending -----------------------------------------------------------------------------------------------------

    def send_text(self, text: str) -> None:
        """A socket that the server has closed takes nothing, which `receive` will tell."""
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(text)

    def send_bytes(self, data: bytes) -> None:
        self._connection.send(data)

    def send(self, type: str, data: Any = None, **beside: Any) -> None:
        self.send_text(json.dumps({"type": type, "data": {} if data is None else data, **beside}))

    def request(self, type: str, data: Any = None, within: float = PATIENCE) -> Frame:
        """Sends a message with an id of its own and returns the answer that echoes it."""
        id = f"r{next(self._ids)}"
        self.send(type, data, id=id)
        return self.expect(where=lambda frame: frame.get("id") == id, within=within)

    def results(self, type: str, data: Any) -> list[dict[str, Any]]:
        """The results of a request that is answered symbol by symbol."""
        found: list[dict[str, Any]] = self.request(type, data)["data"]["results"]
        return found

    def subscribe(self, *symbols: str, mode: str | None = None, status: str = "ok") -> None:
        data: dict[str, Any] = {"symbols": list(symbols)}
        results = self.results("subscribe_asset", data if mode is None else {**data, "mode": mode})
        assert [result["status"] for result in results] == [status] * len(symbols), results

    # --- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, within: float = PATIENCE) -> Frame:
        """Returns the next frame; raises TimeoutError or ServerClosed."""
        try:
            text = self._connection.recv(timeout=max(0.0, within))
        except ConnectionClosed as error:
            raise ServerClosed(_closed(error)) from error
        assert isinstance(text, str), "the server sends text frames only"
        frame: Frame = decode(text)
        self.texts.append(text)
        self.seen.append(frame)
        self._waiting.append(frame)
        return frame

    def skip(self) -> None:
        """Leaves out what came so far, so that `expect` returns news only."""
        self._waiting.clear()

    def expect(
        self,
        type: str | None = None,
        where: Callable[[Frame], object] = lambda frame: True,
        within: float = PATIENCE,
    ) -> Frame:
        """Takes the first frame that fits, of those that wait or come; the others go on waiting."""
        deadline = time.monotonic() + within
        looked_at = 0
        while True:
            for position in range(looked_at, len(self._waiting)):
                frame = self._waiting[position]
                if type in (None, frame["type"]) and where(frame):
                    del self._waiting[position]
                    return frame
            looked_at = len(self._waiting)
            try:
                self.receive(deadline - time.monotonic())
            except TimeoutError:
                last = [frame["type"] for frame in self.seen[-8:]]
                errors = [frame["data"] for frame in self.seen if frame["type"] == "error"]
                raise AssertionError(
                    f"expected {type or 'a frame'} within {within:g} s, last were {last}, errors {errors}"
                ) from None

    def update(
        self, symbol: str, where: Callable[[Frame], object] = lambda data: True, within: float = PATIENCE
    ) -> Frame:
        """Returns the data of the next update of a symbol, single or in a batch."""

        def wanted(frame: Frame) -> list[Frame]:
            return [data for data in updates_in([frame]) if data["symbol"] == symbol and where(data)]

        return wanted(self.expect(where=wanted, within=within))[0]

    def updates(self, symbol: str | None = None) -> list[Frame]:
        """Data of all updates seen so far."""
        return [data for data in updates_in(self.seen) if symbol in (None, data["symbol"])]

    def catch_up(self) -> None:
        """Reads all that the server sent before it answered a ping sent now."""
        self.request("ping")

    def closed(self, within: float = PATIENCE) -> Closed:
        """Reads to the end and returns how the server closed."""
        deadline = time.monotonic() + within
        try:
            while True:
                self.receive(deadline - time.monotonic())
        except ServerClosed as closed:
            return Closed(closed.code, closed.reason)
        except TimeoutError:
            raise AssertionError(f"expected a close within {within:g} s") from None

    def close(self) -> None:
        self._at_close.close()

    def abort(self) -> None:
        """Goes away without a word, as a killed client does."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Socket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _closed(error: ConnectionClosed) -> Closed:
    return Closed(1006, "") if error.rcvd is None else Closed(error.rcvd.code, error.rcvd.reason)


def updates_in(frames: Sequence[Frame]) -> Iterator[Frame]:
    for frame in frames:
        if frame["type"] == "asset_update":
            yield frame["data"]
        elif frame["type"] == "asset_updates":
            yield from frame["data"]


# --- HTTP ------------------------------------------------------------------------------------------------------------


class Response(NamedTuple):
    status: int
    headers: email.message.Message
    body: bytes

    @property
    def json(self) -> Any:
        return decode(self.body)


class Http:
    """Requests as one browser or script makes them: keeps cookies, sends the CSRF token, follows nothing."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.cookies: dict[str, str] = {}
        self._headers = dict(headers or {})

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        within: float = PATIENCE,
    ) -> Response:
        """Sends JSON (or bytes as they are) and returns whatever status comes back."""
        given = {**self._own_headers(method), **self._headers, **(headers or {})}
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
            given.setdefault("Content-Type", "application/json")
        target = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=within)
        with contextlib.closing(connection):
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            response = Response(answer.status, answer.headers, answer.read())
        self._keep_cookies(response.headers)
        return response

    def _own_headers(self, method: str) -> dict[str, str]:
        given: dict[str, str] = {}
        if self.cookies:
            given["Cookie"] = self.cookie_header
        if method not in ("GET", "HEAD") and "csrftoken" in self.cookies:
            given |= {"X-CSRFToken": self.cookies["csrftoken"], "Origin": self.url, "Referer": f"{self.url}/"}
        return given

    def _keep_cookies(self, headers: email.message.Message) -> None:
        for line in headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            if value in ("", '""'):
                self.cookies.pop(name.strip(), None)
            else:
                self.cookies[name.strip()] = value

    @property
    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Response:
        return self.request("POST", path, {} if body is None else body, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def post_form(self, path: str, form: Mapping[str, str]) -> Response:
        body = urllib.parse.urlencode(
            {"csrfmiddlewaretoken": self.cookies.get("csrftoken", ""), **form}
        ).encode()
        return self.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def login(self, username: str, password: str) -> "Http":
        page = "/accounts/login/"
        assert self.get(page).status == 200
        answer = self.post_form(page, {"username": username, "password": password, "next": "/healthz"})
        assert answer.status == 302 and "sessionid" in self.cookies, (
            f"{username} was not logged in: {answer.status}"
        )
        return self


def raw_handshake(url: str, headers: Sequence[tuple[str, str]]) -> int:
    """Returns the status of a WebSocket handshake with exactly these headers, however odd."""
    return raw_handshakes(url, [headers])[0]


def raw_handshakes(
    url: str, each: Sequence[Sequence[tuple[str, str]]], source: str = "127.0.0.1"
) -> list[int]:
    """Returns the statuses of handshakes that are all sent before the first answer is read.

    One after the other they might take as long as the rate allows, where the client's machine is busy.
    """
    with contextlib.ExitStack() as stack:
        sent = [stack.enter_context(_sent_handshake(url, headers, source)) for headers in each]
        answers = [stack.enter_context(connection.makefile("rb")) for connection in sent]
        return [int(answer.readline().split()[1]) for answer in answers]


def _sent_handshake(url: str, headers: Sequence[tuple[str, str]], source: str) -> socket.socket:
    target = urllib.parse.urlsplit(url)
    lines = [
        "GET /ws/realtime/ HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    address = (target.hostname or "", target.port or 80)
    connection = socket.create_connection(address, PATIENCE, source_address=(source, 0))
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    return connection
