"""An exchange order by order: made-up sessions of the channels `full` and `user`, and a book of single orders.

Written without any of our own decoding, as `frames` is. A session begins with each product's orders, as REST gives
them, in a frame of kind `orders`; what follows has one contiguous sequence a product.
"""

import json
import random
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.vendors.frames import BEGIN, Frames

KINDS = {"received", "open", "done", "match", "change"}
USER, PROFILE = "5844eceecf7e803e259d0365", "765d1549-9660-4be2-97d4-fa2d65fa3352"
OWN_FIELDS = {"user_id", "profile_id", "client-oid", "cancel_reason"} | {
    f"{whose}_{field}" for whose in ("taker", "maker") for field in ("user_id", "profile_id", "fee_rate")
}


def made_up_orders(
    products: Sequence[str] = ("ABC-USD", "DEF-EUR"), count: int = 400, seed: int = 1
) -> Frames:
    """Makes a session: each product's orders and ticker, then `count` things that happen to them."""
    dice = random.Random(seed)
    makers = [_Maker(product, dice) for product in products]
    frames: Frames = []
    seconds = BEGIN
    for maker in makers:
        frames += [(seconds, frame) for frame in maker.opening(seconds)]
    for _ in range(count):
        seconds += dice.random() * 0.05
        frames += [(seconds, frame) for frame in dice.choice(makers).next(seconds)]
    return frames


class NaiveOrders:
    """Orders by their ids, summed up and sorted when asked."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[str, Decimal, Decimal]] = {}
        self.sequence = 0

    def load(self, book: dict[str, Any]) -> None:
        self.sequence = book["sequence"]
        self.orders = {
            id: (side, Decimal(price), Decimal(size))
            for side, entries in (("buy", book["bids"]), ("sell", book["asks"]))
            for price, size, id in entries
        }

    def apply(self, message: dict[str, Any]) -> None:
        assert message["sequence"] == self.sequence + 1
        self.sequence += 1
        id = message.get("maker_order_id") or message["order_id"]
        match message["type"]:
            case "open":
                self._set(
                    id,
                    message["side"],
                    Decimal(message["price"]),
                    Decimal(message["remaining_size"]),
                )
            case "done":
                self.orders.pop(id, None)
            case "match":
                side, price, size = self.orders[id]
                self._set(id, side, price, size - Decimal(message["size"]))
            case "change" if id in self.orders:
                side, price, _ = self.orders[id]
                self._set(id, side, Decimal(message.get("new_price") or price), Decimal(message["new_size"]))

    def _set(self, id: str, side: str, price: Decimal, size: Decimal) -> None:
        self.orders[id] = (side, price, size)
        if not size:
            del self.orders[id]

    def listed(self) -> dict[str, Any]:
        """Returns the orders as REST gives them."""
        entries: dict[str, list[list[str]]] = {"buy": [], "sell": []}
        for id, (side, price, size) in self.orders.items():
            entries[side].append([str(price), str(size), id])
        return {"bids": entries["buy"], "asks": entries["sell"], "sequence": self.sequence}

    def levels(self, side: str) -> list[tuple[Decimal, Decimal]]:
        """Returns all levels of a side, best first."""
        sums: dict[Decimal, Decimal] = {}
        for own, price, size in self.orders.values():
            if own == side:
                sums[price] = sums.get(price, Decimal(0)) + size
        return sorted(sums.items(), reverse=side == "buy")


def rebuilt_orders(frames: Iterable[tuple[float, str]]) -> dict[str, NaiveOrders]:
    """Returns each product's orders after all frames."""
    books: dict[str, NaiveOrders] = {}
    for _, frame in frames:
        message = json.loads(frame)
        if message["type"] == "orders":
            books.setdefault(message["product_id"], NaiveOrders()).load(message["book"])
        elif message["type"] in KINDS:
            books[message["product_id"]].apply(message)
    return books


def own(frames: Iterable[tuple[float, str]]) -> list[dict[str, Any]]:
    """Returns the messages about the account's own orders."""
    return [message for _, frame in frames if "user_id" in (message := json.loads(frame))]


def for_others(message: dict[str, Any]) -> dict[str, Any]:
    """Returns a message as those see it whose order it is not."""
    return {name: value for name, value in message.items() if name not in OWN_FIELDS}


