"""One HTTP GET for the vendors that are asked, with the limits that a hostile or sick one needs.

A total deadline, not only one per read; a cap on the body; no redirects, no compression. It runs in a thread,
because the standard library's client blocks; at the deadline its socket is shut, which ends the thread too.
"""

import asyncio
import http.client
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

from realtime.feeds.base import FeedError, retry_after_seconds

TOTAL_SECONDS = 10.0
LARGEST_BODY_BYTES = 5 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024

# Of its own: threads that wait for a vendor must not be those that the database waits for.
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="fetch")


class HttpError(FeedError):
    """An answer other than 200, with the vendor's words."""

    def __init__(self, status: int, message: str, retry_after: float | None) -> None:
        super().__init__(
            f"the vendor answered {status}{': ' + message if message else ''}",
            permanent=status in {401, 403},
            retry_after=retry_after,
        )
        self.status = status


async def fetch(url: str, *, total_seconds: float = TOTAL_SECONDS) -> bytes:
    """Returns the body of an answer 200.

    Raises:
        HttpError: any other answer.
        FeedError: no answer, too late, or too large.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise FeedError(f"expected an http:// or https:// address, was {url!r}", permanent=True)
    get = _Get(url, total_seconds)
    try:
        async with asyncio.timeout(total_seconds):
            return await asyncio.get_running_loop().run_in_executor(_threads, get.run)
    except TimeoutError as error:
        raise FeedError(f"the vendor did not answer within {total_seconds:g} s") from error
    finally:
        get.abort()


class _Get:
    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._target = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
        self._aborted = False
        self._socket: socket.socket | None = None
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)

    def run(self) -> bytes:
        if self._aborted:  # it waited for a free thread for too long
            raise FeedError("the vendor did not answer in time")
        try:
            return self._request()
        except (OSError, http.client.HTTPException) as error:
            raise FeedError(f"the vendor cannot be reached: {error or type(error).__name__}") from error
        finally:
            self._connection.close()

    def _request(self) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "livefolio"}
        self._connection.connect()
        # The connection forgets its socket when the answer says "Connection: close".
        self._socket = self._connection.sock
        self._connection.request("GET", self._target, headers=headers)
        with self._connection.getresponse() as response:
            return self._read(response)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                raise FeedError(f"expected an answer of at most {LARGEST_BODY_BYTES} bytes, was a longer one")
        if response.status != 200:
            retry_after = retry_after_seconds(response.headers.get("Retry-After"))
            raise HttpError(response.status, body[:200].decode(errors="replace"), retry_after)
        return bytes(body)

    def abort(self) -> None:
        self._aborted = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
