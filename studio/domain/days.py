"""Days and minutes as the person at this computer counts them, and the moments they stand for.

Moments are aware and kept in UTC. A day that somebody names is a day of their
own calendar, and what holds "until" a day holds through all of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from studio.errors import UserInputError


def end_of_day(text: str) -> datetime:
    """Return the moment at which a day, written as 2030-12-31, is over here.

    Raises:
        UserInputError: it is no date, or one that no calendar here can follow.
    """
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
        return datetime.combine(day + timedelta(days=1), time.min).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as exc:
        hint = "Write it as year-month-day, such as 2030-12-31, or leave it empty."
        raise UserInputError(f"{text.strip()!r} is not a date.", hint) from exc


def last_day(until: datetime) -> str:
    """Return the last day before a moment, as 2030-12-31."""
    return day_of(until - timedelta(microseconds=1))


def day_of(moment: datetime) -> str:
    """Return a moment's day here, as 2030-12-31."""
    return f"{moment.astimezone():%Y-%m-%d}"


def minute_of(moment: datetime) -> str:
    """Return a moment here, as 2030-12-31 23:59."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
