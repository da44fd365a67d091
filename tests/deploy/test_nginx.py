"""nginx.conf is held to nginx itself, in front of a running system too."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from config.listening import listen
from config.process import die_with_parent
from tests.contract.client import ServerClosed, Socket
from tests.live import OURS, PATIENCE, ROOT, LiveSystem, wait_until
from tests.vendors.process import reserved_port

CONF = (ROOT / "nginx.conf").read_text()
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def nginx_says(folder: Path, conf: str) -> str:
    """Has nginx read the configuration; only names that exist nowhere but in the containers are replaced."""
    conf = conf.replace("server web:8000;", "server 127.0.0.1:8000;").replace(
        "/run/nginx.pid", f"{folder}/pid"
    )
    conf = conf.replace("/etc/nginx/tls/", f"{folder}/tls/")
    (folder / "nginx.conf").write_text(re.sub(r"listen (80|443)\b", r"listen 127.0.0.1:1\1", conf))
    done = subprocess.run(
        ["nginx", "-t", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stderr


@needs_nginx
def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    assert "test is successful" in nginx_says(tmp_path, CONF)


@needs_nginx
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_nginx_accepts_it_with_tls(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    tls = (ROOT / "deploy" / "nginx-tls.conf").read_text()
    (folder / "tls.conf").write_text(
        tls.replace("/etc/nginx/tls/", f"{folder}/").replace("listen 443", "listen 127.0.0.1:1443")
    )
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip

    assert "test is successful" in nginx_says(tmp_path, CONF)


def test_metrics_are_not_shown_outside() -> None:
    assert re.search(r"location = /metrics \{\s*return 404;", CONF)


def test_a_client_cannot_make_up_where_it_comes_from() -> None:
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in CONF
    assert "$proxy_add_x_forwarded_for" not in CONF


@contextmanager
def nginx(folder: Path, *servers: str) -> Iterator[str]:
    """Runs nginx with our configuration in front of these servers, and yields its address."""
    with reserved_port() as port:
        yield from _nginx(folder, port, *servers)


def _nginx(folder: Path, port: int, *servers: str) -> Iterator[str]:
    conf = CONF.replace("server web:8000;", "".join(f"server {server}; " for server in servers))
    conf = conf.replace("/run/nginx.pid", f"{folder}/pid").replace("/etc/nginx/tls/", f"{folder}/tls/")
    conf = conf.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
    (folder / "nginx.conf").write_text(conf.replace("listen 80;", f"listen 127.0.0.1:{port};"))
    words = ["nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log", "-g", "daemon off;"]
    process = subprocess.Popen(words, preexec_fn=die_with_parent())
    try:
        wait_until(lambda: status(f"http://127.0.0.1:{port}/nginx-health") == 204, PATIENCE, "nginx to serve")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def proxied(
    live_system: Callable[..., LiveSystem], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of nginx in front of a running system."""
    with nginx(tmp_path_factory.mktemp("nginx"), live_system().url.removeprefix("http://")) as address:
        yield address


@contextmanager
def another_host(system: LiveSystem) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Runs a second web server on the same Redis and database, and yields its address."""
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    environment |= {"STATE_DIR": str(system.state_dir), "DJANGO_SETTINGS_MODULE": "config.settings.demo"}
    with listen("127.0.0.1", 0) as listener:
        fd, address = listener.fileno(), "{}:{}".format(*listener.getsockname()[:2])
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--fd", str(fd)],
            cwd=ROOT, env={**environment, **system.env}, pass_fds=(fd,), preexec_fn=die_with_parent(),
        )  # fmt: skip
    try:
        wait_until(lambda: status(f"http://{address}/readyz") == 200, PATIENCE, "the second web host")
        yield address, process
    finally:
        process.kill()
        process.wait()


def status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@needs_nginx
def test_pages_come_through_and_metrics_do_not(proxied: str) -> None:
    assert status(f"http://{proxied}/readyz") == 200
    assert status(f"http://{proxied}/metrics") == 404


@needs_nginx
@pytest.mark.asyncio
async def test_a_websocket_comes_through_and_is_called_by_the_address_outside(
    proxied: str, live_system: Callable[..., LiveSystem]
) -> None:
    cookie = await asyncio.to_thread(live_system().cookie_header)
    request = urllib.request.Request(f"http://{proxied}/realtime/websocket-info/", headers={"Cookie": cookie})
    info = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=30).read()))

    assert info["websocket_url"] == f"ws://{proxied}/ws/realtime/"
    headers = {"Cookie": cookie, "Origin": f"http://{proxied}"}
    async with connect(info["websocket_url"], additional_headers=headers) as connection:
        message = json.loads(await asyncio.wait_for(connection.recv(), 30))
    assert message["type"] == "connection" and message["data"]["authenticated"]


@needs_nginx
def test_two_web_hosts_share_the_sockets_and_one_that_drains_sends_its_own_to_the_other(
    live_system: Callable[..., LiveSystem], tmp_path: Path
) -> None:
    system = live_system(env={"MAX_CONNECTIONS_PER_USER": "0", "SIMULATOR_RATE": "5"})
    cookie = system.cookie_header()
    with (
        another_host(system) as (second, process),
        nginx(tmp_path, system.url.removeprefix("http://"), second) as address,
        ExitStack() as stack,
    ):

        def opened() -> Socket:
            headers = {"Cookie": cookie}
            url = f"ws://{address}/ws/realtime/"
            socket = stack.enter_context(Socket.open(url, origin=f"http://{address}", headers=headers))
            socket.expect("connection")
            socket.subscribe("AAPL")
            socket.update("AAPL")
            return socket

        sockets = [opened() for _ in range(8)]
        process.terminate()
        assert process.wait(60) == 0
        moved = [socket for socket in sockets if is_drained(socket)]
        assert 2 <= len(moved) <= 6, "each takes the half, give or take who was first"
        for _ in moved:
            opened()  # at once: nginx asks the host that answers
        for socket in sockets:
            if socket not in moved:
                socket.skip()
                socket.update("AAPL")


def is_drained(socket: Socket) -> bool:
    """Whether the server said goodbye; raises when it closed the connection otherwise."""
    try:
        socket.catch_up()
    except ServerClosed as closed:
        assert closed.code == 4004
        return True
    return False
