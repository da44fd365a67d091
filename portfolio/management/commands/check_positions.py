"""`manage.py check_positions`: proves that stored positions equal what the transactions say, or rebuilds them.

Exit codes: 0 all equal (or made equal), 1 some differ or cannot be booked, 2 wrong arguments.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from assets.fields import plain
from assets.models import Asset
from portfolio.ledger import ZERO, LedgerError
from portfolio.models import Portfolio
from portfolio.transaction import rebuild


class Command(BaseCommand):
    help = "Compares every stored position with the portfolio's transactions, booked anew from the first one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--portfolio", type=int, nargs="+", metavar="ID", help="only these portfolios")
        parser.add_argument("--rebuild", action="store_true", help="write positions that differ anew")

    def handle(self, *args: Any, **options: Any) -> None:
        portfolios = Portfolio.objects.order_by("pk")
        if options["portfolio"]:
            portfolios = portfolios.filter(pk__in=options["portfolio"])
            missing = set(options["portfolio"]) - set(portfolios.values_list("pk", flat=True))
            if missing:
                raise CommandError(f"no portfolio {', '.join(map(str, sorted(missing)))}", returncode=2)
        wrong = rebuilt = count = 0
        for key in list(portfolios.values_list("pk", flat=True)):
            count += 1
            differences = self._differences(key)
            for line in differences:
                self.stdout.write(f"portfolio {key}: {line}")
            if differences and options["rebuild"]:
                rebuilt += self._rebuild(key)
            wrong += bool(differences)
        if not wrong:
            self.stdout.write(f"{count} portfolios: every position equals its transactions")
        elif rebuilt == wrong:
            self.stdout.write(f"{rebuilt} of {count} portfolios rebuilt")
        else:
            raise CommandError(f"{wrong - rebuilt} of {count} portfolios differ from their transactions")

    @transaction.atomic
    def _differences(self, key: int) -> list[str]:
        portfolio = Portfolio.objects.locked().get(pk=key)
        try:
            booked = portfolio.booked_positions()
        except LedgerError as error:
            return [f"cannot be booked: {error}"]
        stored = dict(portfolio.positions.values_list("asset_id", "quantity"))
        symbols = dict(Asset.objects.filter(pk__in={*booked, *stored}).values_list("pk", "symbol"))
        pairs = {
            symbols[asset]: (stored.get(asset, ZERO), booked.get(asset, ZERO)) for asset in {*booked, *stored}
        }
        return [
            f"{symbol}: stored {plain(was)}, booked {plain(wanted)}"
            for symbol, (was, wanted) in sorted(pairs.items())
            if was != wanted
        ]

    def _rebuild(self, key: int) -> bool:
        try:
            rebuild({key})
        except LedgerError:
            return False
        return True
