"""Portfolios that somebody watches: valued anew when a held price moves, encoded once for all their viewers.

Holdings come from the ledger and prices from the hub; the arithmetic is `portfolio.valuation`'s. A watched
portfolio is registered before it is loaded, so that no change falls between.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from assets.rates import Pair, RatePoint, Rates
from assets.rates_store import pair_assets, pair_of
from assets.redistribution import EVERYTHING, Viewer
from portfolio.holdings import load
from portfolio.ledger import LedgerError
from portfolio.models import Portfolio
from portfolio.valuation import PricePoint, Valuation, Valuer
from portfolio.windows import Holdings
from realtime.connections import Connection
from realtime.database import UNAVAILABLE, in_database
from realtime.frames import Payload
from realtime.hub import Hub
from realtime.live_receipts import LiveReceipts
from realtime.protocol import ErrorCode, Numbers, ProtocolError, QuoteRecord, encode, envelope

log = logging.getLogger("personal_finance.realtime.portfolio")


class Loaded(NamedTuple):
    """What the database says of a portfolio, and of the currency pairs that rates are made of."""

    holdings: Holdings
    pairs: tuple[Pair, ...] = ()
    viewer: Viewer = EVERYTHING


class Market:
    """The last prices that one kind of viewer may see, and the rates that follow from them."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.prices: dict[str, PricePoint] = {}
        self.pairs: tuple[Pair, ...] = ()
        self.rates = Rates((), self.prices)

    def trade_pairs(self, pairs: tuple[Pair, ...]) -> None:
        if pairs != self.pairs:
            self.pairs, self.rates = pairs, Rates(pairs, self.prices)

    def take(self, symbol: str, point: PricePoint) -> None:
        if self.viewer.sees(point.source):
            self.prices[symbol] = point
        else:
            self.prices.pop(symbol, None)


class PortfolioChange:
    """One valuation with its receipt, encoded at most once in each form that a viewer needs."""

    def __init__(self, valuation: Valuation, receipt: str) -> None:
        self._valuation = valuation
        self._receipt = receipt
        self._payloads: dict[tuple[bool, Numbers], Payload] = {}

    def payload(self, complete: bool, numbers: Numbers) -> Payload:
        key = (complete, numbers)
        if key not in self._payloads:
            self._payloads[key] = Payload(
                "portfolio_update", encode(self._valuation.as_struct(complete, self._receipt), numbers)
            )
        return self._payloads[key]


