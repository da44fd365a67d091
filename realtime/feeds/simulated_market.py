"""The simulator's market: a function of (seed, symbol, tick number), and the instruments that it knows.

Pure: no clock, no feed. Only a day's high, low and average price are remembered; at a start in mid-day they are
sampled from the function. Floats make the path; what leaves is a whole number of price steps, as `Decimal`. The
bars of `SimulatedMarket.history` come from the same function, so that they join the live price without a step.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from assets.market import Bar, Depth, Level, Quote

ORIGIN = datetime(2020, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
_SECOND = timedelta(seconds=1)

# The path is a sum of random lattices, each four times as coarse as the one before: 4 s, 16 s, … 48 days.
# A lattice's height grows with the root of its cell, as a random walk's does, and the sum stays near the base.
CELL_SECONDS = 4
OCTAVES = 11
# Of the price: what a single trade may be off the path.
TRADE_NOISE = 0.0001
DEPTH_LEVELS = 5
HISTORY_SAMPLES = 48

_MASK = (1 << 64) - 1
_HALF = 1 << 63
_UNIT = 2.0**-64
_GOLDEN = 0x9E3779B97F4A7C15
_NOISE = TRADE_NOISE * 2 * _UNIT
_DEPTH_SIZES = 64
_PRICES_KEPT = 1024


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulator needs to know of an instrument, and a seed of the database may want to."""

    symbol: str
    name: str
    asset_class: str
    base_price: Decimal
    daily_volume: Decimal
    currency: str = "USD"
    base_currency: str = ""
    price_digits: int = 2
    quantity_digits: int = 0
    daily_volatility: float = 0.012


def _stock(symbol: str, name: str, price: str, millions: int, volatility: float = 0.012) -> Instrument:
    return Instrument(
        symbol=symbol,
        name=name,
        asset_class="equity",
        base_price=Decimal(price),
        daily_volume=Decimal(millions) * 1_000_000,
        daily_volatility=volatility,
    )


def _coin(symbol: str, name: str, price: str, volume: int, volatility: float) -> Instrument:
    return Instrument(
        symbol=symbol,
        name=name,
        asset_class="crypto",
        base_price=Decimal(price),
        daily_volume=Decimal(volume),
        quantity_digits=6,
        daily_volatility=volatility,
    )


def _pair(base: str, quote: str, price: str, digits: int, volatility: float) -> Instrument:
    return Instrument(
        symbol=f"{base}{quote}",
        name=f"{base} in {quote}",
        asset_class="fx",
        base_price=Decimal(price),
        daily_volume=Decimal(40_000_000),
        currency=quote,
        base_currency=base,
        price_digits=digits,
        daily_volatility=volatility,
    )


# The demo's twelve; the seed of the database and the simulator agree because both read this table.
DEMO: tuple[Instrument, ...] = (
    _stock("AAPL", "Apple Inc.", "228", 52),
    _stock("MSFT", "Microsoft Corporation", "432", 21),
    _stock("GOOGL", "Alphabet Inc.", "178", 27),
    _stock("AMZN", "Amazon.com, Inc.", "215", 38),
    _stock("NVDA", "NVIDIA Corporation", "138", 190, 0.022),
    _stock("META", "Meta Platforms, Inc.", "590", 14),
    _stock("TSLA", "Tesla, Inc.", "318", 85, 0.026),
    _stock("JPM", "JPMorgan Chase & Co.", "246", 9),
    _stock("V", "Visa Inc.", "312", 6, 0.009),
    _coin("BTC-USD", "Bitcoin", "94000", 14_000, 0.018),
    _coin("ETH-USD", "Ethereum", "3350", 160_000, 0.023),
    _coin("SOL-USD", "Solana", "186", 1_900_000, 0.028),
)

# Currencies for portfolios of other countries; always there, and not among the counted. Like everything simulated they
# trade around the clock, so that a demo moves on a Sunday night too.
PAIRS: tuple[Instrument, ...] = (
    _pair("EUR", "USD", "1.0850", 5, 0.004),
    _pair("GBP", "USD", "1.2720", 5, 0.0045),
    _pair("USD", "JPY", "149.50", 3, 0.005),
    _pair("USD", "INR", "84.30", 4, 0.002),
    _pair("USD", "CHF", "0.8840", 5, 0.004),
)


