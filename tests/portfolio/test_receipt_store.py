from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from portfolio import receipt_store
from portfolio.models import ReceiptSegment
from portfolio.receipts import ReceiptError, ReceiptLog, Segment, issue_alone

pytestmark = pytest.mark.django_db


def no_sleep(seconds: float) -> None:
    raise AssertionError("expected no wait")


def taken(log: ReceiptLog) -> Segment:
    segment = log.take()
    assert segment is not None
    return segment


def test_a_receipt_is_found_over_several_segments_and_chains() -> None:
    log = ReceiptLog()
    basis = log.basis(b"closes")
    ids = []
    for number in range(70):
        log.price("AAPL", str(number).encode())
        ids.append(log.issue(7, basis, number))
        receipt_store.save(taken(log))
    for number, id in enumerate(ids):
        found = receipt_store.load(7, id, sleep=no_sleep)
        assert (found.prices["AAPL"], found.at_us, found.basis) == (str(number).encode(), number, b"closes")


def test_a_segment_is_stored_once_however_often_it_is_saved() -> None:
    segment = issue_alone(7, b"", 0, {})
    receipt_store.save(segment)
    receipt_store.save(segment)
    assert ReceiptSegment.objects.count() == 1


def test_another_portfolios_receipt_is_as_none_at_all() -> None:
    segment = issue_alone(7, b"", 0, {})
    receipt_store.save(segment)
    assert receipt_store.load(7, f"{segment.writer}-1").portfolio_id == 7
    with pytest.raises(ReceiptError, match=r"^no such receipt$"):
        receipt_store.load(8, f"{segment.writer}-1", sleep=no_sleep)


def test_one_that_is_about_to_be_written_is_waited_for() -> None:
    log = ReceiptLog()
    id = log.issue(7, log.basis(b""), 0)
    waits: list[float] = []

    def written_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            receipt_store.save(taken(log))

    assert receipt_store.load(7, id, sleep=written_meanwhile).portfolio_id == 7
    assert len(waits) == 3


def test_one_that_is_written_between_two_questions_is_found() -> None:
    log = ReceiptLog()
    id = log.issue(7, log.basis(b""), 0)
    segment, questions = taken(log), []

    def write_before_the_second(execute: Any, sql: str, *rest: Any) -> Any:
        questions.append(sql)
        if len(questions) == 2:
            receipt_store.save(segment)
        return execute(sql, *rest)

    with connection.execute_wrapper(write_before_the_second):
        assert receipt_store.load(7, id, sleep=no_sleep).portfolio_id == 7


def test_one_that_never_comes_is_given_up() -> None:
    waits: list[float] = []
    with pytest.raises(ReceiptError, match="no such receipt"):
        receipt_store.load(7, "0123456789abcdef-1", sleep=waits.append)
    assert sum(waits) == pytest.approx(receipt_store.WAIT_SECONDS, abs=2 * receipt_store.LOOK_AGAIN_SECONDS)


def test_they_are_kept_a_day() -> None:
    for hours in (24.5, 26):
        receipt_store.save(issue_alone(7, b"", 0, {}))
        newest = ReceiptSegment.objects.latest("pk")
        ReceiptSegment.objects.filter(pk=newest.pk).update(created_at=timezone.now() - timedelta(hours=hours))
    assert receipt_store.prune(timezone.now()) == 1
    assert ReceiptSegment.objects.count() == 1
