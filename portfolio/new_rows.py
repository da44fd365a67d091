"""The new rows of a file on their way into the database, all of them under one lock.

They are written down as columns as soon as they are checked: what the lock is held for is only to store them.
"""

from datetime import datetime
from typing import Any

from assets.models import Asset
from portfolio.imports.drafts import RowDraft
from portfolio.ledger import Books
from portfolio.models import Portfolio
from portfolio.splits import SPLITS, brought_by
from portfolio.transaction import STORED, Transaction, columns_of

Columns = list[Any]
PLACES = {field.attname: place for place, field in enumerate(STORED)}


class NewRows:
    """The rows of one file, in its order.

    Args:
        is_preview: nothing will be stored.
    """

    def __init__(self, portfolio: Portfolio, is_preview: bool = False) -> None:
        self._portfolio = portfolio
        self._is_preview = is_preview
        self._rows: list[Columns] = []
        # With the file's own number of the row that each takes back.
        self._reversals: list[tuple[Columns, int]] = []
        # By place: those that choose lots; and the place by the file's own number.
        self._choosing: list[tuple[int, RowDraft]] = []
        self._places: dict[int, int] = {}
        # Whose asset is not stored yet, and in which column.
        self._of_new_assets: list[tuple[Columns, str, Asset]] = []
        self._earliest: dict[int, Transaction] = {}
        self._told_splits: list[Transaction] = []
        self._since: datetime | None = None

    def add(self, entry: Transaction, draft: RowDraft) -> None:
        for asset in (entry.asset, entry.other_asset):
            if asset is not None and asset.pk is not None:
                known = self._earliest.get(asset.pk)
                if known is None or entry.time < known.time:
                    self._earliest[asset.pk] = entry
        if entry.type in SPLITS:
            self._told_splits.append(entry)
        if not self._is_preview:
            self._keep(entry, draft)

    def _keep(self, entry: Transaction, draft: RowDraft) -> None:
        columns = columns_of(entry)
        if draft.reverses is not None:
            self._reversals.append((columns, draft.reverses))
        else:
            if draft.row is not None:
                self._places[draft.row] = len(self._rows)
            if draft.lots:
                self._choosing.append((len(self._rows), draft))
            self._rows.append(columns)
        for name, asset in (("asset_id", entry.asset), ("other_asset_id", entry.other_asset)):
            if asset is not None and asset.pk is None:
                self._of_new_assets.append((columns, name, asset))
        if self._since is None or entry.time < self._since:
            self._since = entry.time

    def add_splits(self) -> list[Transaction]:
        """Adds a row for each split of an asset that the file knows nothing of; returns them."""
        splits = brought_by(self._portfolio, [*self._earliest.values(), *self._told_splits])
        self._rows += map(columns_of, splits)
        return splits

    def store(self, books: Books) -> None:
        """Stores the rows, and the positions of `books`, which they were replayed to; for whoever holds the lock."""
        for columns, name, asset in self._of_new_assets:
            if asset.pk is None:
                asset.save()
            columns[PLACES[name]] = asset.pk
        newest = self._portfolio.transactions.order_by("pk").values_list("pk", flat=True).last() or 0
        Transaction.objects.insert(self._rows)
        if self._choosing or self._reversals:
            self._link(newest)
        self._portfolio.store_positions(books)
        if self._since is not None:
            self._portfolio.tell(self._since)

    def _link(self, newest: int) -> None:
        """Stores what speaks of other rows of the file, by the ids that these have now."""
        stored = self._portfolio.transactions.filter(pk__gt=newest).order_by("pk")
        keys = list(stored.values_list("pk", flat=True))
        assert len(keys) == len(self._rows)
        choosing = []
        for place, draft in self._choosing:
            lots = [[keys[self._places[row]], f"{quantity:f}"] for row, quantity in draft.lots]
            choosing.append(Transaction(pk=keys[place], lots=lots))
        Transaction.objects.choose_lots(choosing)
        for columns, row in self._reversals:
            place = self._places[row]
            for name in ("currency", "time"):
                columns[PLACES[name]] = self._rows[place][PLACES[name]]
            columns[PLACES["reverses_id"]] = keys[place]
        Transaction.objects.insert([columns for columns, _ in self._reversals])
