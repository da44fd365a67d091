"""One open socket as the hub sees it, and the counts that status pages show of many."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from realtime.backlog import Overflow
from realtime.handshake import Identity
from realtime.outbox import Outbox
from realtime.protocol import HEARTBEAT_INTERVAL, CloseCode
from realtime.streams import Channels, News

NOTHING: Mapping[str, Any] = MappingProxyType({})  # most connections want quotes alone
RECHECK_SECONDS = 60.0  # the safety net under the announcements of ended sessions


class Connection:
    """One open socket, as the hub sees it."""

    __slots__ = (
        "address", "asked_at", "audience", "channels", "closing", "daily_bars", "heard_at", "heartbeat_at", "id",
        "identity", "outbox", "portfolios", "recheck_at", "sending_since", "subscriptions",
    )  # fmt: skip

    def __init__(self, id: str, identity: Identity, address: str, outbox: Outbox, moment: float) -> None:
        self.id = id
        self.identity = identity
        self.address = address
        self.outbox = outbox
        self.subscriptions: dict[str, str] = {}  # symbol to mode
        self.channels: Mapping[str, Channels] = NOTHING  # of those symbols of which there are any
        self.daily_bars: Mapping[str, str] = (
            NOTHING  # JSON fields that the next snapshot of a symbol is to have
        )
        self.portfolios: set[int] = set()
        self.audience: object | None = None  # the topics' own
        self.asked_at: dict[str, float] = {}  # symbols whose snapshot is awaited, and since when
        self.heard_at = moment
        self.heartbeat_at = moment + HEARTBEAT_INTERVAL
        self.recheck_at = moment + RECHECK_SECONDS
        self.sending_since: float | None = None  # since when the socket takes nothing
        self.closing: tuple[int, str] | None = None

    def close(self, code: CloseCode) -> None:
        """Asks the writer to close; what waits is not written any more."""
        if self.closing is None:
            self.closing = (code, code.reason)
            self.outbox.wake()

    def put_event(self, frame: str) -> None:
        try:
            self.outbox.put_event(frame)
        except Overflow:
            self.close(CloseCode.SLOW_CONSUMER)

    def forget_daily_bars(self, symbols: Collection[str]) -> None:
        if self.daily_bars:
            kept = {symbol: fields for symbol, fields in self.daily_bars.items() if symbol not in symbols}
            self.daily_bars = kept or NOTHING

    def put_news(self, news: News) -> None:
        try:
            self.outbox.put_news(news)
        except Overflow:
            self.close(CloseCode.SLOW_CONSUMER)


def user_counts(connections: Iterable[Connection]) -> dict[str, Any]:
    connections = list(connections)
    assets = {symbol for connection in connections for symbol in connection.subscriptions}
    portfolios = {portfolio for connection in connections for portfolio in connection.portfolios}
    return {
        "connection_count": len(connections),
        "subscriptions": {"portfolios": sorted(portfolios), "assets": sorted(assets)},
        "conflated": {connection.id: connection.outbox.conflated for connection in connections},
    }
