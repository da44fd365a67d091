"""Servers that ours is only compared with, where they are installed: nchan (nginx, C) and Node's `ws`.

Each sends frames of one update to all its sockets, as many as it can. Neither knows subscriptions, logins or
snapshots, which is in its favour. `python -m benchmarks.baselines PORT` is nchan's publisher.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from benchmarks import machine
from benchmarks.machine import Cores
from benchmarks.programs import ROOT, Programs, is_answered
from benchmarks.servers import Running
from realtime.protocol import Mode, QuoteRecord, encode_quote, now

WS = Path(__file__).with_name("baseline_ws.cjs")
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")
POSTS_AT_A_TIME = 8
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def frame() -> str:
    """Returns a single frame of ours, of its usual length, with an @ for each of its two times."""
    price, volume = Decimal("228.41"), Decimal("31415926")
    record = QuoteRecord(
        symbol="AAPL", price=price, as_of="@", source="simulator", seq=4711, epoch=1_790_000_000, currency="USD",
        change=Decimal("1.21"), change_percent=Decimal("0.53"), volume=volume, high=price, low=price,
        previous_close=price, open=price, bid=price, ask=price, last_quantity=Decimal(100),
        received_at=now(),
    )  # fmt: skip
    return f'{{"type":"asset_update","data":{encode_quote(record, Mode.QUOTE)},"timestamp":"@"}}'


def nchan_module() -> Path | None:
    """Returns nginx's module, when both it and nginx are installed (Debian: apt install libnginx-mod-nchan)."""
    found = (Path(folder) / "ngx_nchan_module.so" for folder in MODULES)
    return next((path for path in found if path.is_file()), None) if shutil.which("nginx") else None


def node_ws() -> dict[str, str] | None:
    """Returns the environment in which Node finds `ws`; None where it does not."""
    if not shutil.which("node"):
        return None
    paths = [*filter(None, os.environ.get("NODE_PATH", "").split(":")), str(ROOT / "node_modules")]
    environment = {"NODE_PATH": ":".join(paths)}
    asked = subprocess.run(
        ["node", "-e", "require.resolve('ws')"], env={**os.environ, **environment}, capture_output=True
    )
    return environment if asked.returncode == 0 else None


@contextmanager
def running_nchan(programs: Programs, directory: Path, module: Path, cores: Cores) -> Iterator[Running]:
    """Runs nginx with one worker and one channel, and a publisher that waits for its answers."""
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(nginx_conf(directory, module, port))
    nginx = ("nginx", "-p", str(directory), "-c", str(configuration), "-e", str(directory / "nginx.errors"))
    with programs.any("nginx", *nginx, cores=cores.web) as server:
        programs.wait(lambda: is_answered(f"http://127.0.0.1:{port}/pub"), server)
        workers = machine.children(server.pid)
        with programs.python("publisher", "-m", "benchmarks.baselines", str(port)) as publisher:
            yield Running(port, "/sub", workers, (publisher.pid,))
            programs.check(server, publisher)


def nginx_conf(directory: Path, module: Path, port: int) -> str:
    temporary = "\n".join(f"{name}_temp_path {directory}/nginx_{name};" for name in TEMPORARY)
    return f"""
        load_module {module};
        daemon off; worker_processes 1; pid {directory}/nginx.pid;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; keepalive_requests 1000000000;
            {temporary}
            server {{
                listen 127.0.0.1:{port};
                location = /pub {{ nchan_publisher; nchan_channel_id all; nchan_store_messages off; }}
                location = /sub {{ nchan_subscriber websocket; nchan_channel_id all; }}
            }}
        }}
    """


@contextmanager
def running_ws(programs: Programs, environment: dict[str, str], cores: Cores) -> Iterator[Running]:
    port = free_port()
    words = ("node", str(WS), str(port), frame())
    with programs.any("node-ws", *words, environment=environment, cores=cores.web) as server:
        programs.wait(lambda: is_answered(f"http://127.0.0.1:{port}"), server)
        yield Running(port, "/", (server.pid,))
        programs.check(server)


def free_port() -> int:
    """Returns a port that is free now; these servers cannot be given an open socket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def publish(port: int) -> None:
    """Posts frames to nchan, several at a time so that it never waits for this process, until it is ended."""
    template = frame()
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(POSTS_AT_A_TIME)]
    while True:
        for connection in connections:
            connection.request("POST", "/pub", template.replace("@", now()))
        for connection in connections:
            connection.getresponse().read()


if __name__ == "__main__":
    publish(int(sys.argv[1]))
