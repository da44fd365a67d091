from collections import defaultdict
from datetime import UTC, date
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.imports.export import valuation_csv
from portfolio.ledger import EXACT, LotMethod, replay
from portfolio.reports import Income, gains, income, years
from tests.portfolio.ledgers import BASE, Draft, bookable, drafts, make_rows, methods
from tests.portfolio.tables import D, moment, table

PAID = """
    2024-12-30       buy      ACME currency=USD rate=0.90 quantity=100 price=10.00
    2025-03-03       dividend ACME currency=USD rate=0.90 amount=100.00 tax=15.00 fee=1.00
    2025-06-02       dividend ACME currency=USD rate=0.80 amount=50.00  tax=7.50
    2025-06-02       dividend ACME currency=EUR           amount=4.00
    2025-12-30       dividend ACME currency=USD rate=0.85 amount=60.00  tax=9.00 pay_time=2026-01-15
    2025-07-01       tax      ACME currency=USD rate=0.80 amount=2.00
    2025-07-02       interest      currency=EUR           amount=3.00   tax=0.75
    2025-07-03       interest      currency=EUR           amount=-1.00
    2025-07-04       tax           currency=EUR           amount=99.00
    2025-08-01       dividend LENT currency=USD rate=0.80 amount=-5.00
    """


def said(each: Income) -> tuple[int, str, str | None, str, int, Decimal, Decimal, Decimal, Decimal]:
    return (
        each.year,
        each.kind,
        each.symbol,
        each.currency,
        each.payments,
        each.gross,
        each.net,
        each.gross_base,
        each.net_base,
    )


def test_income_is_summed_by_year_asset_and_currency() -> None:
    assert list(map(said, income(table(PAID), base="EUR", zone=UTC))) == [
        (2025, "dividend", "ACME", "EUR", 1, D(4), D(4), D(4), D(4)),
        # 100·0.90 + 50·0.80 + 60·0.85 = 181; taxes 13.50 + 6 + 7.65 + 2·0.80 = 28.75; fee 0.90
        (2025, "dividend", "ACME", "USD", 3, D(210), D("176.50"), D("181.00"), D("151.35")),
        (2025, "dividend", "LENT", "USD", 1, D(-5), D(-5), D(-4), D(-4)),
        (2025, "interest", None, "EUR", 2, D(2), D("1.25"), D(2), D("1.25")),
    ]


def test_income_may_count_when_it_is_paid() -> None:
    paid = income(table(PAID), base="EUR", zone=UTC, by="payment")
    assert [(each.year, each.gross) for each in paid if (each.symbol, each.currency) == ("ACME", "USD")] == [
        (2025, D(150)),
        (2026, D(60)),
    ]
    until = moment("2026-01-14")
    assert (
        sum(each.payments for each in income(table(PAID), base="EUR", zone=UTC, by="payment", until=until))
        == 6
    )


def test_what_was_taken_back_is_no_income() -> None:
    rows = table(PAID + "2026-02-01 reversal reverses=2")
    (acme,) = (
        each for each in income(rows, base="EUR", zone=UTC) if each.currency == "USD" and each.payments == 2
    )
    assert (acme.gross, acme.withheld) == (D(110), D("18.50"))


def test_a_value_that_was_frozen_is_kept() -> None:
    rows = table("2025-03-03 dividend ACME currency=USD rate=0.90 base_value=90.01 amount=100.00")
    assert income(rows, base="EUR", zone=UTC)[0].gross_base == D("90.01")


SOLD = """
    2019-05-02       buy  ACME currency=GBP rate=1.15  multiplier=0.01 quantity=200 price=450 fee=6.00
    2022-08-15       buy  ACME currency=GBP rate=1.18  multiplier=0.01 quantity=300 price=620 fee=5.95
    2025-12-31 23:30 sell ACME currency=GBP rate=1.165 multiplier=0.01 quantity=300 price=705 fee=8.00
    2026-01-05       sell OTHR currency=EUR quantity=10 price=5.00 fee=1.00
    2026-01-09       buy  OTHR currency=EUR quantity=10 price=6.00 fee=1.00
    """


