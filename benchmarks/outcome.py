"""What a row of the targets is, and what came of it: numbers beside their limits, so that nobody judges by hand."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench


@dataclass(frozen=True)
class Check:
    """One number that a target limits, from below or from above."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def is_met(self) -> bool:
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )


@dataclass(frozen=True)
class Outcome:
    """What a row reached.

    Attributes:
        reached: in words, with units.
        ratio: to whatever the target compares with.
        checks: all that the target asks; none when nothing is asked.
        note: why there is nothing, when the row failed or was left out.
    """

    reached: str = ""
    ratio: str = ""
    checks: tuple[Check, ...] = ()
    note: str = ""

    @property
    def met(self) -> str:
        """Returns `yes`, or `no` with what was missed, or the note."""
        if self.note:
            return self.note
        missed = [check.what for check in self.checks if not check.is_met]
        if missed:
            return f"no ({', '.join(missed)})"
        return "yes" if self.checks else ""


def failed(error: Exception) -> Outcome:
    """Returns the outcome of a row whose program ended, or whose client gave up."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Outcome(note=f"failed: {lines[0][:300]}")


def left_out(why: str) -> Outcome:
    return Outcome(note=f"left out: {why}")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        key: a target's number, or the name of a server that is only compared with.
    """

    key: str
    what: str
    target: str
    measure: Callable[[Bench], Outcome]
