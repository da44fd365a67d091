"""A file's bytes to drafts: the size, the encoding, the delimiter and the preset, in that order, then its rows.

Whatever the bytes are, nothing is raised: what keeps a file from being read is a problem at its line. Only an option
that does not exist raises, OptionError.
"""

from collections.abc import Mapping, Sequence
from decimal import localcontext

from portfolio.arithmetic import EXACT
from portfolio.imports import coinbase, ghostfolio, interactive_brokers, kite, own, portfolio_performance
from portfolio.imports.cells import quoted
from portfolio.imports.drafts import (
    DELIMITER_NAMES,
    DELIMITERS,
    Delimiter,
    Notes,
    OptionError,
    Options,
    Parsed,
)
from portfolio.imports.reading import Preset, Reading
from portfolio.imports.tables import MOST_ROWS, Record, decoded, head, is_too_long, records

# In the order in which they are tried: ours knows so many names that it would take other brokers' files.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        interactive_brokers.PRESET,
        kite.PRESET,
        coinbase.PRESET,
        portfolio_performance.PRESET,
        ghostfolio.PRESET,
        own.PRESET,
    )
}
DEFAULT_OPTIONS = Options()


def parse(data: bytes, preset: str | None = None, options: Options = DEFAULT_OPTIONS) -> Parsed:
    """Reads a file of at most 100,000 rows; without a preset, the one whose header it has.

    Raises:
        OptionError: there is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise OptionError(f"expected one of {', '.join(PRESETS)} for preset, was {preset!r}")
    problems, left_out = Notes(), Notes()
    text, encoding = decoded(data, options, problems)
    reading = Reading([], 0, "", options, problems, left_out, text)
    found = None
    if not problems.all:
        # Python's own 28 digits would round what is added or multiplied.
        with localcontext(EXACT):
            found = _read(reading, preset)
    if len(reading.drafts) > MOST_ROWS:
        reading.drafts.clear()
        problems.add(1, "", f"expected at most {MOST_ROWS:,} rows, was more: import the file in parts")
    return Parsed(
        drafts=reading.drafts,
        problems=sorted(problems.all, key=lambda problem: problem.line),
        more_problems=problems.more,
        left_out=sorted(left_out.all, key=lambda note: note.line),
        more_left_out=left_out.more,
        preset=found.name if found is not None else preset,
        delimiter=reading.delimiter,
        encoding=encoding,
    )


def _read(reading: Reading, preset: str | None) -> Preset | None:
    """Finds the preset, and lets it read; returns it."""
    candidates = [PRESETS[preset]] if preset is not None else list(PRESETS.values())
    text = reading.text.lstrip("\ufeff \t\r\n")
    if not text:
        reading.problems.add(1, "", "expected a header and rows, was an empty file")
        return None
    if text[0] in "{[":
        return _read_json(reading, candidates)
    if is_too_long(reading.text, reading.problems):
        return None
    found = _find(reading, candidates)
    if found is None:
        return None
    delimiter, chosen, start = found
    reading.delimiter = delimiter
    reading.records = list(records(reading.text, delimiter, reading.problems))
    reading.start = start
    chosen.read(reading)
    reading.drafts.sort(key=lambda draft: draft.line)
    return chosen


def _read_json(reading: Reading, candidates: Sequence[Preset]) -> Preset | None:
    for preset in candidates:
        if preset.read_json is not None:
            preset.read_json(reading)
            return preset
    reading.problems.add(1, "", f"expected the CSV file of {candidates[0].title}, was JSON")
    return None


def _find(reading: Reading, candidates: Sequence[Preset]) -> tuple[str, Preset, int] | None:
    """The delimiter with which a preset finds its header; None with a problem if none does, or not the chosen one."""
    heads = {delimiter: head(reading.text, delimiter) for delimiter in DELIMITERS}
    asked = reading.options.delimiter
    # The chosen one is tried first: it wins where two would do.
    for delimiter in sorted(DELIMITERS, key=lambda each: each != asked):
        for preset in candidates:
            start = preset.find(heads[delimiter])
            if start is None:
                continue
            if asked is None or delimiter == asked:
                return delimiter, preset, start
            reading.problems.add(
                heads[delimiter][start].line,
                "",
                f"expected a {DELIMITER_NAMES[asked]} between columns, was a {DELIMITER_NAMES[delimiter]}",
            )
            return None
    _add_unknown(reading, candidates, heads)
    return None


def _add_unknown(
    reading: Reading, candidates: Sequence[Preset], heads: Mapping[Delimiter, list[Record]]
) -> None:
    """Says what the header should be and what it is, split as it splits into most columns."""
    first = max((rows[0] for rows in heads.values() if rows), key=lambda row: len(row.cells), default=None)
    was = "none"
    if first is not None:
        was = ", ".join(quoted(cell.strip()) for cell in first.cells[:12])
    if len(candidates) == 1:
        expected = f"the columns {', '.join(candidates[0].header)} of {candidates[0].title}"
    else:
        expected = f"a header like {', '.join(own.PRESET.header)}, or that of a broker that we know"
    separators = ", ".join(DELIMITER_NAMES[each] for each in DELIMITERS)
    line = first.line if first is not None else 1
    reading.problems.add(line, "", f"expected {expected}, split by {separators}; was {was}")
