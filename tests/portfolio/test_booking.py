from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from assets.models import Asset, PriceBar
from portfolio.booking import change_currency, reverse
from portfolio.ledger import KINDS
from portfolio.models import Portfolio, Position, Transaction

D = Decimal
DAY = timedelta(days=1)


@pytest.fixture
def portfolio(db: None) -> Portfolio:
    return Portfolio.objects.create(user=User.objects.create_user("alice"), name="Growth", currency="EUR")


@pytest.fixture
def acme(db: None) -> Asset:
    return Asset.objects.create(symbol="ACME", currency="USD")


def close_of(symbol: str, base: str, quote: str, close: str, days: int) -> None:
    """A daily close of a currency pair, `days` ago."""
    pair, _ = Asset.objects.get_or_create(
        symbol=symbol,
        defaults={"asset_class": "fx", "base_currency": base, "currency": quote, "calendar": "24/7"},
    )
    start = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - (days + 1) * DAY
    price = D(close)
    PriceBar.objects.create(
        asset=pair, interval="1d", start=start, open=price, high=price, low=price, close=price
    )


def book(portfolio: Portfolio, type: str, days: float = 0, **values: Any) -> Transaction:
    for name, value in values.items():
        if isinstance(value, str) and value[0].isdigit():
            values[name] = D(value)
    row = Transaction(portfolio=portfolio, type=type, time=timezone.now() - days * DAY, **values)
    row.full_clean(exclude=["currency"] if not row.currency else None)
    row.save()
    return row


