"""Golden cases of the ledger, worked out by hand: to the last digit, in the asset's currency and in base."""

from portfolio.ledger import replay
from tests.portfolio.tables import D, expect, moment, table

# --- the five cases -----------------------------------------------------------------------------------------


def test_case_1_price_and_rate_both_move_and_more_was_bought() -> None:
    rows = table(
        """
        2025-03-03       deposit      currency=EUR amount=20000.00
        2025-03-04       convert      currency=EUR amount=17000.00 to_currency=USD to_amount=20000.00
        2025-03-05       buy     ACME currency=USD rate=0.8500 quantity=100 price=120.00 fee=5.00
        2026-11-19 15:05 buy     ACME currency=USD rate=0.9180 quantity=40  price=152.50 fee=1.00
        """
    )
    expect(
        replay(rows, base="EUR"),
        """
        lot   ACME 2025-03-05        quantity=100 cost=12005.00 cost_base=10204.25  # · 0.85
        lot   ACME 2026-11-19T15:05  quantity=40  cost=6101.00  cost_base=5600.718  # · 0.918
        asset ACME quantity=140 cost=18106.00 cost_base=15804.968 realized=0 realized_base=0 fees_base=5.168
        cash  USD  balance=1894.00 paid_base=1195.032  # 17,000 - 10,204.25 - 5,600.718
        cash  EUR  balance=3000.00 paid_base=3000.00
        books      flows_base=20000.00
        # 140·155·0.915 + 1,894·0.915 + 3,000; 21,700 - 18,106; 19,855.50 - 15,804.968; 1,733.01 - 1,195.032
        now price:ACME=155.00 rate:USD=0.9150 total=24588.51 unrealized=3594.00 unrealized_base=4050.532 cash_fx=537.978
        """,
    )


CASE_2 = """
    2019-05-01       deposit      currency=GBP rate=1.1500 amount=3000.00
    2019-05-02       buy     ACME currency=GBP rate=1.1500 multiplier=0.01 quantity=200 price=450 fee=6.00
    2022-08-15       buy     ACME currency=GBP rate=1.1800 multiplier=0.01 quantity=300 price=620 fee=5.95
    2026-11-19 09:00 deposit      currency=EUR amount=1000.00
    2026-11-19 10:30 sell    ACME currency=GBP rate=1.1650 multiplier=0.01 quantity=300 price=705 fee=8.00
    """


def test_case_2_sold_part_of_old_lots_in_pence() -> None:
    books = replay(table(CASE_2), base="EUR")
    expect(
        books,
        """
        # 200 of 2019: 1,410 - 5.333… fee - 906.00 = 498.666666666666666667
        # 100 of 2022:   705 - 2.666… fee - 621.983… = 80.350000000000000000
        # in base: 2,107·1.165 - 1,041.90 - 733.940333333333333333
        asset ACME quantity=200 realized=579.016666666666666667 realized_base=678.814666666666666667
        lot   ACME 2022-08-15 quantity=200 cost=1243.966666666666666667 cost_base=1467.880666666666666667
        cash  GBP  balance=2335.05 paid_base=2660.934  # 3,450 - 1,041.90 - 2,201.821 + 2,454.655
        cash  EUR  balance=1000.00 paid_base=1000.00
        books      flows_base=4450.00
        # 200·7.10·1.17 + 2,335.05·1.17 + 1,000; 2,732.0085 - 2,660.934
        now price:ACME=710 rate:GBP=1.17 total=5393.4085 unrealized=176.033333333333333333 cash_fx=71.0745
        now price:ACME=710 rate:GBP=1.17 unrealized_base=193.519333333333333333
        """,
    )
    sale = books.accounts["ACME"].entries[-1]
    assert (sale.quantity, sale.value, sale.fee) == (-300, D("-2463.975"), D("9.32"))  # 2,115·1.165; 8·1.165


