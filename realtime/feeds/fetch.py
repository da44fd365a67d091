"""One HTTP exchange, with the limits that a hostile or sick other end needs: a GET of a vendor, a POST to a receiver.

A total deadline, not only one per read; a cap on the body; no redirects, no compression. It runs in a thread,
because the standard library's client blocks; at the deadline its socket is shut, which ends the thread too.
"""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from realtime.feeds.base import FeedError, retry_after_seconds

TOTAL_SECONDS = 10.0
LARGEST_BODY_BYTES = 5 * 1024 * 1024
# Who says "too many" and not for how long.
TOO_MANY_SECONDS = 1.0
_CHUNK_BYTES = 64 * 1024

# Of its own: threads that wait for a vendor must not be those that the database waits for.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="fetch")


class HttpError(FeedError):
    """An answer other than 200, with the vendor's words."""

    def __init__(self, status: int, message: str, retry_after: float | None) -> None:
        super().__init__(
            f"the vendor answered {status}{': ' + message if message else ''}",
            permanent=status in {401, 403},
            retry_after=TOO_MANY_SECONDS if status == 429 and retry_after is None else retry_after,
        )
        self.status = status


async def fetch(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    total_seconds: float = TOTAL_SECONDS,
    largest_bytes: int = LARGEST_BODY_BYTES,
) -> bytes:
    """Returns the body of an answer 200.

    Args:
        headers: sent beside our own, such as an Authorization; never told in an error.

    Raises:
        HttpError: any other answer.
        FeedError: no answer, too late, or too large.
    """
    exchange = _Exchange(_parts(url), total_seconds)
    exchange.headers |= headers or {}
    exchange.largest_bytes = largest_bytes
    return await _in_thread(exchange, _threads)


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    threads: ThreadPoolExecutor,
    may_reach: Callable[[str], bool],
    total_seconds: float = TOTAL_SECONDS,
) -> int:
    """Posts to a receiver that somebody has named, and returns the status of its answer, whose body is left unread.

    Args:
        threads: in which it waits.
        may_reach: whether an IP address may be connected to. It is asked of every address that the name has now,
            and one of just these is then the one connected to.

    Raises:
        FeedError: no answer, too late, or an address that may not be reached. It names no path and no query.
    """
    exchange = _Exchange(_parts(url), total_seconds, who="the receiver")
    exchange.method, exchange.body, exchange.may_reach = "POST", body, may_reach
    exchange.headers |= headers
    await _in_thread(exchange, threads)
    return exchange.status


def _parts(url: str) -> SplitResult:
    """Reads an address, which no error repeats: it may hold a secret."""
    wrong = FeedError("expected an http:// or https:// address, was another", permanent=True)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    # What is left of it goes into the first line of a request.
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise wrong
    return parts


async def _in_thread(exchange: "_Exchange", threads: ThreadPoolExecutor) -> bytes:
    try:
        async with asyncio.timeout(exchange.timeout):
            return await asyncio.get_running_loop().run_in_executor(threads, exchange.run)
    except TimeoutError as error:
        raise FeedError(f"{exchange.who} did not answer within {exchange.timeout:g} s") from error
    finally:
        exchange.abort()


class _Exchange:
    def __init__(self, parts: SplitResult, timeout: float, who: str = "the vendor") -> None:
        self.who = who
        self.timeout = timeout
        self.method = "GET"
        self.body: bytes | None = None
        self.headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "livefolio",
        }
        self.may_reach: Callable[[str], bool] | None = None
        self.status = 0
        self.largest_bytes = LARGEST_BODY_BYTES
        self._target = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
        self._aborted = False
        self._socket: socket.socket | None = None
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection
        host = parts.hostname or ""
        if self._context is not None:
            self._connection = http.client.HTTPSConnection(
                host, parts.port or 443, timeout=timeout, context=self._context
            )
        else:
            self._connection = http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)

    def run(self) -> bytes:
        try:
            self._go_on()  # unless it waited for a free thread for too long
            return self._exchange()
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # a name that can be none
            raise FeedError(f"{self.who} cannot be reached: {error or type(error).__name__}") from error
        finally:
            self._connection.close()

    def _exchange(self) -> bytes:
        if self.may_reach is None:
            self._connection.connect()
            # The connection forgets its socket when the answer says "Connection: close".
            self._socket = self._connection.sock
        else:
            address = self._address(self.may_reach)
            self._go_on()
            self._connect_to(address)
        self._go_on()
        self._connection.request(self.method, self._target, body=self.body, headers=self.headers)
        with self._connection.getresponse() as response:
            self.status = response.status
            return self._read(response) if self.method == "GET" else b""

    def _go_on(self) -> None:
        """Ends what nobody waits for any more: a name's look-up, or a connection, may have outlasted the deadline."""
        if self._aborted:
            raise FeedError(f"{self.who} did not answer in time")

    def _address(self, may_reach: Callable[[str], bool]) -> str:
        """Returns what to connect to. One forbidden address refuses the name: it may answer otherwise next time."""
        found = socket.getaddrinfo(self._connection.host, self._connection.port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        if not addresses or not all(map(may_reach, addresses)):
            raise FeedError(f"{self.who} is at an address that may not be reached", permanent=True)
        return addresses[0]

    def _connect_to(self, address: str) -> None:
        """Connects to an address, and speaks to it by its name."""
        plain = socket.create_connection((address, self._connection.port), self.timeout)
        if self._context is None:
            self._socket = self._connection.sock = plain
            return
        secured = self._context.wrap_socket(
            plain, server_hostname=self._connection.host, do_handshake_on_connect=False
        )
        self._socket = self._connection.sock = secured
        secured.do_handshake()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > self.largest_bytes:
                raise FeedError(f"expected an answer of at most {self.largest_bytes} bytes, was a longer one")
        if response.status != 200:
            retry_after = retry_after_seconds(response.headers.get("Retry-After"))
            raise HttpError(response.status, body[:200].decode(errors="replace"), retry_after)
        return bytes(body)

    def abort(self) -> None:
        self._aborted = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