def test_each_closed_part_is_a_gain_of_its_year() -> None:
    """Golden case 2, sold in the last half hour of a year; and a short, covered at a loss."""
    books = replay(table(SOLD), base="EUR", short_sales=True)
    first, second, short = gains(books, zone=UTC)
    assert (first.symbol, first.currency, first.kind, first.row_id, first.opened_by) == (
        "ACME",
        "GBP",
        "sell",
        3,
        1,
    )
    assert (first.opened, first.closed, first.holding_days) == (date(2019, 5, 2), date(2025, 12, 31), 2435)
    assert (first.quantity, first.gain) == (200, D("498.666666666666666667"))
    assert (second.quantity, second.gain) == (100, D("80.350000000000000000"))
    assert (first.cost_base, second.cost_base) == (D("1041.90"), D("733.940333333333333333"))
    assert first.gain_base + second.gain_base == D("678.814666666666666667")
    assert (short.quantity, short.proceeds, short.cost, short.holding_days) == (-10, D(49), D(61), 4)
    assert [
        (each.year, each.proceeds, each.realized, each.losses) for each in years([], [first, second, short])
    ] == [
        (2026, D(49), D(-12), D(-12)),
        (2025, D("2454.655"), D("678.814666666666666667"), D(0)),
    ]


def test_a_year_ends_in_the_portfolios_time_zone() -> None:
    books = replay(table(SOLD), base="EUR", short_sales=True)
    assert [gain.year for gain in gains(books, zone=UTC)] == [2025, 2025, 2026]
    assert [gain.year for gain in gains(books, zone=ZoneInfo("Europe/Berlin"))] == [2026, 2026, 2026]
    rows = table("2025-12-31 23:30 interest currency=EUR amount=1")
    assert income(rows, base="EUR", zone=ZoneInfo("Europe/Berlin"))[0].year == 2026


def test_years_sum_up_what_their_rows_say() -> None:
    (year,) = years(income(table(PAID), base="EUR", zone=UTC), [])
    # Gross 4 + 181 - 4 + 2; withheld 28.75 + 0.75; fees 0.90
    assert (year.year, year.gross, year.withheld, year.fees, year.net) == (
        2025,
        D("183.00"),
        D("29.50"),
        D("0.90"),
        D("152.60"),
    )


def test_a_report_can_be_written_as_a_file() -> None:
    books = replay(table(SOLD), base="EUR", short_sales=True)
    columns = ("symbol", "opened", "closed", "holding_days", "quantity", "gain", "gain_base")
    rows = [{name: getattr(gain, name) for name in columns} for gain in gains(books, zone=UTC)]
    assert valuation_csv(rows, "r-1").splitlines()[1] == (
        "r-1,ACME,2019-05-02,2025-12-31,2435,200,498.666666666666666667,594.536666666666666667055"
    )


@settings(max_examples=2_000, deadline=None)
@given(st.lists(drafts, min_size=1, max_size=10), methods)
def test_reports_add_up_to_the_books(drawn: list[Draft], method: LotMethod) -> None:
    rows = bookable(make_rows(drawn), method)
    books = replay(rows, short_sales=True, method=method, base=BASE)
    incomes = income(rows, base=BASE, zone=UTC)
    by_symbol: dict[str | None, Decimal] = defaultdict(Decimal)
    with localcontext(EXACT):
        for each in incomes:
            by_symbol[each.symbol] += each.gross_base
        assert by_symbol[None] == books.interest_base
        assert all(account.income_base == by_symbol[account.symbol] for account in books.accounts.values())
        totals = years(incomes, gains(books, zone=UTC))
        assert sum((year.gross for year in totals), D(0)) == books.income_base
        assert sum((year.realized for year in totals), D(0)) == books.realized_base
        # The same sums, in whichever year each is paid.
        paid = income(rows, base=BASE, zone=UTC, by="payment")
        assert sum((each.net_base for each in paid), D(0)) == sum((year.net for year in totals), D(0))