def test_case_3_a_split_this_morning_and_a_sale() -> None:
    rows = table(
        """
        2022-12-30       deposit      amount=20000.00
        2023-01-03       buy     ACME quantity=10  price=800.00 fee=5.00
        2024-01-03       buy     ACME quantity=5   price=950.00 fee=5.00
        2026-11-19 05:00 split   ACME numerator=10 denominator=1
        2026-11-19 15:10 sell    ACME quantity=120 price=121.50 fee=2.00
        """
    )
    expect(
        replay(rows, until=moment("2026-11-19T14:30")),
        """
        lot   ACME 2023-01-03 quantity=100 cost=8005.00
        lot   ACME 2024-01-03 quantity=50  cost=4755.00
        cash  USD  balance=7240.00
        now price:ACME=120.00 total=25240.00
        """,
    )
    expect(
        replay(rows),
        """
        # 100: 12,150 - 1.666666666666666667 - 8,005 = 4,143.333…; 20: 2,430 - 0.333… - 4,755·20/50 = 527.666…
        asset ACME quantity=30 cost=2853.00 realized=4671.00
        cash  USD  balance=21818.00
        now price:ACME=123.00 total=25508.00 unrealized=837.00 cash_fx=0
        """,
    )


def test_case_4_a_short_partly_covered() -> None:
    rows = table(
        """
        2026-10-30 deposit      currency=USD rate=0.9100 amount=10000.00
        2026-11-05 sell    ACME currency=USD rate=0.9000 quantity=50 price=80.00 fee=2.50
        2026-11-19 buy     ACME currency=USD rate=0.8810 quantity=30 price=82.00 fee=1.50
        """
    )
    expect(
        replay(rows, short_sales=True, base="CHF"),
        """
        # paid 2,461.50 - 3,997.50·30/50; in base 2,168.5815 - 2,158.65
        asset ACME quantity=-20 cost=-1599.00 cost_base=-1439.10 realized=-63.00 realized_base=-9.9315
        cash  USD  balance=11536.00 paid_base=10529.1685  # 9,100 + 3,597.75 - 2,168.5815
        # -1,423.98 + 10,140.144; the dollar fell, so that the signs of the gains differ
        now price:ACME=81.00 rate:USD=0.8790 total=8716.164 unrealized=-21.00 unrealized_base=15.12 cash_fx=-389.0245
        """,
    )


def test_case_5_bitcoin_beside_a_share() -> None:
    rows = table(
        """
        2024-01-02       deposit         amount=20000.00
        2024-01-03       buy     ACME    quantity=50 price=150.00
        2025-03-01       buy     BTC-USD quantity=0.1 price=40000.00 fee=4.00
        2026-11-28 09:00 buy     BTC-USD quantity=0.050000001 price=90000.00 fee=4.50
        2026-11-29 12:00 withdrawal      amount=2000.00
        """
    )
    expect(
        replay(rows),
        """
        asset ACME    quantity=50          cost=7500.00    realized=0
        asset BTC-USD quantity=0.150000001 cost=8508.50009 realized=0  # 4,004 + 4,504.50009
        cash  USD     balance=1991.49991
        books         flows_base=18000.00
        now price:ACME=206.00 price:BTC-USD=91500 total=26016.5000015 unrealized=8016.5000015
        now price:ACME=204.50 price:BTC-USD=92000 total=26016.500002  unrealized=8016.500002
        """,
    )


# --- income -------------------------------------------------------------------------------------------------

DIVIDEND = """
    2026-01-02       deposit       currency=USD rate=0.90 amount=10000.00
    2026-01-05       buy      ACME currency=USD rate=0.90 quantity=100 price=50.00
    2026-11-19       dividend ACME currency=USD rate=0.92 amount=80.00 tax=12.00 pay_time=2026-11-29
    """


def test_a_dividend_is_income_on_its_ex_date_and_cash_on_its_pay_date() -> None:
    rows = table(DIVIDEND)
    expect(
        replay(rows, base="EUR", until=moment("2026-11-20")),
        """
        asset      ACME quantity=100 income=80.00 income_base=73.60 taxes_base=11.04  # 80·0.92, 12·0.92
        receivable USD  amount=68.00 value=62.56
        cash       USD  balance=5000.00 paid_base=4500.00
        # 100·49·0.95 + 5,000·0.95 + 68·0.95; 68·(0.95 - 0.92)
        now price:ACME=49.00 rate:USD=0.95 total=9469.60 receivables_fx=2.04 cash_fx=250.00
        """,
    )
    expect(
        replay(rows, base="EUR", until=moment("2026-11-29")),
        """
        asset ACME income_base=73.60 taxes_base=11.04
        cash  USD  balance=5068.00 paid_base=4562.56  # at the ex-date's rate: only the rate has moved since
        books      receivables=0 collected=1
        now price:ACME=49.00 rate:USD=0.95 total=9469.60 receivables_fx=0 cash_fx=252.04
        """,
    )


