"""Garbage is looked for when enough sockets have come or gone, and never while a crowd arrives."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from realtime.garbage import CALM_SECONDS, LEAST_CHANGES, MOST_GONE, SET_ASIDE_AFTER, Garbage
from tests.realtime.builders import Clock


class Circle:
    """What only a walk over all objects finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def test_a_crowd_that_arrives_is_set_aside_and_swept_when_it_is_calm() -> None:
    clock = Clock()
    garbage = Garbage(clock)
    left = weakref.ref(Circle())

    for opened in range(0, 4 * LEAST_CHANGES + 1, SET_ASIDE_AFTER):
        garbage.look(opened, 0)
        clock.moment += 0.25
    assert gc.get_freeze_count() > 0
    gc.collect()
    assert left() is not None and garbage.sweeps == 0

    clock.moment += CALM_SECONDS
    garbage.look(4 * LEAST_CHANGES, 0)
    garbage.look(4 * LEAST_CHANGES, 0)

    assert left() is None and garbage.sweeps == 1


def test_where_it_is_never_calm_what_sockets_left_is_swept_all_the_same() -> None:
    garbage = Garbage(Clock())

    for gone in range(MOST_GONE * LEAST_CHANGES):
        garbage.look(gone + 1, gone)
    assert garbage.sweeps == 0
    garbage.look(MOST_GONE * LEAST_CHANGES + 1, MOST_GONE * LEAST_CHANGES)
    assert garbage.sweeps == 1


def test_the_more_sockets_are_open_the_more_must_change() -> None:
    clock = Clock()
    garbage = Garbage(clock)

    def look_when_calm(opened: int, closed: int) -> int:
        garbage.look(opened, closed)
        clock.moment += CALM_SECONDS
        garbage.look(opened, closed)
        return garbage.sweeps

    assert look_when_calm(40_000, 0) == 1
    assert look_when_calm(40_000, 7_999) == 1
    assert look_when_calm(40_000, 8_000) == 2


def test_a_few_sockets_change_nothing() -> None:
    clock = Clock()
    garbage = Garbage(clock)

    for opened in range(SET_ASIDE_AFTER):
        garbage.look(opened, opened)
        clock.moment += 60

    assert garbage.sweeps == 0 and gc.get_freeze_count() == 0
