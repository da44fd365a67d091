"""What a calendar says of a moment, kept until it says something else; and when a price must have been confirmed.

Pure. Nothing here is asked for each tick: who holds `Hours` compares with its moments, and asks again at `changes_at`.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from assets.sessions import Calendar, Phase, Session, next_change

# How long after a market's close its source may take to tell what that close was.
CLOSE_GRACE = timedelta(minutes=30)


class Hours(NamedTuple):
    """A market's hours as they are from `asked_at` until `changes_at`.

    Attributes:
        session: the current one.
        before: the one before it.
        next_open: when another one becomes the current one.
        since, until: the last or present stretch of trading without a break; any tick of it counts.
        resumed: whether something was closed just before `since`.
    """

    asked_at: datetime
    changes_at: datetime
    session: Session
    before: Session
    next_open: datetime
    phase: Phase
    since: datetime
    until: datetime
    resumed: bool

    @property
    def is_over(self) -> bool:
        """Whether the session has closed, and not for a break."""
        return self.phase == "closed" and self.changes_at == self.next_open


def hours_at(calendar: Calendar, moment: datetime) -> Hours:
    session = calendar.session_at(moment)
    before, next_open = calendar.before(session), calendar.after(session).open
    phase = calendar.phase(moment)
    starts = [session.open, *(end for _, end in session.breaks)]
    ends = [*(start for start, _ in session.breaks), next_open if phase == "always" else session.close]
    since, until = max(stretch for stretch in zip(starts, ends, strict=True) if stretch[0] <= moment)
    return Hours(
        asked_at=moment,
        changes_at=next_change(calendar, moment),
        session=session,
        before=before,
        next_open=next_open,
        phase=phase,
        since=since,
        until=until,
        resumed=since > session.open or before.close < session.open,
    )


def session_of_day(calendar: Calendar, start: datetime) -> Session:
    """Returns the session that a daily bar beginning at `start` is of: the one of that moment, else the next.

    Stored bars begin at the open. A vendor's, and those stored while the asset had another calendar, begin at some
    midnight: that of UTC, New York's and Mumbai's are all before the open they mean.
    """
    session = calendar.session_at(start)
    return session if start < session.close else calendar.after(session)


def is_regular(calendar: Calendar, moment: datetime) -> bool:
    """Whether a trade of that moment was in open hours; the last one may be of the very moment that ends them."""
    return calendar.phase(moment) != "closed" or calendar.phase(moment - timedelta.resolution) != "closed"


def is_stale(
    hours: Hours, confirmed_at: datetime, now: datetime, timeout: timedelta, delay: timedelta = timedelta(0)
) -> bool:
    """Whether a price that was confirmed last at `confirmed_at` is stale now."""
    since = confirmed_since(hours, now, timeout, delay)
    return since is not None and confirmed_at < since


def confirmed_since(hours: Hours, now: datetime, timeout: timedelta, delay: timedelta) -> datetime | None:
    """Returns the moment since which a source must have confirmed a price that is not stale; None if it need not.

    Args:
        timeout: how long a confirmation holds in open hours; they begin with as much patience.
        delay: how far behind the market the source is, which is never held against it.
    """
    if hours.phase != "closed":
        oldest = now - timeout
        return None if hours.resumed and oldest <= hours.since + delay else oldest
    closed_at = hours.session.close + delay
    return closed_at if hours.is_over and now > closed_at + CLOSE_GRACE else None
