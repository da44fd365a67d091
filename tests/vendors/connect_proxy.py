"""An HTTP proxy on loopback that ends TLS, for a client whose vendor's address cannot be changed.

    async with ConnectProxy({"api.upstox.com:443": vendor.port}) as proxy:
        await run_client("upstox", "upstox_client.py", env={"https_proxy": proxy.url})

What a client says after CONNECT to a known address goes, out of its TLS, to that port of this machine; to any other
address it is refused, so that no test leaves the machine. Its certificate is made by the program `openssl`.
"""

import asyncio
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

HEAD_SECONDS = 10.0
CHUNK_BYTES = 64 * 1024


class ConnectProxy:
    """The proxy; an async context manager.

    Args:
        targets: "host:port" as clients ask for it → a port of this machine.

    Attributes:
        asked: what was asked for, in its order, refused or not.
        certificate: what a client that verifies must trust.
    """

    def __init__(self, targets: Mapping[str, int]) -> None:
        self.asked: list[str] = []
        self.port = 0
        self._targets = dict(targets)
        self._folder = tempfile.TemporaryDirectory(prefix="livefolio-proxy-")
        self.certificate = Path(self._folder.name) / "certificate.pem"
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        key = self.certificate.with_name("key.pem")
        names = sorted({target.rpartition(":")[0] for target in self._targets})
        await asyncio.to_thread(make_certificate, self.certificate, key, names)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.certificate, key)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._folder.cleanup()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    port = await self._target(reader, writer)
                if port is not None:
                    await writer.start_tls(self._tls)
                    await _join(reader, writer, *await asyncio.open_connection("127.0.0.1", port))
            finally:
                writer.transport.abort()

    async def _target(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
        method, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        self.asked.append(target)
        port = self._targets.get(target) if method == "CONNECT" else None
        answer = "200 Connection established" if port is not None else "403 Not a vendor that is here"
        writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        await writer.drain()
        return port


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Hands bytes on both ways until one of the two is over."""
    ways = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


def make_certificate(certificate: Path, key: Path, names: Iterable[str]) -> None:
    """Writes a key, and a certificate of these names signed by it, for two days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise OSError("expected the program openssl (Debian: apt install openssl)")
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subject = ["-subj", "/CN=loopback", "-addext", f"subjectAltName={alternatives}", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", "-x509", *curve, *subject, *files], check=True, capture_output=True)
