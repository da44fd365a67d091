"""`manage.py update_asset_prices`: one round of prices, or of daily bars, and then it ends.

Exit codes: 0 all well, 1 some assets failed, 2 wrong usage (and nothing was changed).
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from assets.fields import plain
from assets.models import Asset, normal_symbol
from realtime.price_feed.feed_store import chunks
from realtime.price_feed.price_update import Advance, Outcome, make_plan, update_history, update_prices
from realtime.protocol import encode, wire_time

WRONG_USAGE = 2
DEFAULT_DAYS = 30
MOST_DAYS = 3650


def day_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_DAYS}, was {text!r}")
    return int(text)


class Command(BaseCommand):
    help = "Fetches one price for each asset, or its daily history, then stores and broadcasts it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--symbols",
            nargs="+",
            metavar="A",
            help="only these assets, separated by spaces or commas (default: all)",
        )
        parser.add_argument(
            "--historical", action="store_true", help="daily bars instead of the current price"
        )
        parser.add_argument(
            "--days",
            type=day_count,
            metavar="N",
            help=f"with --historical: how many closed days (1 to {MOST_DAYS}, default {DEFAULT_DAYS})",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change; write and send nothing"
        )
        parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is not None and not options["historical"]:
            raise CommandError("--days belongs to --historical", returncode=WRONG_USAGE)
        dry_run = options["dry_run"]
        try:
            assets = self._assets(options["symbols"])
            plan = make_plan(assets, historical=options["historical"])
            with self._progress(plan.size, quiet=options["json"]) as advance:
                if options["historical"]:
                    days = options["days"] or DEFAULT_DAYS
                    outcome = update_history(assets, plan, days, dry_run=dry_run, advance=advance)
                else:
                    outcome = update_prices(assets, plan, dry_run=dry_run, advance=advance)
        except DatabaseError as error:
            raise CommandError(f"the database does not answer: {error}") from error
        if options["symbols"]:  # asked for by name, so it should have worked
            outcome.failed.update(outcome.skipped)
            outcome.skipped = {}
        if options["json"]:
            self.stdout.write(summary_json(outcome, historical=options["historical"], dry_run=dry_run))
        else:
            self._print(outcome, historical=options["historical"], dry_run=dry_run)
        if outcome.failed:
            raise CommandError(f"{len(outcome.failed)} of {len(assets)} assets failed", returncode=1)

    @staticmethod
    def _assets(words: Sequence[str] | None) -> list[Asset]:
        """Returns the assets asked for; raises CommandError that names every unknown one."""
        if words is None:
            return list(Asset.objects.order_by("symbol"))
        texts = list(dict.fromkeys(text for word in words for text in word.replace(",", " ").split()))
        if not texts:
            raise CommandError("--symbols: expected at least one symbol", returncode=WRONG_USAGE)
        found: dict[str, Asset] = {}
        symbols = {text: _normal(text) for text in texts}
        for some in chunks([symbol for symbol in symbols.values() if symbol]):
            found.update((asset.symbol, asset) for asset in Asset.objects.filter(symbol__in=some))
        unknown = [text[:64] for text, symbol in symbols.items() if symbol not in found]
        if unknown:
            raise CommandError(f"unknown symbols: {', '.join(unknown)}", returncode=WRONG_USAGE)
        return [found[symbol] for symbol in dict.fromkeys(symbols.values())]

    @contextmanager
    def _progress(self, total: int, *, quiet: bool) -> Iterator[Advance]:
        """Yields how to say that so many assets are done; a bar on a terminal, nothing elsewhere."""
        if quiet or not self.stdout.isatty():
            yield lambda done: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(), transient=True) as progress:
            task = progress.add_task("assets", total=total)
            yield lambda done: progress.advance(task, done)

    def _print(self, outcome: Outcome, *, historical: bool, dry_run: bool) -> None:
        for change in outcome.updated:
            before = "none" if change.before is None else plain(change.before)
            price = plain(change.price)
            self.stdout.write(
                f"{change.symbol}: {before} -> {price} ({change.source}, {wire_time(change.as_of)})"
            )
        for symbol, count in outcome.bars.items():
            self.stdout.write(f"{symbol}: {count} daily bars new or changed")
        for symbol, reason in outcome.failed.items():
            self.stderr.write(f"{symbol}: failed: {reason}")
        for symbol, reason in outcome.skipped.items():
            self.stdout.write(f"{symbol}: skipped: {reason}")
        done = len(outcome.bars) if historical else len(outcome.updated)
        verb = "would be updated" if dry_run else "updated"
        summary = f"{done} {verb}, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
        if historical:
            summary += f"; {sum(outcome.bars.values())} bars"
        self.stdout.write(summary + ("; nothing was written or sent" if dry_run else ""))


def _normal(text: str) -> str:
    try:
        return normal_symbol(text)
    except ValueError:
        return ""


def summary_json(outcome: Outcome, *, historical: bool, dry_run: bool) -> str:
    updated = [
        {
            "symbol": change.symbol,
            "source": change.source,
            "before": change.before,
            "price": change.price,
            "as_of": wire_time(change.as_of),
        }
        for change in outcome.updated
    ]
    return encode(
        {
            "historical": historical,
            "dry_run": dry_run,
            "updated": updated,
            "bars": outcome.bars,
            "failed": outcome.failed,
            "skipped": outcome.skipped,
        }
    )