def test_a_short_pays_the_dividend() -> None:
    rows = table(
        """
        2026-11-02 sell     ACME quantity=50 price=80.00
        2026-11-19 dividend ACME amount=-30.00 pay_time=2026-11-29
        """
    )
    expect(
        replay(rows, short_sales=True, until=moment("2026-11-20")),
        """
        asset      ACME quantity=-50 cost=-4000.00 income=-30.00
        receivable USD  amount=-30.00
        now price:ACME=79.40 total=0.00  # 4,000 - 3,970 - 30
        """,
    )
    expect(replay(rows, short_sales=True), "cash USD balance=3970.00")


def test_a_bond_in_percent_with_accrued_interest_bought_and_sold() -> None:
    rows = table(
        """
        2026-01-02 deposit       amount=20000.00
        2026-04-01 buy      BOND multiplier=0.01 quantity=10000 price=98.50 fee=5.00
        2026-04-01 interest BOND multiplier=0.01 amount=-100.00
        2026-07-01 interest BOND multiplier=0.01 amount=200.00 tax=50.00
        2026-10-01 sell     BOND multiplier=0.01 quantity=5000 price=99.10 fee=5.00
        2026-10-01 interest BOND multiplier=0.01 amount=50.00
        """
    )
    expect(
        replay(rows),
        """
        # 9,850 + 5; half of it is 4,927.50; 4,955 - 5 - 4,927.50
        asset BOND quantity=5000 cost=4927.50 realized=22.50 income=150.00 taxes_base=50.00
        cash  USD  balance=15195.00  # 20,000 - 9,855 - 100 + 150 + 4,950 + 50
        now price:BOND=99.00 total=20145.00 unrealized=22.50
        """,
    )


def test_overdrawn_cash_is_a_position_and_its_interest_is_negative_income() -> None:
    rows = table(
        """
        2026-01-02 deposit       amount=500.00
        2026-01-05 buy      ACME quantity=10 price=100.00
        2026-02-01 interest      amount=-1.25
        2026-02-01 fee           amount=2.00
        2026-02-02 interest      amount=0.40 tax=0.10
        """
    )
    books = replay(rows)
    expect(
        books,
        """
        cash  USD balance=-502.95
        books     interest_base=-0.85 unlinked_fees_base=2.00 unlinked_taxes_base=0.10
        now price:ACME=100.00 total=497.05
        """,
    )
    assert [(e.income, e.fee) for e in books.cash["USD"].entries[2:]] == [
        (D("-1.25"), 0),
        (0, D("2.00")),
        (D("0.40"), D("0.10")),
    ]


# --- options ------------------------------------------------------------------------------------------------


def test_a_bought_option_expires_worthless() -> None:
    rows = table(
        """
        2026-09-01 buy    CALL multiplier=100 quantity=2 price=3.50 fee=1.30
        2026-11-20 expire CALL multiplier=100 quantity=2
        """
    )
    expect(replay(rows), "asset CALL quantity=0 cost=0 realized=-701.30 \n cash USD balance=-701.30")


def test_a_sold_option_that_expires_has_earned_its_premium() -> None:
    rows = table(
        """
        2026-09-01 sell   PUT multiplier=100 quantity=3 price=2.00 fee=1.95
        2026-11-20 expire PUT multiplier=100 quantity=2 fee=0.10
        """
    )
    # 598.05·2/3 - 0.10
    expect(
        replay(rows, short_sales=True), "asset PUT quantity=-1 cost=-199.35 realized=398.60 fees_base=2.05"
    )


def test_an_exercised_calls_premium_is_part_of_the_shares_cost() -> None:
    rows = table(
        """
        2026-09-01 buy      CALL currency=USD rate=0.90 multiplier=100 quantity=2 price=3.50 fee=1.30
        2026-11-20 exercise CALL currency=USD rate=0.92 multiplier=100 quantity=2 price=150.00 fee=1.00 \
            other_symbol=ACME option_right=call
        """
    )
    expect(
        replay(rows, base="EUR"),
        """
        asset CALL quantity=0 cost=0 realized=0
        # 200·150 + 1 + 701.30; in base 30,001·0.92 + 701.30·0.90
        asset ACME quantity=200 cost=30702.30 cost_base=28232.09 realized=0
        cash  USD  balance=-30702.30
        """,
    )


def test_an_exercised_puts_premium_lowers_the_proceeds() -> None:
    rows = table(
        """
        2026-01-05 buy      ACME quantity=100 price=160.00
        2026-09-01 buy      PUT  multiplier=100 quantity=1 price=4.00
        2026-11-20 exercise PUT  multiplier=100 quantity=1 price=150.00 other_symbol=ACME option_right=put
        """
    )
    # 15,000 - 400 - 16,000
    expect(replay(rows), "asset ACME quantity=0 realized=-1400.00 \n asset PUT quantity=0 realized=0")


