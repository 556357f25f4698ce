"""A day that somebody names is all of that day where they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from studio.domain.consent import Consent, is_allowed, require
from studio.domain.days import day_of, end_of_day, last_day, minute_of
from studio.errors import ConsentMissingError, UserInputError

pytestmark = pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process cannot be set here")
ZONES = ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin", "Pacific/Kiritimati"]


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize("zone", ZONES, indirect=True)
@pytest.mark.parametrize("day", ["2026-12-01", "2026-03-29", "2026-10-25", "2026-12-31", "2028-02-29"])
def test_a_consent_holds_through_its_last_day_and_no_longer(zone: str, day: str) -> None:
    until = end_of_day(day)
    assert last_day(until) == day
    held = [Consent(agreed_by="Ann", scopes=("edit",), granted_at=datetime(2026, 1, 1, tzinfo=UTC), until=until)]
    evening = datetime.strptime(f"{day} 23:59:59", "%Y-%m-%d %H:%M:%S").astimezone()
    assert is_allowed(held, "edit", evening.astimezone(UTC))
    assert not is_allowed(held, "edit", evening + timedelta(seconds=1))
    with pytest.raises(ConsentMissingError, match=f"ended on {day}"):
        require(held, "edit", evening + timedelta(days=2), "Ann")


@pytest.mark.parametrize("zone", ["Asia/Tokyo"], indirect=True)
def test_moments_are_told_in_the_time_of_the_place(zone: str) -> None:
    moment = datetime(2026, 11, 30, 16, 30, tzinfo=UTC)
    assert (day_of(moment), minute_of(moment)) == ("2026-12-01", "2026-12-01 01:30")


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "2026-02-30", "9999-12-31", "01.12.2026", ""])
def test_what_is_no_date_is_said(text: str) -> None:
    with pytest.raises(UserInputError, match="is not a date"):
        end_of_day(text)