class WatchedPortfolio:
    """One portfolio with its viewers; `version` counts the changes announced, so that none is loaded too early."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.viewers: set[Connection] = set()
        self.joining = 0
        self.holdings: Holdings | None = None
        self.valuer: Valuer | None = None
        # The pairs that its rates come from, and the basis that its receipts name.
        self.pairs: frozenset[str] = frozenset()
        self.basis: int | None = None
        self.market = Market(EVERYTHING)
        self.version = 0
        self.loading: asyncio.Task[None] | None = None
        self.changed: set[str] = set()

    @property
    def symbols(self) -> frozenset[str]:
        """What is to be watched for it: what it holds, and what its rates are made of."""
        return self.holdings.symbols | self.pairs if self.holdings is not None else frozenset()


class LivePortfolios:
    """Every portfolio that this process's connections watch.

    Args:
        hub: gives prices and messages.
        utc_now: the wall clock, which rolls sessions.
        load: reads a portfolio's holdings, and the currency pairs there are, from the database.
        receipts: remembers what each valuation was computed from.
    """

    def __init__(
        self,
        hub: Hub,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        load: Callable[[int], Loaded] | None = None,
        receipts: LiveReceipts | None = None,
    ) -> None:
        self._hub = hub
        self._utc_now = utc_now
        self._load_holdings = load or load_holdings
        self._watched: dict[int, WatchedPortfolio] = {}
        self._by_symbol: dict[str, set[WatchedPortfolio]] = {}
        # All prices, and beside them what each kind of viewer sees of them: two kinds, or only one.
        self._prices: dict[str, PricePoint] = {}
        self._markets: dict[Viewer, Market] = {}
        self._receipts = receipts or LiveReceipts()
        self._moved: set[WatchedPortfolio] = set()
        hub.price_listeners.append(self._on_prices)
        hub.pulse_listeners.append(self._roll)
        hub.pulse_listeners.append(self._write_receipts)
        hub.stop_listeners.append(self._receipts.write)
        hub.message_listeners |= {
            "portfolio.changed": self._on_changed,
            "portfolio.removed": self._on_removed,
            "hub.joined": self._on_joined,
        }

    # --- viewers -----------------------------------------------------------------------------------------------------

    async def join(self, connection: Connection, portfolio_id: int) -> None:
        """Prepares a portfolio for a viewer; `show` then adds the viewer and sends the first value.

        Raises:
            ProtocolError: missing and foreign are `portfolio_not_found`; `service_degraded` without a database;
                `internal_error` when the stored rows contradict each other.
        """
        watched = self._watched.get(portfolio_id)
        if watched is None:
            watched = self._watched[portfolio_id] = WatchedPortfolio(portfolio_id)
        watched.joining += 1
        joined = False
        try:
            await self._check_owner(connection, portfolio_id)
            # Its user may see less than when it was loaded for a connection that is open still.
            is_narrower = not connection.identity.viewer.covers(watched.market.viewer)
            if watched.holdings is None or watched.loading is not None or is_narrower:
                await self._loaded(watched)
            if self._watched.get(portfolio_id) is not watched:
                raise not_found()  # deleted, or somebody else's, since its owner was looked up
            joined = True
        except UNAVAILABLE as error:
            raise ProtocolError(ErrorCode.SERVICE_DEGRADED, "the database does not answer") from error
        except LedgerError as error:
            log.error("portfolio cannot be valued", extra={"portfolio_id": portfolio_id, "error": str(error)})
            raise ProtocolError(
                ErrorCode.INTERNAL_ERROR, "this portfolio's rows contradict each other"
            ) from error
        except Portfolio.DoesNotExist as error:
            raise not_found() from error
        finally:
            watched.joining -= 1
            if not joined:  # otherwise it waits for `show`
                self._drop_unwatched(watched)

    async def _check_owner(self, connection: Connection, portfolio_id: int) -> None:
        user_id = connection.identity.user_id
        if user_id is None:
            raise ProtocolError(ErrorCode.AUTH_REQUIRED, "sign in to see portfolios")
        try:
            owns = await in_database(
                lambda: Portfolio.objects.filter(pk=portfolio_id, user_id=user_id).exists()
            )
        except UNAVAILABLE as error:
            raise ProtocolError(ErrorCode.SERVICE_DEGRADED, "the database does not answer") from error
        if not owns:
            raise not_found()

    def show(self, connection: Connection, portfolio_id: int) -> None:
        """Adds a viewer and sends it the whole current value."""
        watched = self._watched.get(portfolio_id)
        if watched is None or watched.holdings is None or connection.id not in self._hub.connections:
            self._drop_unwatched(watched)
            return
        watched.viewers.add(connection)
        connection.portfolios.add(portfolio_id)
        self._hub.presence.touch(connection)
        change = self._change(watched, watched.changed)
        outbox = connection.outbox
        outbox.put_portfolio(portfolio_id, change.payload(True, outbox.options.numbers))

    def leave(self, connection: Connection, portfolio_ids: Iterable[int]) -> None:
        for portfolio_id in list(portfolio_ids):
            connection.portfolios.discard(portfolio_id)
            connection.outbox.forget_portfolio(portfolio_id)
            if (watched := self._watched.get(portfolio_id)) is not None:
                watched.viewers.discard(connection)
                self._drop_unwatched(watched)
        self._hub.presence.touch(connection)

    def _drop_unwatched(self, watched: WatchedPortfolio | None) -> None:
        if watched is not None and not watched.viewers and not watched.joining:
            self._drop(watched)

    def _drop(self, watched: WatchedPortfolio) -> None:
        if self._watched.get(watched.id) is watched:
            del self._watched[watched.id]
            self._index(watched, watched.symbols, frozenset())
            watched.holdings = watched.valuer = None
            self._forget_basis(watched)

    # --- loading -----------------------------------------------------------------------------------------------------

    async def _loaded(self, watched: WatchedPortfolio) -> None:
        if watched.loading is None:
            watched.loading = asyncio.create_task(self._load(watched))
        await asyncio.shield(watched.loading)

    async def _load(self, watched: WatchedPortfolio) -> None:
        """Loads holdings and the prices that they need, again if a change was announced meanwhile."""
        try:
            version = -1
            while version != watched.version:
                version = watched.version
                loaded = await in_database(self._load_holdings, watched.id)
                if self._watched.get(watched.id) is not watched:
                    return  # nobody waits for it any more
                before = watched.symbols
                self._take(watched, loaded)
                await self._index_and_read(watched, before)
        finally:
            watched.loading = None

    def _take(self, watched: WatchedPortfolio, loaded: Loaded) -> None:
        holdings = loaded.holdings
        watched.market = self._market(loaded.viewer)
        watched.market.trade_pairs(loaded.pairs)
        watched.holdings, watched.valuer = holdings, None
        rates = watched.market.rates
        legs = (rates.legs(currency, holdings.currency) for currency in holdings.currencies)
        watched.pairs = frozenset(symbol for found in legs for symbol in found)
        self._forget_basis(watched)
        watched.basis = self._receipts.basis(holdings, loaded.viewer)

    def _market(self, viewer: Viewer) -> Market:
        market = self._markets.get(viewer)
        if market is None:
            market = self._markets[viewer] = Market(viewer)
            for symbol, point in self._prices.items():
                market.take(symbol, point)
        return market

    def _forget_basis(self, watched: WatchedPortfolio) -> None:
        if watched.basis is not None:
            self._receipts.forget_basis(watched.basis)
            watched.basis = None

    async def _index_and_read(self, watched: WatchedPortfolio, before: frozenset[str]) -> None:
        added = self._index(watched, before, watched.symbols)
        await self._hub.watch(added)
        self._take_prices(watched.symbols)
        watched.valuer = None  # one that was made meanwhile has not seen these prices

    def _index(self, watched: WatchedPortfolio, before: frozenset[str], after: frozenset[str]) -> set[str]:
        """Brings the index of symbols up to date; returns those that the hub must begin to watch."""
        added: set[str] = set()
        for symbol in after - before:
            if symbol not in self._by_symbol:
                self._by_symbol[symbol] = set()
                added.add(symbol)
            self._by_symbol[symbol].add(watched)
        removed: set[str] = set()
        for symbol in before - after:
            holders = self._by_symbol[symbol]
            holders.discard(watched)
            if not holders:
                del self._by_symbol[symbol]
                self._prices.pop(symbol, None)
                for market in self._markets.values():
                    market.prices.pop(symbol, None)
                self._receipts.forget_price(symbol)
                removed.add(symbol)
        self._hub.unwatch(removed)
        return added

    def _reload(self, watched: WatchedPortfolio) -> None:
        watched.version += 1
        if watched.loading is None:
            self._hub.spawn(self._reload_and_send(watched))

    async def _reload_and_send(self, watched: WatchedPortfolio) -> None:
        try:
            await self._loaded(watched)
        except Portfolio.DoesNotExist:
            self._remove(watched, "deleted")
            return
        except UNAVAILABLE:
            await asyncio.sleep(1)  # the announcement must not be lost with the database
            if watched.id in self._watched:
                self._reload(watched)
            return
        except LedgerError as error:
            log.error("portfolio cannot be valued", extra={"portfolio_id": watched.id, "error": str(error)})
            return
        if watched.holdings is not None:
            self._send(watched, None)

    # --- prices ------------------------------------------------------------------------------------------------------

    def _on_prices(self, symbols: set[str]) -> None:
        held = symbols & self._by_symbol.keys()
        if not held:
            return
        self._take_prices(held)
        if not self._moved:
            # Several sources may flush in one turn of the loop; each portfolio is valued once for all of them.
            asyncio.get_running_loop().call_soon(self._send_moved)
        for symbol in held:
            for watched in self._by_symbol[symbol]:
                watched.changed.add(symbol)
                self._moved.add(watched)

    def _take_prices(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            topic = self._hub.topics.get(symbol)
            record = topic.quote() if topic is not None else None
            if record is not None:
                point = self._prices[symbol] = price_point(record)
                for market in self._markets.values():
                    market.take(symbol, point)
                self._receipts.price(symbol, point)

    def _send_moved(self) -> None:
        moved, self._moved = self._moved, set()
        for watched in moved:
            if watched.holdings is not None:
                if watched.viewers:
                    self._send(watched, frozenset(watched.changed))
                else:
                    self._value(watched, watched.changed)  # whoever is joining gets it
            watched.changed.clear()

    def _value(self, watched: WatchedPortfolio, changed: Collection[str]) -> Valuation:
        """Values what changed, and everything once the holdings are new."""
        holdings, market, now = watched.holdings, watched.market, self._utc_now()
        assert holdings is not None
        rates: dict[str, RatePoint] = {}
        for currency in holdings.currencies:
            rate = market.rates.rate(currency, holdings.currency, now)
            if rate is not None:
                rates[currency] = rate
        if watched.valuer is None:
            watched.valuer = Valuer(holdings, market.prices, rates, now)
            return watched.valuer.valuation()
        return watched.valuer.update(market.prices, rates, changed, now)

    def _change(self, watched: WatchedPortfolio, changed: Collection[str]) -> PortfolioChange:
        valuation = self._value(watched, changed)
        self._hub.counters["positions_revalued"] += len(valuation.touched)
        assert watched.basis is not None
        return PortfolioChange(valuation, self._receipts.issue(valuation, watched.basis))

    def _write_receipts(self) -> None:
        if self._receipts.is_due:
            self._hub.spawn(self._receipts.write())

    def _send(self, watched: WatchedPortfolio, changed: frozenset[str] | None) -> None:
        """Values once and hands every viewer the changed positions, or all when an older value still waits."""
        # A price that is in the receipts already must be in the value as well.
        change = self._change(watched, watched.changed if changed is None else changed)
        self._hub.counters["valuations"] += 1
        for connection in watched.viewers:
            outbox = connection.outbox
            complete = changed is None or outbox.has_portfolio(watched.id)
            outbox.put_portfolio(watched.id, change.payload(complete, outbox.options.numbers))

    # --- messages and the clock --------------------------------------------------------------------------------------

    def _on_changed(self, message: Mapping[str, Any]) -> None:
        if (watched := self._watched.get(message["portfolio_id"])) is not None:
            self._reload(watched)

    def _on_removed(self, message: Mapping[str, Any]) -> None:
        if (watched := self._watched.get(message["portfolio_id"])) is not None:
            self._remove(watched, message["reason"])

    def _remove(self, watched: WatchedPortfolio, reason: str) -> None:
        data = encode({"portfolio_id": watched.id, "reason": reason})
        for connection in list(watched.viewers):
            self.leave(connection, [watched.id])
            connection.put_event(envelope("portfolio_removed", data))
        self._drop(watched)  # also under the feet of whoever is joining, who then finds out

    def _on_joined(self, _: Mapping[str, Any]) -> None:
        # What was announced while this process was deaf is unknown.
        for watched in self._watched.values():
            self._reload(watched)

    def _roll(self) -> None:
        moment = self._utc_now()
        for watched in self._watched.values():
            if (
                watched.holdings is not None
                and moment >= watched.holdings.valid_until
                and watched.loading is None
            ):
                self._reload(watched)


def load_holdings(portfolio_id: int) -> Loaded:
    portfolio = Portfolio.objects.select_related("user").get(pk=portfolio_id)
    return Loaded(load(portfolio), tuple(map(pair_of, pair_assets())), portfolio.viewer)


def price_point(record: QuoteRecord) -> PricePoint:
    return PricePoint(
        price=record.price,
        as_of=datetime.fromisoformat(record.as_of),
        previous_close=record.previous_close,
        source=record.source,
        session=record.session,
        stale=record.stale,
        seq=record.seq,
        epoch=record.epoch,
        received_at=datetime.fromisoformat(record.received_at) if record.received_at else None,
    )


def not_found() -> ProtocolError:
    """Missing and foreign alike, to the letter: the answer must not tell which."""
    return ProtocolError(ErrorCode.PORTFOLIO_NOT_FOUND, "no such portfolio")
