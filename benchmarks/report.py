"""Turns measurements into the table of `README.md`: pure text, and the one place that knows the file's markers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load_client import Reading

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: written by python -m benchmarks -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Measurement:
    """One row: what was read under which load, and what it cost; CPU in cores."""

    server: str
    load: str
    offered: float  # updates a second that would arrive if none were conflated or late
    reading: Reading
    web_cpu: float
    feed_cpu: float

    @property
    def client_cpu(self) -> float:
        return self.reading.cpu_seconds / self.reading.seconds

    @property
    def updates_per_cpu_second(self) -> float:
        return self.reading.updates_per_second / self.web_cpu if self.web_cpu else 0.0


HEADINGS = (
    "server", "load", "offered updates/s", "frames/s", "updates/s", "x plain", "p50 ms", "p99 ms",
    "web CPU", "feed CPU", "client CPU", "updates per web CPU s", "x plain",
)  # fmt: skip


def table(rows: Sequence[Measurement], plain: Measurement) -> str:
    """Returns the rows as a Markdown table, with how many times `plain` each one is."""
    lines = [HEADINGS, ("---", "---", *["---:"] * (len(HEADINGS) - 2))]
    lines += [_cells(row, plain) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Measurement, plain: Measurement) -> tuple[str, ...]:
    reading = row.reading
    return (
        row.server,
        row.load,
        f"{row.offered:,.0f}",
        f"{reading.frames_per_second:,.0f}",
        f"{reading.updates_per_second:,.0f}",
        ratio(reading.updates_per_second, plain.reading.updates_per_second),
        f"{reading.p50_ms:,.1f}",
        f"{reading.p99_ms:,.1f}",
        f"{row.web_cpu:.0%}",
        f"{row.feed_cpu:.0%}",
        f"{row.client_cpu:.0%}",
        f"{row.updates_per_cpu_second:,.0f}",
        ratio(row.updates_per_cpu_second, plain.updates_per_cpu_second),
    )


def ratio(value: float, plain: float) -> str:
    if not plain:
        return ""
    times = value / plain
    return f"{times:,.0f}" if times >= 20 else f"{times:.1f}"


def with_results(text: str, results: str) -> str:
    """Returns the README with the results between its markers, and all else as it was.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in the file")
    return f"{before}{BEGIN}\n\n{results.strip()}\n\n{END}{after}"


def write(results: str, path: Path = README) -> None:
    path.write_text(with_results(path.read_text(), results))
