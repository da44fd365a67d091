"""Turns outcomes and measurements into the tables of `README.md`; the one place that knows the file's markers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Measurement
from benchmarks.outcome import Outcome, Row

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: written by python -m benchmarks -->", "<!-- end of results -->"


def targets(outcomes: Mapping[str, tuple[Row, Outcome]]) -> str:
    """Returns the rows that have a target, with what was reached; nothing when none was asked for."""
    head = ("#", "what", "target", "reached", "ratio", "met")
    lines = [
        (row.key, row.what, row.target, outcome.reached, outcome.ratio, outcome.met)
        for row, outcome in outcomes.values()
        if row.target
    ]
    return table(head, lines, "---:", *["---"] * 5) if lines else ""


def baselines(outcomes: Mapping[str, tuple[Row, Outcome]]) -> str:
    """Returns the servers that are only compared with; nothing when none was asked for."""
    lines = [
        (row.what, outcome.reached, outcome.ratio, outcome.note)
        for row, outcome in outcomes.values()
        if not row.target
    ]
    return table(("beside it", "reached", "ratio", ""), lines, *["---"] * 4) if lines else ""


def loads(measurements: Sequence[Measurement]) -> str:
    """Returns every load that was measured, with what it cost; nothing when none was."""
    if not measurements:
        return ""
    head = (
        "load", "offered updates/s", "frames/s", "bytes a frame", "updates/s", "p50 ms", "p99 ms", "web CPU",
        "feed CPU", "client CPU", "updates per web CPU s", "web MB",
    )  # fmt: skip
    return table(head, map(_cells, measurements), "---", *["---:"] * (len(head) - 1))


def _cells(row: Measurement) -> tuple[str, ...]:
    reading = row.reading
    return (
        row.name,
        f"{row.offered:,.0f}" if row.offered else "what it takes",
        f"{reading.frames_per_second:,.0f}",
        f"{reading.bytes / reading.frames:,.0f}",
        f"{reading.updates_per_second:,.0f}",
        f"{reading.age.p50_ms:,.1f}",
        f"{reading.age.p99_ms:,.1f}",
        f"{row.web_cpu:.0%}",
        f"{row.feed_cpu:.0%}",
        f"{row.client_cpu:.0%}",
        f"{row.updates_per_cpu_second:,.0f}",
        f"{row.most_bytes / 1e6:,.0f}",
    )


def table(head: Sequence[str], lines: Iterable[Sequence[str]], *rules: str) -> str:
    """Returns a Markdown table."""
    rows = (head, rules, *lines)
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def times(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 20 else f"{ratio:.1f} x"


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
