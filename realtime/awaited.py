"""Subscriptions that have no price: those whose vendor refuses them, and those that wait too long in session.

A subscription without a price stands; this only says why nothing comes.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from django.conf import settings

from assets.hours import hours_at
from assets.sessions import AROUND_THE_CLOCK
from realtime.bus import FeedStatus
from realtime.catalog import Catalog
from realtime.connections import Connection
from realtime.feed_watch import FeedWatch
from realtime.protocol import ErrorCode, ProtocolError, error_frame
from realtime.topics import Topics


class Awaited:
    """Tells connections why a price does not come.

    Args:
        utc_now: wall time, for the sessions of markets.
    """

    def __init__(
        self,
        catalog: Catalog,
        feeds: FeedWatch,
        topics: Topics,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalog = catalog
        self._feeds = feeds
        self._topics = topics
        self._utc_now = utc_now
        self._told: dict[str, str] = {}  # refused symbols that somebody here wants, and why

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refusal(self, symbol: str) -> str | None:
        """Returns why a vendor refuses a symbol, when no other live source of the asset can give it."""
        asset, found = self._catalog.recall(symbol), None
        for source in asset.sources if asset is not None else ():
            view = self._feeds.views.get(source)
            if view is None:
                continue
            reason = view.status.refused.get(symbol)
            if reason is None and view.is_live:
                return None
            if reason is not None and found is None:
                found = f"{source}: {reason}"
        return found

    def tell(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Tells one that subscribes to what is refused already."""
        for symbol in symbols:
            if (reason := self.refusal(symbol)) is not None:
                self._told[symbol] = reason
                put_no_data(connection, symbol, reason)

    def on_status(self, status: FeedStatus) -> None:
        """Tells everyone who is subscribed to what is refused since now."""
        if not (status.refused or self._told):
            return
        for symbol in status.refused.keys() | self._told.keys():
            reason = self.refusal(symbol) if symbol in self._topics else None
            if reason is None:
                self._told.pop(symbol, None)
            elif self._told.get(symbol) != reason:
                self._told[symbol] = reason
                for connection in self._topics.subscribers(symbol):
                    put_no_data(connection, symbol, reason)

    # --- waiting -----------------------------------------------------------------------------------------------------

    def check(self, connection: Connection, moment: float) -> None:
        """Tells of prices that have not come for too long while their market was open."""
        for symbol, since in list(connection.asked_at.items()):
            if moment - since < settings.REALTIME_NO_DATA_TIMEOUT:
                continue
            closed_for = self._closed_for(symbol)
            if closed_for:
                connection.asked_at[symbol] = moment + closed_for
                continue
            del connection.asked_at[symbol]
            if symbol not in self._told:
                put_no_data(connection, symbol, f"{symbol} has had no price so far")

    def _closed_for(self, symbol: str) -> float:
        """Returns in how many seconds the market opens; 0 when it is open."""
        asset, now = self._catalog.recall(symbol), self._utc_now()
        hours = hours_at(AROUND_THE_CLOCK if asset is None else asset.calendar, now)
        return (hours.changes_at - now).total_seconds() if hours.phase == "closed" else 0.0


def put_no_data(connection: Connection, symbol: str, reason: str) -> None:
    error = ProtocolError(ErrorCode.NO_DATA, reason, "subscribe_asset")
    connection.put_event(error_frame(error, symbol=symbol))