def problems(portfolio: Portfolio, type: str, days: float = 0, **values: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        book(portfolio, type, days, **values)
    return caught.value.message_dict


def test_the_rate_of_the_rows_moment_is_frozen(portfolio: Portfolio, acme: Asset) -> None:
    close_of("EURUSD", "EUR", "USD", "1.25", days=10)
    close_of("EURUSD", "EUR", "USD", "1.60", days=1)
    old = book(portfolio, "buy", 9, asset=acme, quantity="10", price="100", fee="5")
    new = book(portfolio, "buy", asset=acme, quantity="10", price="100")
    assert (old.currency, old.rate, old.base_value) == ("USD", D("0.8"), D("800"))
    assert (new.rate, new.base_value) == (D("0.625"), D("625"))
    PriceBar.objects.all().delete()
    assert [row.rate for row in portfolio.transactions.in_order()] == [D("0.8"), D("0.625")]


def test_a_currency_without_a_rate_is_refused_at_its_place(portfolio: Portfolio, acme: Asset) -> None:
    close_of("EURUSD", "EUR", "USD", "1.25", days=10)
    found = problems(portfolio, "buy", asset=acme, quantity="1", price="1")
    assert "no rate from USD to EUR is known within the 4 days before" in found["currency"][0]
    assert book(portfolio, "buy", asset=acme, quantity="1", price="1", rate="0.9").base_value == D("0.9")
    fee = problems(
        portfolio, "buy", asset=acme, quantity="1", price="1", rate="0.9", fee="1", fee_currency="CHF"
    )
    assert "give one as `fee_rate`" in fee["fee_currency"][0]


def test_a_trade_settled_elsewhere_is_worth_what_was_paid(portfolio: Portfolio, acme: Asset) -> None:
    row = book(
        portfolio,
        "buy",
        asset=acme,
        quantity="10",
        price="100",
        settlement_currency="EUR",
        settlement_rate="0.85",
    )
    assert (row.rate, row.base_value) == (D("0.85"), D("850"))
    assert portfolio.replay(portfolio.rows()).cash["EUR"].balance == D("-850")


def test_a_conversion_is_worth_its_leg_in_the_portfolios_currency(portfolio: Portfolio) -> None:
    row = book(
        portfolio,
        "convert",
        amount="20000",
        currency="USD",
        to_amount="17000",
        to_currency="EUR",
        rate="0.9",
    )
    assert row.base_value == 17000


def test_a_row_of_its_own_currency_has_the_rate_one(portfolio: Portfolio) -> None:
    row = book(portfolio, "deposit", amount="20000")
    assert (row.currency, row.rate, row.base_value) == ("EUR", 1, 20000)


def test_what_a_type_cannot_have_is_named(portfolio: Portfolio, acme: Asset) -> None:
    assert set(problems(portfolio, "split", asset=acme, numerator=10)) == {"denominator"}
    assert set(problems(portfolio, "deposit", amount="1", other_asset=acme)) == {"other_asset"}
    assert set(problems(portfolio, "spinoff", asset=acme)) >= {"other_asset", "cost_share", "numerator"}
    assert "reverses" in problems(portfolio, "reversal")


def test_every_type_that_is_in_the_ledger_has_its_columns() -> None:
    types = Transaction._meta.get_field("type").choices
    assert types is not None
    assert [value for value, _ in types] == list(KINDS)


def test_a_trade_before_its_asset_existed_is_refused(portfolio: Portfolio, acme: Asset) -> None:
    acme.listed_on = (timezone.now() - 5 * DAY).date()
    acme.save()
    found = problems(portfolio, "buy", 6, asset=acme, quantity="1", price="1", rate="1")
    assert "ACME did not exist before" in found["time"][0]
    book(portfolio, "buy", 4, asset=acme, quantity="1", price="1", rate="1")


@pytest.mark.parametrize(
    ("calendar", "too_early", "in_time"),
    [
        ("24/7", "2026-11-15T23:59:59+00:00", "2026-11-16T00:00:00+00:00"),
        # Nine hours before London.
        ("XTKS", "2026-11-15T14:59:59+00:00", "2026-11-15T15:00:00+00:00"),
        # Monday's session opens on Sunday at 17:00 in New York.
        ("FX", "2026-11-15T21:59:59+00:00", "2026-11-15T22:00:00+00:00"),
    ],
)
def test_an_assets_first_day_begins_where_its_exchange_is(
    portfolio: Portfolio, acme: Asset, calendar: str, too_early: str, in_time: str
) -> None:
    acme.listed_on, acme.calendar = date(2026, 11, 16), calendar
    acme.save()
    values: dict[str, Any] = {"portfolio": portfolio, "type": "buy", "asset": acme, "currency": "USD"}
    values |= {"quantity": D(1), "price": D(1), "rate": D(1)}
    with pytest.raises(ValidationError) as caught:
        Transaction(**values, time=datetime.fromisoformat(too_early)).full_clean()
    assert set(caught.value.message_dict) == {"time"}
    Transaction(**values, time=datetime.fromisoformat(in_time)).full_clean()


@pytest.mark.parametrize(
    "values",
    [
        {"type": "buy", "quantity": D(1), "price": D(1), "amount": D(1)},
        {"type": "buy", "quantity": D(-1), "price": D(1)},
        {"type": "buy", "quantity": D(0), "price": D(1)},
        {"type": "buy", "quantity": D(1), "price": D("-0.01")},
        {"type": "buy", "quantity": D(1), "price": D(1), "rate": D(0)},
        {"type": "buy", "quantity": D(1), "price": D(1), "fee": D(-1)},
        {"type": "buy", "quantity": D(1)},
        {"type": "split", "numerator": 2, "denominator": 1, "fee": D(1), "quantity": D(1)},
        {"type": "dividend", "amount": D(1), "numerator": 1},
        {"type": "buy", "quantity": D(1), "price": D(1), "to_currency": "EUR"},
    ],
)
def test_the_database_itself_refuses_what_no_row_can_have(
    portfolio: Portfolio, acme: Asset, values: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Transaction.objects.create(portfolio=portfolio, asset=acme, currency="USD", **values)


def test_the_database_refuses_a_position_of_nothing(portfolio: Portfolio, acme: Asset) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Position.objects.create(portfolio=portfolio, asset=acme, quantity=D("0.000"))


def test_a_reversal_leaves_the_row_and_takes_its_effect(portfolio: Portfolio, acme: Asset) -> None:
    bought = book(portfolio, "buy", 2, asset=acme, quantity="10", price="100", rate="1")
    before = portfolio.replay(portfolio.rows())
    wrong = book(portfolio, "sell", 1, asset=acme, quantity="4", price="90", rate="1")
    reversal = reverse(wrong, note="typed twice")
    assert (reversal.time, reversal.note) == (wrong.time, "typed twice")
    after = portfolio.replay(portfolio.rows())
    assert after.accounts["ACME"] == before.accounts["ACME"]
    assert Position.objects.get().quantity == 10
    with pytest.raises(ValidationError, match="reversed already"):
        reverse(wrong)
    with pytest.raises(ValidationError, match="no reversal itself"):
        reverse(reversal)
    assert portfolio.transactions.count() == 3
    assert bought.pk < wrong.pk < reversal.pk


def test_a_reversal_that_a_later_sale_forbids_names_that_sale(portfolio: Portfolio, acme: Asset) -> None:
    bought = book(portfolio, "buy", 2, asset=acme, quantity="10", price="100", rate="1")
    sold = book(portfolio, "sell", 1, asset=acme, quantity="4", price="90", rate="1")
    with pytest.raises(ValidationError, match=rf"row {sold.pk}: sell 4 ACME"):
        reverse(bought)
    assert portfolio.transactions.count() == 2
    assert Position.objects.get().quantity == 6


def test_another_base_currency_freezes_every_rate_anew(portfolio: Portfolio, acme: Asset) -> None:
    close_of("EURUSD", "EUR", "USD", "1.25", days=10)
    close_of("EURUSD", "EUR", "USD", "1.60", days=1)
    book(portfolio, "deposit", 9.5, amount="2000", currency="USD", rate="0.7")
    book(portfolio, "buy", 9, asset=acme, quantity="10", price="100", fee="5", fee_currency="EUR")
    book(portfolio, "deposit", amount="100")
    change_currency(portfolio, "USD")
    portfolio.refresh_from_db()
    assert portfolio.currency == "USD"
    assert [(row.rate, row.fee_rate, row.base_value) for row in portfolio.transactions.in_order()] == [
        (1, None, 2000),
        (1, D("1.25"), 1000),
        (D("1.6"), None, 160),
    ]


def test_a_base_currency_without_rates_is_refused_whole(portfolio: Portfolio, acme: Asset) -> None:
    row = book(portfolio, "deposit", amount="100")
    with pytest.raises(ValidationError, match=f"row {row.pk}: no rate from EUR to CHF"):
        change_currency(portfolio, "CHF")
    portfolio.refresh_from_db()
    assert portfolio.currency == "EUR"


def test_short_sales_are_the_portfolios_choice(portfolio: Portfolio, acme: Asset) -> None:
    assert "quantity" in problems(portfolio, "sell", asset=acme, quantity="4", price="90", rate="1")
    portfolio.short_sales = True
    portfolio.save()
    book(portfolio, "sell", asset=acme, quantity="4", price="90", rate="1")
    assert Position.objects.get().quantity == -4


def test_the_command_proves_positions_and_rebuilds_them(portfolio: Portfolio, acme: Asset) -> None:
    book(portfolio, "buy", asset=acme, quantity="10", price="100", rate="1")

    def run(*options: str) -> str:
        said = StringIO()
        try:
            call_command("check_positions", *options, stdout=said)
        except CommandError as error:
            return f"{said.getvalue()}error {error.returncode}: {error}"
        return said.getvalue()

    assert run() == "1 portfolios: every position equals its transactions\n"
    Position.objects.update(quantity=D("9.5"))
    differs = f"portfolio {portfolio.pk}: ACME: stored 9.5, booked 10\n"
    assert run() == f"{differs}error 1: 1 of 1 portfolios differ from their transactions"
    assert run("--rebuild") == f"{differs}1 of 1 portfolios rebuilt\n"
    assert run("--portfolio", str(portfolio.pk)) == "1 portfolios: every position equals its transactions\n"
    assert run("--portfolio", "987654") == "error 2: no portfolio 987654"


def test_a_date_is_the_open_of_the_assets_session(portfolio: Portfolio, acme: Asset) -> None:
    from portfolio.booking import moment_of_date

    day = datetime(2026, 11, 19, tzinfo=UTC)
    assert moment_of_date(acme, portfolio, day) == day
    portfolio.time_zone = "America/New_York"
    assert moment_of_date(None, portfolio, day) == datetime(2026, 11, 19, 5, tzinfo=UTC)
    acme.calendar = "FX"
    assert moment_of_date(acme, portfolio, day) == datetime(2026, 11, 18, 22, tzinfo=UTC)
