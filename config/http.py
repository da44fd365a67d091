"""Asks a server on this machine for one page, without a thread and without a client library.

`python -m config.http URL` is a container's health check: it loads no Django and ends with 0 for a 200.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

TIMEOUT = 2.0


async def ask(url: str, allowed_hosts: Sequence[str] = ()) -> tuple[int, bytes] | None:
    """Returns status and body that `url` answers with, or None while nothing answers there.

    Args:
        allowed_hosts: what the server lets itself be called, as Django's setting has it.
    """
    parts = urlsplit(url)
    names = [name.removeprefix(".") for name in allowed_hosts if name != "*"]
    host = names[0] if names and parts.hostname not in names else parts.netloc
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                request = f"GET {parts.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    words = head.split(maxsplit=2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdigit() else None


async def status_of(url: str, allowed_hosts: Sequence[str] = ()) -> int | None:
    answer = await ask(url, allowed_hosts)
    return answer and answer[0]


if __name__ == "__main__":
    names = os.environ.get("ALLOWED_HOSTS", "").replace(",", " ").split()
    sys.exit(asyncio.run(status_of(sys.argv[1], names)) != 200)
