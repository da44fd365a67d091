"""What a cell's text means: numbers with either decimal separator, dates in four orders, guarded text.

Nothing is guessed for one cell: a separator is proven by the whole column or told by an option, a date is ISO unless
a format was chosen. Each function that can fail raises ValueError with "expected …, was …".
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal

from assets.market import bounded
from portfolio.arithmetic import ONE, div, trimmed

LONGEST_NUMBER = 80
LONGEST_QUOTED = 40

_SPACES = " \u00a0\u2007\u2009\u202f"
_APOSTROPHES = "'\u2019"
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# Groups of three, or India's of two above the last three; the same mark between all of them.
_GROUPED = re.compile(
    rf"[1-9][0-9]{{0,2}}(?:(?P<mark>[.,{_SPACES}{_APOSTROPHES}])[0-9]{{3}}|[.,][0-9]{{2}}(?=[.,]))+"
)
_AMBIGUOUS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


def quoted(text: str) -> str:
    """The text as an error names it: not a megabyte of it, and no control characters."""
    short = text if len(text) <= LONGEST_QUOTED else text[: LONGEST_QUOTED - 1] + "…"
    return repr(short)


def decimal_evidence(text: str) -> str:
    """Returns "." or "," if the text is a number with that decimal separator only, "?" if with both, else ""."""
    if "." not in text and "," not in text:
        return ""
    if _AMBIGUOUS.fullmatch(text):
        return "?"
    if _PLAIN.fullmatch(text):
        return "."
    fits = [decimal for decimal in ".," if _ungrouped(text, decimal) is not None]
    return "?" if len(fits) == 2 else "".join(fits)


def find_decimal(texts: Iterable[str]) -> tuple[str | None, dict[str, str]]:
    """Returns the decimal separator that a column proves, None if it proves none or both, and a cell for each proof.

    A column without any separator is read with ".", which changes nothing.
    """
    seen: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        seen.setdefault(decimal_evidence(text), text)
    if "." in seen and "," in seen:
        return None, seen
    for mark in ".", ",":
        if mark in seen:
            return mark, seen
    return (None if "?" in seen else "."), seen


def number(text: str, decimal: str = ".") -> Decimal:
    """Returns the exact value; raises ValueError unless it is a finite number of a sane size."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(
            f"expected a number of at most {LONGEST_NUMBER} characters, was one of {len(text):,}"
        )
    digits = text if decimal == "." and _PLAIN.fullmatch(text) else _ungrouped(text, decimal)
    if digits is None:
        like = "1234.56" if decimal == "." else "1234,56"
        raise ValueError(f"expected a number like {like}, was {quoted(text)}{_hint(text, decimal)}")
    return bounded(Decimal(digits))


def _ungrouped(text: str, decimal: str) -> str | None:
    """The number in plain notation, or None."""
    sign, digits = "", text.replace("\u2212", "-").strip()
    if digits[:1] in ("-", "+"):
        sign, digits = digits[0], digits[1:]
    whole, point, rest = digits.partition(decimal)
    if not whole.isdigit() and whole:
        grouped = _GROUPED.fullmatch(whole)
        if grouped is None or len({mark for mark in whole if not mark.isdigit()}) != 1:
            return None
        whole = "".join(mark for mark in whole if mark.isdigit())
    joined = f"{sign}{whole}.{rest}" if point else f"{sign}{whole}"
    return joined if _PLAIN.fullmatch(joined) else None


def _hint(text: str, decimal: str) -> str:
    other = "," if decimal == "." else "."
    if other in text and _ungrouped(text, other) is not None:
        return f"; choose the decimal separator {other!r} if that is what it has"
    return ""


_TIME = (
    r"(?:[T ;,]+(?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_ISO = re.compile(
    rf"(?P<year>[0-9]{{4}})(?P<mark>-?)(?P<month>[0-9]{{2}})(?P=mark)(?P<day>[0-9]{{2}}){_TIME}"
)
_ORDERS = {
    "ymd": re.compile(
        rf"(?P<year>[0-9]{{4}})(?P<mark>[./-]?)(?P<month>[0-9]{{1,2}})(?P=mark)(?P<day>[0-9]{{1,2}}){_TIME}"
    ),
    "dmy": re.compile(
        rf"(?P<day>[0-9]{{1,2}})(?P<mark>[./-])(?P<month>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{4}}){_TIME}"
    ),
    "mdy": re.compile(
        rf"(?P<month>[0-9]{{1,2}})(?P<mark>[./-])(?P<day>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{4}}){_TIME}"
    ),
}
_LIKE = {"iso": "2026-11-20", "ymd": "2026/11/20", "dmy": "20.11.2026", "mdy": "11/20/2026"}
FIRST_YEAR, LAST_YEAR = 1900, 2199


def moment(text: str, zone: tzinfo = UTC, order: str = "iso") -> datetime | date:
    """Returns a date, or a time in UTC; one without a zone of its own is `zone`'s.

    ISO is read in every order, and year first where an order was chosen: that can mean one day only.
    """
    match = _ISO.fullmatch(text)
    if match is None and order != "iso":
        match = _ORDERS[order].fullmatch(text) or _ORDERS["ymd"].fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected a date like {_LIKE[order]}, was {quoted(text)}{_order_hint(text, zone, order)}"
        )
    year, month, day = int(match["year"]), int(match["month"]), int(match["day"])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR} to {LAST_YEAR}, was {year}")
    try:
        if match["hour"] is None:
            return date(year, month, day)
        micro = int((match["fraction"] or "")[:6].ljust(6, "0"))
        own = _zone(match["zone"]) if match["zone"] else zone
        local = datetime(
            year, month, day, int(match["hour"]), int(match["minute"]), int(match["second"] or 0), micro, own
        )
    except ValueError as error:
        raise ValueError(f"expected a date that there is, was {quoted(text)} ({error})") from error
    return local.astimezone(UTC)


def _zone(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _order_hint(text: str, zone: tzinfo, order: str) -> str:
    """Which date formats would read the text."""
    fits = []
    for other in _ORDERS:
        if other != order and _ORDERS[other].fullmatch(text):
            try:
                moment(text, zone, other)
            except ValueError:
                continue
            fits.append(other)
    return f"; choose the date format {' or '.join(fits)}" if fits else ""


# A spreadsheet takes text that begins with one of these for a formula (OWASP's list, with the full-width forms).
DANGEROUS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_GUARDED = DANGEROUS | {"'"}


def guarded(text: str) -> str:
    """Text that no spreadsheet runs; `unguarded` gives it back, whatever it was."""
    if text[:1] in DANGEROUS or (text[:1] == "'" and text[1:2] in _GUARDED):
        return f"'{text}"
    return text


def unguarded(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:2] in _GUARDED else text


def plain(value: Decimal) -> str:
    """A number's one canonical text: no exponent, no zeros at the end, nothing rounded."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def per_unit(money: Decimal, quantity: Decimal) -> Decimal:
    """What one unit costs, to 18 places; for brokers that state the money and not the price."""
    return trimmed(div(money, quantity))


def rounded(value: Decimal) -> Decimal:
    """The value to the 18 places that are stored, for prices that a broker calculates to more."""
    return trimmed(div(value, ONE))