def test_an_assigned_call_sells_the_shares_at_strike_and_premium() -> None:
    rows = table(
        """
        2026-01-05 buy    ACME quantity=100 price=140.00
        2026-09-01 sell   CALL multiplier=100 quantity=2 price=5.00 fee=2.00
        2026-11-20 assign CALL multiplier=100 quantity=1 price=150.00 other_symbol=ACME option_right=call fee=3.00
        """
    )
    expect(
        replay(rows, short_sales=True),
        """
        asset CALL quantity=-1 cost=-499.00 realized=0
        asset ACME quantity=0 realized=1496.00  # 15,000 + 499 - 3 - 14,000
        cash  USD  balance=1995.00  # -14,000 + 998 + 14,997
        """,
    )


def test_an_assigned_put_buys_the_shares_at_strike_less_premium() -> None:
    rows = table(
        """
        2026-09-01 sell   PUT multiplier=100 quantity=1 price=3.00
        2026-11-20 assign PUT multiplier=100 quantity=1 price=90.00 other_symbol=ACME option_right=put numerator=50
        """
    )
    expect(replay(rows, short_sales=True), "asset ACME quantity=50 cost=4200.00")  # 4,500 - 300


# --- through zero and through splits ------------------------------------------------------------------------


def test_one_sale_from_long_to_short_shares_its_fee() -> None:
    rows = table(
        """
        2026-11-18 buy  ACME currency=USD rate=0.80 quantity=10 price=100.00
        2026-11-19 sell ACME currency=USD rate=0.90 quantity=15 price=110.00 fee=3.10
        """
    )
    expect(
        replay(rows, short_sales=True, base="EUR"),
        """
        # fee of the 10: div(3.10·10, 15) = 2.066666666666666667; 1,100 - fee - 1,000; 1,100·0.9 - fee·0.9 - 800
        asset ACME realized=97.933333333333333333 realized_base=188.1399999999999999997
        # of the 5: 1.033333333333333333; -550 + fee; · 0.9
        lot   ACME 2026-11-19 quantity=-5 cost=-548.966666666666666667 cost_base=-494.0700000000000000003
        cash  USD  balance=646.90 paid_base=682.21  # 1,646.90·0.9 - 800
        """,
    )


def test_a_short_goes_through_a_split() -> None:
    rows = table(
        """
        2026-11-05 sell  ACME quantity=50 price=80.00 fee=2.50
        2026-11-19 split ACME numerator=2 denominator=1
        2026-11-20 buy   ACME quantity=40 price=41.00
        """
    )
    # -3,997.50·40/100 = -1,599.00; -1,640 + 1,599
    expect(replay(rows, short_sales=True), "asset ACME quantity=-60 cost=-2398.50 realized=-41.00")


def test_a_reverse_split_of_an_odd_lot_with_cash_in_lieu() -> None:
    rows = table(
        """
        2026-01-05 buy          ACME quantity=105 price=4.00
        2026-11-19 split        ACME numerator=1 denominator=8
        2026-11-19 cash_in_lieu ACME quantity=0.125 amount=4.10
        """
    )
    expect(replay(rows[:2]), "asset ACME quantity=13.125 cost=420.00 realized=0")
    # 420·0.125/13.125 = 4.00
    expect(replay(rows), "asset ACME quantity=13 cost=416.00 realized=0.10 \n cash USD balance=-415.90")


def test_a_split_that_does_not_divide_keeps_the_cost_exactly() -> None:
    rows = table(
        """
        2026-01-05 buy   ACME quantity=1 price=100.00
        2026-01-06 buy   ACME quantity=1 price=101.00
        2026-01-07 buy   ACME quantity=1 price=102.00
        2026-11-19 split ACME numerator=3 denominator=1
        2026-11-20 split ACME numerator=1 denominator=27
        2026-11-21 split ACME numerator=3 denominator=1
        """
    )
    expect(
        replay(rows[:4]), "asset ACME quantity=9 cost=303.00 \n lot ACME 2026-01-05 quantity=3 cost=100.00"
    )
    expect(
        replay(rows[:5]),
        """
        lot   ACME 2026-01-05 quantity=0.111111111111111111 cost=100.00
        lot   ACME 2026-01-06 quantity=0.111111111111111111 cost=101.00
        lot   ACME 2026-01-07 quantity=0.111111111111111111 cost=102.00
        asset ACME quantity=0.333333333333333333 cost=303.00
        """,
    )
    expect(replay(rows), "asset ACME quantity=0.999999999999999999 cost=303.00 realized=0")
    # Three lots of 1 are exactly one unit, though no third is.
    rows = [*rows[:3], *table("2026-11-19 split ACME numerator=1 denominator=3")]
    expect(
        replay(rows),
        """
        lot   ACME 2026-01-05 quantity=0.333333333333333333
        lot   ACME 2026-01-06 quantity=0.333333333333333334
        lot   ACME 2026-01-07 quantity=0.333333333333333333
        asset ACME quantity=1
        """,
    )


