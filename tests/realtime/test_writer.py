"""One connection's writer: it writes when the socket takes it, as it is allowed to, and gives up in the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime import writer as writer_module
from realtime.connections import Connection
from realtime.frames import Payload, texts
from realtime.handshake import Identity
from realtime.outbox import Changes, Options, Outbox
from realtime.protocol import CloseCode
from realtime.writer import MessageSocket, Writer, nothing

pytestmark = pytest.mark.asyncio


class Wire:
    """A server's socket that takes frames until it is told not to."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] = nothing
        self.runs: list[list[str]] = []
        self.takes_more = True
        self.is_aborted = False

    def write(self, run: bytes) -> bool:
        self.runs.append(list(texts(run)))
        return self.takes_more

    def abort(self) -> None:
        self.is_aborted = True


class Written:
    """A connection with its writer, and how often it was told to stop reading."""

    def __init__(self, socket: Any = None, **options: Any) -> None:
        self.clock = asyncio.get_running_loop().time
        self.outbox = Outbox(Options(**options), self.clock)
        self.connection = Connection("c", Identity(), "10.0.0.1", self.outbox, self.clock())
        self.wire = Wire()
        self.stops = 0
        self.writer = Writer(self.connection, socket or self.wire, self.clock, self.stop_reading)

    def stop_reading(self) -> None:
        self.stops += 1

    def put(self, **seqs: int) -> None:
        payloads = {symbol: Payload("asset_update", f'{{"{symbol}":{seq}}}') for symbol, seq in seqs.items()}
        self.outbox.put(Changes(payloads))


async def turns(count: int = 3) -> None:
    """Lets everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_is_put_in_one_turn_is_written_in_one_run() -> None:
    written = Written()
    written.connection.put_event("answer")
    written.put(A=1)
    written.put(B=1)
    assert written.wire.runs == []

    await turns()

    assert [len(run) for run in written.wire.runs] == [3]
    assert written.wire.runs[0][0] == "answer"


async def test_a_full_socket_gets_the_newest_value_once_it_is_writable() -> None:
    written = Written()
    written.wire.takes_more = False
    written.put(A=1)
    await turns()
    assert written.connection.sending_since is not None
    for seq in (2, 3, 4):
        written.put(A=seq)
        await turns()
    assert len(written.wire.runs) == 1

    written.wire.takes_more = True
    written.wire.on_writable()
    await turns()

    assert written.connection.sending_since is None
    assert '{"A":4}' in written.wire.runs[1][0] and len(written.wire.runs) == 2
    assert written.outbox.conflated == 2


async def test_a_value_held_back_by_max_rate_is_written_when_its_time_comes() -> None:
    written = Written(max_rate=50)
    written.put(A=1)
    await turns()
    written.put(A=2)
    await turns()
    assert len(written.wire.runs) == 1

    await until(lambda: len(written.wire.runs) == 2)

    assert '{"A":2}' in written.wire.runs[1][0]


async def test_closing_stops_the_reading_and_nothing_more_is_written() -> None:
    written = Written()
    await turns()
    written.put(A=1)
    written.connection.close(CloseCode.DRAINING)

    await turns()

    assert written.stops == 1
    assert written.wire.runs == []


async def test_a_stopped_writer_writes_nothing_that_was_due() -> None:
    written = Written(max_rate=50)
    written.put(A=1)
    written.writer.stop()
    written.put(B=1)

    await turns()

    assert written.wire.runs == []


async def test_the_end_is_what_led_to_it_and_the_close_frame() -> None:
    written, sent = Written(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    await turns()
    written.connection.put_event("error")
    written.writer.stop()
    await written.writer.end(send, 4502, "too many errors")

    assert [message["type"] for message in sent] == ["websocket.send", "websocket.close"]
    assert (sent[0]["text"], sent[1]["code"]) == ("error", 4502)


async def test_a_full_socket_is_offered_its_close_frame_when_it_is_writable() -> None:
    written, sent = Written(), list[Any]()
    written.wire.takes_more = False
    written.put(A=1)
    await turns()
    written.writer.stop()

    async def send(message: Any) -> None:
        sent.append(message)

    end = asyncio.create_task(written.writer.end(send, 4000, "slow consumer"))
    await turns()
    assert sent == []
    written.wire.on_writable()
    await end

    assert [message["code"] for message in sent] == [4000]


async def test_a_socket_that_never_takes_its_close_frame_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CLOSE_SECONDS", 0.01)
    written = Written()
    written.wire.takes_more = False
    written.put(A=1)
    await turns()
    written.writer.stop()

    await written.writer.end(asyncio.sleep, 4000, "slow consumer")

    assert written.wire.is_aborted


async def test_any_other_server_is_sent_message_by_message_and_conflated_meanwhile() -> None:
    sent: list[str] = []
    takes = asyncio.Semaphore(0)

    async def send(message: Any) -> None:
        await takes.acquire()
        sent.append(message["text"])

    written = Written(MessageSocket(send))
    written.put(A=1, B=1)
    await turns()
    for seq in (2, 3):
        written.put(A=seq)
    for _ in range(3):
        takes.release()
    await until(lambda: len(sent) == 3)

    assert ['"A":1' in sent[0], '"B":1' in sent[1], '"A":3' in sent[2]] == [True] * 3
    await until(lambda: written.connection.sending_since is None)
