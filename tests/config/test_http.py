"""A page's status, asked for by a name that the server accepts."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from config.http import status_of


class OnlyFolio(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Host"] == "folio.example" else 400)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), OnlyFolio) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/healthz"
        server.shutdown()
        thread.join()


def test_the_server_is_asked_by_a_name_that_it_allows(url: str) -> None:
    assert asyncio.run(status_of(url, [".folio.example", "other.example"])) == 200


@pytest.mark.parametrize("names", [[], ["*"], ["127.0.0.1", "folio.example"]])
def test_otherwise_it_is_asked_by_its_address(url: str, names: list[str]) -> None:
    assert asyncio.run(status_of(url, names)) == 400


def test_nothing_that_listens_is_no_status() -> None:
    assert asyncio.run(status_of("http://127.0.0.1:1/")) is None