class _Maker:
    """One product's market: orders come, go, change and meet."""

    def __init__(self, product: str, dice: random.Random) -> None:
        self.product = product
        self.dice = dice
        self.step = Decimal(1).scaleb(-dice.choice([2, 3, 4]))
        self.middle = dice.randrange(5_000, 90_000)
        self.sequence = dice.randrange(10**7, 10**9)
        self.trade = dice.randrange(10**4, 10**6)
        self.book = NaiveOrders()
        self.ours: set[str] = set()

    def id(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def price(self, steps: int) -> str:
        return str(self.step * steps)

    def size(self) -> str:
        return f"{self.dice.random() * 5 + 0.0001:.8f}"

    def message(self, kind: str, seconds: float, **fields: Any) -> str:
        moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
        message: dict[str, Any] = {
            "type": kind,
            "time": moment.replace("+00:00", "Z"),
            "product_id": self.product,
        }
        if kind in KINDS:
            self.sequence += 1
            message["sequence"] = self.sequence
            if fields.get("order_id") in self.ours:
                message |= {"user_id": USER, "profile_id": PROFILE}
        message |= fields
        if kind in KINDS:
            self.book.apply(message)
        return json.dumps(message, separators=(",", ":"))

    def opening(self, seconds: float) -> list[str]:
        entries: dict[str, list[list[str]]] = {"bids": [], "asks": []}
        for side, sign in (("bids", -1), ("asks", 1)):
            for _ in range(80):
                price = self.price(self.middle + sign * self.dice.randrange(1, 40))
                entries[side].append([price, self.size(), self.id()])
        book = {**entries, "sequence": self.sequence}
        self.book.load(book)
        orders = {"type": "orders", "product_id": self.product, "book": book}
        return [json.dumps(orders, separators=(",", ":")), self.ticker(seconds)]

    def ticker(self, seconds: float) -> str:
        bid, ask = (self.book.levels(side)[0] for side in ("buy", "sell"))
        return self.message(
            "ticker",
            seconds,
            sequence=self.sequence,
            price=self.price(self.middle),
            open_24h=self.price(self.middle - 90),
            volume_24h=f"{self.sequence % 10**6}.50000000",
            low_24h=self.price(self.middle - 400),
            high_24h=self.price(self.middle + 400),
            volume_30d="2295579.57000000",
            best_bid=str(bid[0]),
            best_bid_size=str(bid[1]),
            best_ask=str(ask[0]),
            best_ask_size=str(ask[1]),
            side=self.dice.choice(["buy", "sell"]),
            trade_id=self.trade,
            last_size=self.size(),
        )

    def next(self, seconds: float) -> list[str]:
        happens = self.dice.choices(
            (self.rest, self.cancel, self.meet, self.shrink, self.move, self.immediate, self.stop),
            (45, 22, 15, 8, 4, 4, 2),
        )
        return happens[0](seconds)

    def received(self, seconds: float, kind: str, side: str, **fields: Any) -> tuple[str, str]:
        id = self.id()
        own = {}
        if self.dice.random() < 0.1:
            self.ours.add(id)
            own = {"client-oid": self.id()}
        text = self.message("received", seconds, order_id=id, side=side, order_type=kind, **fields, **own)
        return id, text

    def rest(self, seconds: float) -> list[str]:
        side = self.dice.choice(["buy", "sell"])
        best = {own: self.book.levels(own)[0][0] / self.step for own in ("buy", "sell")}
        distance = self.dice.randrange(1, 40)
        steps = int(best["sell"]) - distance if side == "buy" else int(best["buy"]) + distance
        price, size = self.price(steps), self.size()
        id, text = self.received(seconds, "limit", side, price=price, size=size)
        return [
            text,
            self.message("open", seconds, order_id=id, side=side, price=price, remaining_size=size),
        ]

    def resting(self, side: str | None = None) -> tuple[str, str, Decimal, Decimal] | None:
        """An order that may go without leaving its side empty."""
        side = side or self.dice.choice(["buy", "sell"])
        known = [(id, *order) for id, order in self.book.orders.items() if order[0] == side]
        return self.dice.choice(known) if len(known) > 20 else None

    def done(self, seconds: float, id: str, side: str, reason: str, **fields: Any) -> str:
        if reason == "canceled" and id in self.ours:
            fields["cancel_reason"] = "103:User Requested Cancel"
        return self.message("done", seconds, order_id=id, side=side, reason=reason, **fields)

    def cancel(self, seconds: float) -> list[str]:
        if (order := self.resting()) is None:
            return self.rest(seconds)
        id, side, price, size = order
        return [self.done(seconds, id, side, "canceled", price=str(price), remaining_size=str(size))]

    def meet(self, seconds: float) -> list[str]:
        """A market order takes one or two of the best orders, the last one in part."""
        side = self.dice.choice(["buy", "sell"])
        if self.resting(side) is None:
            return self.rest(seconds)
        taker_side = "sell" if side == "buy" else "buy"
        taker, text = self.received(seconds, "market", taker_side, funds=self.size())
        frames = [text]
        for part in self.dice.choice([[2], [1], [1, 2]]):
            price = self.book.levels(side)[0][0]
            maker, left = next(
                (id, own[2]) for id, own in self.book.orders.items() if own[:2] == (side, price)
            )
            size = (left / part).quantize(Decimal("0.00000001"))
            self.trade += 1
            self.middle = int(price / self.step)
            frames.append(self.match(seconds, maker, taker, side, price, size))
            if size == left:
                filled = {"price": str(price), "remaining_size": "0.00000000"}
                frames.append(self.done(seconds, maker, side, "filled", **filled))
        return [*frames, self.done(seconds, taker, taker_side, "filled"), self.ticker(seconds)]

    def match(self, seconds: float, maker: str, taker: str, side: str, price: Decimal, size: Decimal) -> str:
        own: dict[str, str] = {}
        for whose, id in (("maker", maker), ("taker", taker)):
            if id in self.ours:
                own |= {f"{whose}_user_id": USER, f"{whose}_profile_id": PROFILE}
                own |= {"user_id": USER, "profile_id": PROFILE, f"{whose}_fee_rate": "0.005"}
        return self.message(
            "match",
            seconds,
            trade_id=self.trade,
            maker_order_id=maker,
            taker_order_id=taker,
            side=side,
            size=str(size),
            price=str(price),
            **own,
        )

    def shrink(self, seconds: float) -> list[str]:
        if (order := self.resting()) is None:
            return self.rest(seconds)
        id, side, price, size = order
        new = (size / 3).quantize(Decimal("0.00000001"))
        sizes = {"old_size": str(size), "new_size": str(new)}
        return [
            self.message("change", seconds, reason="STP", order_id=id, side=side, price=str(price), **sizes)
        ]

    def move(self, seconds: float) -> list[str]:
        if (order := self.resting()) is None:
            return self.rest(seconds)
        id, side, price, size = order
        away = self.step * self.dice.randrange(1, 9) * (-1 if side == "buy" else 1)
        fields = {
            "old_size": str(size),
            "new_size": self.size(),
            "old_price": str(price),
            "new_price": str(price + away),
        }
        return [self.message("change", seconds, reason="modify_order", order_id=id, side=side, **fields)]

    def immediate(self, seconds: float) -> list[str]:
        """An order that never rests: its change and its end are of one that is not in the book."""
        side = self.dice.choice(["buy", "sell"])
        price, size = self.price(self.middle), self.size()
        id, text = self.received(seconds, "limit", side, price=price, size=size)
        change = {"reason": "STP", "price": price, "old_size": size, "new_size": "0.50000000"}
        return [
            text,
            self.message("change", seconds, order_id=id, side=side, **change),
            self.done(seconds, id, side, "canceled", price=price, remaining_size="0.50000000"),
        ]

    def stop(self, seconds: float) -> list[str]:
        """A stop order of ours wakes up; it has no place in the sequence, and its time is a number."""
        message = {
            "type": "activate",
            "product_id": self.product,
            "timestamp": f"{seconds:.6f}",
            "user_id": USER,
            "profile_id": PROFILE,
            "order_id": self.id(),
            "stop_type": "entry",
            "side": "buy",
            "stop_price": self.price(self.middle + 80),
            "size": self.size(),
            "funds": "50.00000000",
            "private": True,
        }
        return [json.dumps(message, separators=(",", ":"))]
