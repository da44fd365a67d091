"""Tells rows that are there already: by the broker's trade id, else by what they say.

Two true fills may say the same to the last digit, so equal rows are counted: each stored row accounts for one of the
file. A row with an id and one without (a Flex query, then a statement; an import, then a row by hand) compare by what
they say; two rows with ids never do.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from portfolio.imports.cells import plain
from portfolio.imports.drafts import Notes, Problem, RowDraft

# Names a draft's asset as stored rows name it; before symbols are mapped, the broker's own.
NameOf = Callable[[RowDraft], str]


def broker_name(draft: RowDraft) -> str:
    return draft.symbol or draft.isin or draft.name


def fingerprint(draft: RowDraft, name_of: NameOf = broker_name) -> str:
    """Returns what a draft is known by: its trade id and kind (a conversion's sides share an id), else its content."""
    if draft.trade_id:
        return f"id:{_digest(draft.trade_id, draft.kind)}"
    return content(draft, name_of)


def content(draft: RowDraft, name_of: NameOf = broker_name) -> str:
    numbers = (draft.quantity, draft.price, draft.amount, draft.fee)
    return _digest(draft.kind, draft.moment, name_of(draft), draft.currency, *map(plain, numbers))


def _digest(*parts: str) -> str:
    # Parts are divided by what no part has, or two different rows could read the same.
    return hashlib.blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(slots=True)
class Known:
    """The fingerprints of stored rows: the content behind each id, and how many rows say the same."""

    ids: dict[str, str] = field(default_factory=dict)
    with_id: Counter[str] = field(default_factory=Counter)
    without_id: Counter[str] = field(default_factory=Counter)


def known_fingerprints(stored: Iterable[RowDraft], name_of: NameOf = broker_name) -> Known:
    known = Known()
    for draft in stored:
        said = content(draft, name_of)
        if draft.trade_id:
            known.ids[fingerprint(draft)] = said
            known.with_id[said] += 1
        else:
            known.without_id[said] += 1
    return known


class Marked(NamedTuple):
    """A draft with its fingerprint and, if it is there already, where."""

    draft: RowDraft
    fingerprint: str
    duplicate: Literal["stored", "file"] | None


def mark_duplicates(
    drafts: Iterable[RowDraft], known: Known, name_of: NameOf = broker_name
) -> tuple[list[Marked], list[Problem]]:
    """Marks the drafts that are stored or stand in the file twice.

    The problems are rows that share their trade id with an earlier row of the file but not their numbers.
    """
    listed = list(drafts)
    marks: list[Literal["stored", "file"] | None] = [None] * len(listed)
    identities = [fingerprint(draft, name_of) for draft in listed]
    contents = [content(draft, name_of) for draft in listed]
    with_id, without_id = known.with_id.copy(), known.without_id.copy()
    first: dict[str, int] = {}
    clashes = Notes()
    # Ids first: what they account for is not there for rows that only say the same.
    for index, draft in enumerate(listed):
        if not draft.trade_id:
            continue
        earlier = first.setdefault(identities[index], index)
        if earlier != index:
            marks[index] = "file"
            if contents[earlier] != contents[index]:
                clashes.add(
                    draft.line,
                    "trade_id",
                    f"expected the numbers of line {listed[earlier].line}, which has the same trade id, was other ones",
                )
        elif (said := known.ids.get(identities[index])) is not None:
            marks[index] = "stored"
            with_id[said] -= 1
    for index, draft in enumerate(listed):
        if marks[index] is None:
            for counts in (without_id,) if draft.trade_id else (without_id, with_id):
                if counts[contents[index]] > 0:
                    counts[contents[index]] -= 1
                    marks[index] = "stored"
                    break
    return [Marked(*each) for each in zip(listed, identities, marks, strict=True)], clashes.all