def symbols(count: int) -> tuple[Instrument, ...]:
    """Returns `count` instruments: the demo's twelve first, then generated ones, SIM0013 and so on."""
    return DEMO[:count] + tuple(_generated(number) for number in range(len(DEMO) + 1, count + 1))


def _generated(number: int) -> Instrument:
    dice = _mix(number * _GOLDEN)
    return Instrument(
        symbol=f"SIM{number:04d}",
        name=f"Simulated {number}",
        asset_class="equity",
        base_price=Decimal(1000 + dice % 49_000).scaleb(-2),
        daily_volume=Decimal(1 + (dice >> 20) % 40) * 1_000_000,
        daily_volatility=0.008 + ((dice >> 40) % 1000) * 2e-5,
    )


def _mix(value: int) -> int:
    """Spreads an integer over 64 bits (the finish of splitmix64)."""
    value &= _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


class Path:
    """One instrument's function of the tick number, and the little it remembers of the day."""

    __slots__ = (
        "_cell",
        "_day",
        "_dice_tick",
        "_dice_value",
        "_lattices",
        "_left",
        "_log_base",
        "_mean_units",
        "_price_step",
        "_prices",
        "_quantity_step",
        "_rate",
        "_resting_levels",
        "_right",
        "_seed",
        "_sizes",
        "_spread",
        "_steps_per_unit",
        "high",
        "low",
        "open",
        "previous_close",
        "symbol",
        "turnover",
    )

    def __init__(self, instrument: Instrument, seed: str, rate: float) -> None:
        self.symbol = instrument.symbol
        digest = blake2b(f"{seed}:{instrument.symbol}".encode(), digest_size=8).digest()
        self._seed = int.from_bytes(digest, "big")
        self._rate = rate
        self._price_step = Decimal(1).scaleb(-instrument.price_digits)
        self._quantity_step = Decimal(1).scaleb(-instrument.quantity_digits)
        self._steps_per_unit = 10.0**instrument.price_digits
        self._log_base = math.log(float(instrument.base_price))
        self._lattices = [
            _Lattice(_mix(self._seed + octave), 2 * octave, instrument.daily_volatility)
            for octave in range(OCTAVES)
        ]
        self._cell = -2
        self._left = self._right = 0.0
        self._dice_tick = -1
        self._dice_value = 0
        self._mean_units = (
            float(instrument.daily_volume) * 10**instrument.quantity_digits / (DAY_SECONDS * rate)
        )
        self._day = NO_DAY
        # About two basis points of the price, and never less than one step.
        self._spread = max(1, round(float(instrument.base_price) * self._steps_per_unit * 0.0001))
        self._sizes = tuple(
            self._quantity_step
            * (1 + int(max(1.0, self._mean_units / 4) * (_mix(self._seed ^ index) % 1000 / 40)))
            for index in range(_DEPTH_SIZES)
        )
        self.open = self.high = self.low = self.previous_close = 0
        self.turnover = 0.0
        self._prices: dict[int, Decimal] = {}
        self._resting_levels: dict[int, tuple[Level, ...]] = {}

    # -- the function

    def _knot(self, cell: int) -> float:
        """The sum of all lattices at the beginning of a finest cell."""
        total = self._log_base
        for lattice in self._lattices:
            index = cell >> lattice.shift
            if index != lattice.index:
                lattice.move(index)
            total += lattice.left + lattice.slope * (cell & lattice.mask)
        return total

    def _dice(self, tick: int) -> int:
        if tick != self._dice_tick:
            self._dice_tick = tick
            self._dice_value = _mix(self._seed + tick * _GOLDEN)
        return self._dice_value

    def steps(self, tick: int) -> int:
        """Returns the price of a tick, in price steps."""
        return self._steps(tick, self._dice(tick))

    def _steps(self, tick: int, dice: int) -> int:
        cells = tick / (self._rate * CELL_SECONDS)
        cell = int(cells)
        if cell != self._cell:
            # Linear within the finest cell: one knot a cell and symbol is all that a running market costs.
            self._left = self._right if cell == self._cell + 1 else self._knot(cell)
            self._right = self._knot(cell + 1)
            self._cell = cell
        log = self._left + (self._right - self._left) * (cells - cell) + (dice - _HALF) * _NOISE
        return round(math.exp(log) * self._steps_per_unit) or 1

    def _day_of(self, tick: int) -> "_Day":
        number = int(tick / self._rate // DAY_SECONDS)
        # Some days are busier. Each trade has at least one unit, however far the size may swing.
        busy = 0.6 + 0.8 * _UNIT * _mix(self._seed ^ number)
        units = max(1.0, self._mean_units * busy)
        return _Day(
            first_tick=first_tick_of(number * DAY_SECONDS, self._rate),
            last_tick=first_tick_of((number + 1) * DAY_SECONDS, self._rate) - 1,
            units=units,
            swing=0.9 * (units - 1) * _UNIT,
        )

    def price(self, steps: int) -> Decimal:
        price = self._prices.get(steps)
        if price is None:
            if len(self._prices) >= _PRICES_KEPT:
                self._prices.clear()
            price = self._prices[steps] = self._price_step * steps
        return price

    # -- a tick

    def tick(self, tick: int, due: datetime, samples: int, *, depth: bool) -> tuple[Quote | Depth, ...]:
        """Returns the quote of a tick, and the depth around it where it is wanted."""
        day = self._day
        if not day.first_tick <= tick <= day.last_tick:
            day = self._begin_day(tick, samples)
        previous_dice = self._dice(tick - 1)
        dice = self._dice(tick)
        steps = self._steps(tick, dice)
        if steps > self.high:
            self.high = steps
        elif steps < self.low:
            self.low = steps
        units = day.volume(tick, dice)
        last_units = units - day.volume(tick - 1, previous_dice)
        self.turnover += float(steps) * last_units
        # The last trade was at the bid or at the ask; the other side is a spread away.
        bid = ask = steps
        if dice & 0x10000:
            ask += 1 + dice % self._spread
        else:
            bid = max(1, bid - 1 - dice % self._spread)
        price, where = self.price, dice >> 40
        bid_size, ask_size = self._sizes[where % _DEPTH_SIZES], self._sizes[(where >> 8) % _DEPTH_SIZES]
        quote = Quote(
            symbol=self.symbol,
            price=price(steps),
            as_of=due,
            last_quantity=self._quantity_step * last_units,
            bid=price(bid),
            ask=price(ask),
            bid_quantity=bid_size,
            ask_quantity=ask_size,
            open=price(self.open),
            high=price(self.high),
            low=price(self.low),
            volume=self._quantity_step * units,
            previous_close=price(self.previous_close),
            average_price=price(min(max(round(self.turnover / units), self.low), self.high)),
        )
        return (quote, self._depth(bid, ask, bid_size, ask_size, due)) if depth else (quote,)

    def _depth(self, bid: int, ask: int, bid_size: Decimal, ask_size: Decimal, due: datetime) -> Depth:
        # Below the best, orders rest at round prices, so that nearly every tick finds them made already.
        bids = self._resting((bid - 1) // self._spread, -1)
        asks = self._resting(ask // self._spread + 1, 1)
        return Depth(
            symbol=self.symbol,
            bids=((self.price(bid), bid_size), *bids),
            asks=((self.price(ask), ask_size), *asks),
            as_of=due,
        )

    def _resting(self, first: int, direction: int) -> tuple[Level, ...]:
        resting = self._resting_levels.get(first * direction)
        if resting is None:
            if len(self._resting_levels) >= _PRICES_KEPT:
                self._resting_levels.clear()
            lines = range(first, first + direction * (DEPTH_LEVELS - 1), direction)
            resting = self._resting_levels[first * direction] = tuple(
                (self.price(line * self._spread), self._sizes[line * 7 % _DEPTH_SIZES])
                for line in lines
                if line > 0
            )
        return resting

    def forget_day(self) -> None:
        self._day = NO_DAY

    def _begin_day(self, tick: int, samples: int) -> "_Day":
        self._day = day = self._day_of(tick)
        first = day.first_tick
        self.previous_close = self.steps(first - 1)
        self.open = self.steps(first)
        prices = [self.steps(earlier) for earlier in range(first, tick, max(1, (tick - first) // samples))]
        prices.append(self.open)
        self.high, self.low = max(prices), min(prices)
        self.turnover = sum(prices) / len(prices) * day.volume(tick - 1, self._dice(tick - 1))
        return day

    def bar(self, interval: Literal["1m", "1d"], start: int, end: int, samples: int) -> Bar | None:
        """Samples a bar of the seconds from `start` to before `end`; None when no tick falls into it."""
        first, last = first_tick_of(start, self._rate), first_tick_of(end, self._rate) - 1
        if last < first:
            return None
        prices = [self.steps(tick) for tick in range(first, last, max(1, (last - first) // samples))]
        prices.append(self.steps(last))
        day = self._day_of(last)
        return Bar(
            symbol=self.symbol,
            interval=interval,
            start=ORIGIN + start * _SECOND,
            open=self.price(prices[0]),
            high=self.price(max(prices)),
            low=self.price(min(prices)),
            close=self.price(prices[-1]),
            volume=self._quantity_step
            * (day.volume(last, self._dice(last)) - day.volume(first - 1, self._dice(first - 1))),
        )


class _Day(NamedTuple):
    """A day's ticks, the mean size of its trades, and how far a size may swing (as a factor of dice)."""

    first_tick: int
    last_tick: int
    units: float
    swing: float

    def volume(self, tick: int, dice: int) -> int:
        """The day's volume with this tick, in quantity units. Sizes are its differences: they sum to it."""
        if tick < self.first_tick:
            return 0
        return int(self.units * (tick - self.first_tick + 1) + self.swing * (dice * _GOLDEN & _MASK))


NO_DAY = _Day(0, -1, 0.0, 0.0)


class _Lattice:
    """Random heights at regular cells, and the straight line within the cell that is in use."""

    __slots__ = ("_height", "_seed", "index", "left", "mask", "shift", "slope")

    def __init__(self, seed: int, shift: int, daily_volatility: float) -> None:
        self._seed = seed
        self._height = daily_volatility * math.sqrt(CELL_SECONDS * 2**shift / DAY_SECONDS) * _UNIT * 2
        self.shift = shift
        self.mask = (1 << shift) - 1
        self.index = -1
        self.left = self.slope = 0.0

    def move(self, index: int) -> None:
        self.index = index
        self.left = (_mix(self._seed + index * _GOLDEN) - _HALF) * self._height
        right = (_mix(self._seed + (index + 1) * _GOLDEN) - _HALF) * self._height
        self.slope = (right - self.left) / (1 << self.shift)


def first_tick_of(seconds: int, rate: float) -> int:
    """Returns the number of the first tick at or after so many seconds since ORIGIN."""
    return math.ceil(seconds * rate)


class SimulatedMarket:
    """The function itself, without a feed: what a symbol costs at a tick, and its bars of the past."""

    def __init__(self, instruments: Iterable[Instrument], *, rate: float = 1.0, seed: str | int = 0) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"expected a rate above 0, was {rate}")
        self.rate = rate
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._paths = {
            symbol: Path(instrument, str(seed), rate) for symbol, instrument in self.instruments.items()
        }

    def tick_number(self, moment: datetime) -> int:
        return math.floor((moment - ORIGIN).total_seconds() * self.rate)

    def price(self, symbol: str, tick: int) -> Decimal:
        """Returns what `symbol` costs at a tick."""
        path = self._paths[symbol]
        return path.price(path.steps(tick))

    def history(
        self, symbol: str, count: int, until: datetime, interval: Literal["1d", "1m"] = "1d"
    ) -> list[Bar]:
        """Returns the last `count` bars, oldest first; the last one is that of `until`, as far as it came.

        Highs and lows are sampled, opens and closes exact: a day closes on the price that the live market
        showed last, and the next one's previous close is that price.
        """
        length = DAY_SECONDS if interval == "1d" else 60
        samples = HISTORY_SAMPLES if interval == "1d" else 12
        now = (until - ORIGIN) // _SECOND + 1
        begin = (now - 1) // length * length
        path = self._paths[symbol]
        starts = range(begin - (count - 1) * length, begin + 1, length)
        bars = [path.bar(interval, start, min(start + length, now), samples) for start in starts]
        return [bar for bar in bars if bar is not None]

    def path(self, symbol: str) -> Path:
        return self._paths[symbol]