def test_average_cost_with_a_short_and_a_crossing() -> None:
    rows = table(
        """
        2026-01-05 buy  ACME quantity=10 price=100.00 fee=5.00  # 1,005
        2026-01-06 buy  ACME quantity=20 price=130.00           # 3,605 for 30
        2026-01-07 sell ACME quantity=10 price=140.00
        2026-01-08 sell ACME quantity=30 price=120.00 fee=6.00
        2026-01-09 sell ACME quantity=10 price=110.00
        2026-01-12 buy  ACME quantity=5  price=100.00
        """
    )
    steps = [
        # 3,605·10/30 = 1,201.666666666666666667
        (3, "asset ACME quantity=20 cost=2403.333333333333333333 realized=198.333333333333333333"),
        # Fee of the 20: 4; 2,400 - 4 - 2,403.333… = -7.333…; the other 10 are short at -1,200 + 2.
        (4, "asset ACME quantity=-10 cost=-1198.00 realized=191.000000000000000000"),
        (5, "asset ACME quantity=-20 cost=-2298.00 lots=1"),
        # -2,298·5/20 = -574.50; -500 + 574.50
        (6, "asset ACME quantity=-15 cost=-1723.50 realized=265.500000000000000000"),
    ]
    for count, expected in steps:
        expect(replay(rows[:count], short_sales=True, method="average"), expected)


# --- currencies, transfers, odd sizes -----------------------------------------------------------------------


def test_a_transfer_keeps_its_cost_and_date_and_flows_in_at_market_value() -> None:
    rows = table(
        """
        2026-11-18 buy          ACME currency=USD rate=0.90 quantity=10 price=48.00
        2026-11-19 transfer_in  ACME currency=USD rate=0.92 quantity=10 price=50.00 cost=200.00 opened=2015-06-01 fee=5
        2026-11-20 sell         ACME currency=USD rate=0.92 quantity=4  price=50.00
        2026-11-21 transfer_out ACME currency=USD rate=0.92 quantity=8  price=51.00
        """
    )
    books = replay(rows, base="EUR")
    expect(
        books,
        """
        # 200 - 200·4/10; in base 184 - 184·4/10: sold first, because it was opened in 2015
        asset ACME realized=120.00 realized_base=110.40 expenses_base=4.60
        lot   ACME 2026-11-18 quantity=8 cost=384.00 cost_base=345.60
        books      flows_base=-12.80  # 184 - 110.40 - 86.40: at cost
        now price:ACME=50.00 rate:USD=0.92 total=105.80  # (400 - 480 + 200 - 5)·0.92
        """,
    )
    _, transfer_in, _, transfer_out = books.accounts["ACME"].entries
    assert (transfer_in.value, transfer_in.flow) == (D("460.00"), D("460.00"))  # at market: 500·0.92
    assert (transfer_out.value, transfer_out.flow) == (D("-375.36"), D("-375.36"))  # -408·0.92


def test_a_transfer_without_cost_takes_the_market_value() -> None:
    rows = table("2026-11-19 transfer_in ACME currency=USD rate=0.92 quantity=10 price=50.00")
    expect(replay(rows, base="EUR"), "asset ACME cost=500.00 cost_base=460.00 \n books flows_base=460.00")
    rows = table(
        "2026-11-19 transfer_in ACME currency=USD rate=0.92 quantity=10 price=50 cost=200 base_cost=150"
    )
    expect(replay(rows, base="EUR"), "asset ACME cost=200 cost_base=150 \n books flows_base=150")


