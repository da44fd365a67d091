"""A Redis master and its replica on loopback, watched by Sentinels or behind an address that follows the master."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from config import embedded_redis
from config.process import die_with_parent
from tests.live import wait_until

SERVICE = "livefolio"
DOWN_AFTER_MS = 1000


class Replicated:
    """Two servers: the master and its replica at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = embedded_redis.find_server().binary
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.first, self.second, *self._sentinels = free_ports(5)
        self._start(self.first)
        self._start(self.second, "--replicaof", "127.0.0.1", str(self.first))
        wait_until(self._is_replicated, 20, "a replica")

    def _start(self, port: int, *words: str) -> None:
        options = (
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        )
        folder = self._folder / str(port)
        folder.mkdir()
        self._run(port, self._binary, "--port", str(port), "--dir", str(folder), *options, *words)

    def _run(self, port: int, *command: str) -> None:
        self._processes[port] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent()
        )
        wait_until(lambda: self._answers(port), 10, f"an answer on port {port}")

    def client(self, port: int) -> "redis.Redis":
        return redis.Redis(port=port, socket_timeout=5, decode_responses=True)

    def _answers(self, port: int) -> bool:
        with suppress(redis.RedisError), self.client(port) as client:
            return bool(client.ping())
        return False

    def _is_replicated(self) -> bool:
        with self.client(self.first) as client:
            replicas = client.info("replication")
        return bool(replicas["connected_slaves"]) and replicas["slave0"]["state"] == "online"

    def kill(self, port: int) -> None:
        self._processes[port].kill()
        self._processes[port].wait()

    def stop(self) -> None:
        for port in self._processes:
            self.kill(port)

    # --- Sentinels ---------------------------------------------------------------------------------------------------

    def start_sentinels(self) -> str:
        """Returns the REDIS_URL that names them."""
        for port in self._sentinels:
            config = self._folder / f"{port}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.first} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 5000\n"
            )
            self._run(port, self._binary, str(config), "--sentinel")
        wait_until(self._is_watched, 20, "Sentinels that know each other and the replica")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def _is_watched(self) -> bool:
        for port in self._sentinels:
            with self.client(port) as sentinel:
                state = sentinel.sentinel_masters()[SERVICE]
            if (state["num-other-sentinels"], state["num-slaves"]) != (2, 1):
                return False
        return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until the last is found, so that none comes twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def replicated(folder: Path) -> Iterator[Replicated]:
    servers = Replicated(folder)
    try:
        yield servers
    finally:
        servers.stop()


class MovingAddress:
    """A port of loopback that leads to another one, and can be moved: what a floating address or a proxy is."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, target: int) -> None:
        self.target = target
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there[1]}
        await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self._open.discard(writer)

    def move(self, target: int) -> None:
        """Leads elsewhere from now on, and cuts whoever is connected."""
        self.target = target
        self._cut()

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def stop(self) -> None:
        self._server.close()
        self._cut()
        await self._server.wait_closed()
