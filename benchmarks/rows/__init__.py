"""The rows of the targets table, in its order, and what they are compared with."""

from benchmarks.outcome import Row
from benchmarks.rows import beside, crowd, feed, portfolios, processes, slow, throughput, unwatched

ROWS: tuple[Row, ...] = (
    *throughput.ROWS,
    *crowd.ROWS,
    *processes.ROWS,
    *feed.ROWS,
    *slow.ROWS,
    *unwatched.ROWS,
    *portfolios.ROWS,
    *beside.ROWS,
)
