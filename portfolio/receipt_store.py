"""Receipts in the database: a row for each segment, kept a day and an hour, so that any process can read them.

The web process that issues receipts writes its segments a moment later, so one that is not there yet is waited for.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import models

from portfolio.receipts import Receipt, ReceiptError, Segment, find, parse_id

KEPT = timedelta(hours=25)
# A segment is written this often, so a receipt may be asked for before it is there.
WRITE_INTERVAL_SECONDS = 2.0
# On a busy machine a write comes late; nobody waits for a receipt that is there.
WAIT_SECONDS = 5 * WRITE_INTERVAL_SECONDS
LOOK_AGAIN_SECONDS = 0.1


class ReceiptSegment(models.Model):
    """One segment of one writer's receipts; `portfolio.receipts` knows what the blob holds."""

    writer = models.CharField(max_length=16)
    chain = models.PositiveIntegerField()
    number = models.PositiveSmallIntegerField()
    first = models.PositiveBigIntegerField()
    last = models.PositiveBigIntegerField()
    blob = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["writer", "first"]
        indexes = [models.Index(fields=["created_at"], name="receipts_by_age")]
        constraints = [
            models.UniqueConstraint(fields=["writer", "first"], name="one_segment_per_writer_and_first"),
            models.CheckConstraint(
                condition=models.Q(last__gte=models.F("first")), name="segment_is_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.writer} {self.first}-{self.last}"

    def as_segment(self) -> Segment:
        return Segment(
            writer=self.writer,
            chain=self.chain,
            number=self.number,
            first=self.first,
            last=self.last,
            blob=bytes(self.blob),
        )


def save(segment: Segment) -> None:
    """Stores a segment, once however often it is asked to: who gave up waiting may not know that it was stored."""
    row = ReceiptSegment(
        writer=segment.writer,
        chain=segment.chain,
        number=segment.number,
        first=segment.first,
        last=segment.last,
        blob=segment.blob,
    )
    ReceiptSegment.objects.bulk_create([row], ignore_conflicts=True)


def load(portfolio_id: int, id: str, sleep: Callable[[float], None] = time.sleep) -> Receipt:
    """Returns a portfolio's receipt.

    Raises:
        ReceiptError: no such receipt, or it is another portfolio's, or older than a day.
    """
    writer, number = parse_id(id)
    waited = 0.0
    while (own := _segment(writer, number)) is None and waited < WAIT_SECONDS and _may_come(writer, number):
        sleep(LOOK_AGAIN_SECONDS)
        waited += LOOK_AGAIN_SECONDS
    # It may have come between the two questions.
    own = own or _segment(writer, number)
    if own is None:
        raise ReceiptError("no such receipt")
    chain = ReceiptSegment.objects.filter(writer=writer, chain=own.chain, number__lte=own.number)
    receipt = find((row.as_segment() for row in chain.order_by("number")), number)
    if receipt.portfolio_id != portfolio_id:
        raise ReceiptError("no such receipt")
    return receipt


def _segment(writer: str, number: int) -> ReceiptSegment | None:
    found = ReceiptSegment.objects.filter(writer=writer, first__lte=number, last__gte=number)
    return found.defer("blob").first()


def _may_come(writer: str, number: int) -> bool:
    """Whether the writer may still be about to write it; of one that has written nothing yet, nobody knows."""
    last = ReceiptSegment.objects.filter(writer=writer).aggregate(last=models.Max("last"))["last"]
    return last is None or number > last


def prune(now: datetime) -> int:
    """Deletes what is older than a day; returns how many segments."""
    deleted, _ = ReceiptSegment.objects.filter(created_at__lt=now - KEPT).delete()
    return deleted