def test_a_brokers_spread_shows_as_an_effect_of_currency() -> None:
    rows = table(
        """
        2026-11-19 deposit currency=EUR amount=2000.00
        2026-11-19 convert currency=EUR amount=1000.00 to_currency=USD to_amount=1080.00 fee=3.00
        2026-11-19 convert currency=USD rate=0.9200 amount=540.00 to_currency=EUR to_amount=490.00
        """
    )
    expect(
        replay(rows, base="EUR"),
        """
        cash  USD balance=540.00 paid_base=510.00  # 1,000 - 490, the base legs' amounts
        cash  EUR balance=1487.00 paid_base=1487.00
        books     unlinked_fees_base=3.00
        now rate:USD=0.9200 total=1983.80 cash_fx=-13.20  # 496.80 - 510.00
        """,
    )


def test_a_fee_in_a_third_currency() -> None:
    rows = table(
        """
        2026-11-19 buy  ACME currency=USD rate=0.90 quantity=10 price=100.00 fee=2.00 fee_currency=GBP fee_rate=1.17
        2026-11-20 sell ACME currency=USD rate=0.91 quantity=5  price=110.00 fee=1.00 fee_currency=GBP fee_rate=1.18
        """
    )
    expect(
        replay(rows, base="EUR"),
        """
        # fee 2.34 EUR = 2.60 USD; 1,002.60/2; 902.34/2
        lot   ACME 2026-11-19 quantity=5 cost=501.30 cost_base=451.17
        # fee 1.18 EUR = div(1.18, 0.91) USD = 1.296703296703296703; 550 - fee - 501.30; 500.50 - 1.18 - 451.17
        asset ACME realized=47.403296703296703297 realized_base=48.15 fees_base=3.52
        cash  USD  balance=-450.00 paid_base=-399.50  # -900 + 500.50
        cash  GBP  balance=-3.00   paid_base=-3.52
        """,
    )


def test_a_trade_settled_in_another_currency() -> None:
    rows = table(
        """
        2026-11-19 buy  ACME currency=USD rate=0.93 settlement_currency=EUR settlement_rate=0.93 quantity=10 \
price=100.00 fee=1.00
        2026-11-20 sell ACME currency=USD rate=0.90 settlement_currency=EUR settlement_rate=0.90 quantity=10 \
price=100.00 fee=1.00 fee_currency=EUR fee_rate=1
        """
    )
    expect(
        replay(rows, base="EUR"),
        """
        # paid 930.93 EUR; received 899.00 EUR. 1 EUR of fee is div(1, 0.90) USD
        asset ACME quantity=0 realized=-2.111111111111111111 realized_base=-31.93
        cash  EUR  balance=-31.93 paid_base=-31.93
        """,
    )


def test_tax_on_a_sale_is_neither_cost_nor_proceeds() -> None:
    rows = table(
        """
        2026-01-05 buy  ACME quantity=10 price=100.00
        2026-11-19 sell ACME quantity=10 price=120.00 fee=1.00 tax=49.75
        """
    )
    expect(
        replay(rows), "asset ACME realized=199.00 taxes_base=49.75 fees_base=1.00 \n cash USD balance=149.25"
    )


def test_one_wei() -> None:
    rows = table(
        """
        2026-11-19 buy  ETH-USD quantity=0.000000000000000001 price=3000.00
        2026-11-20 buy  ETH-USD quantity=1000000 price=3000.123456789012345678
        2026-11-21 sell ETH-USD quantity=0.000000000000000001 price=3500.00
        """
    )
    expect(
        replay(rows),
        """
        asset ETH-USD quantity=1000000 cost=3000123456.789012345678 realized=0.0000000000000005
        cash  USD     balance=-3000123456.7890123456779995  # + 0.5E-15
        """,
    )


def test_a_split_of_one_wei_that_leaves_nothing_loses_its_cost() -> None:
    rows = table(
        """
        2026-11-19 buy   ETH-USD quantity=0.000000000000000001 price=3000.00
        2026-11-20 split ETH-USD numerator=1 denominator=8
        """
    )
    expect(replay(rows), "asset ETH-USD quantity=0 cost=0 realized=-0.000000000000003")


def test_withdrawal_of_everything() -> None:
    rows = table(
        """
        2026-01-05 deposit      amount=1000.00
        2026-01-06 buy     ACME quantity=10 price=100.00
        2026-11-19 sell    ACME quantity=10 price=120.00
        2026-11-19 withdrawal   amount=1200.00
        """
    )
    expect(
        replay(rows),
        "cash USD balance=0 \n books flows_base=-200.00 \n asset ACME realized=200.00 \n now total=0",
    )
