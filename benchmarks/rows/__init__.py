"""The rows of the targets table, in its order, and what they are compared with."""

from benchmarks.outcome import Row
from benchmarks.rows import throughput

ROWS: tuple[Row, ...] = (*throughput.ROWS,)
