"""When a consent counts, for every moment and every mixture."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.consent import SCOPES, Consent, Scope, is_allowed, require
from studio.domain.days import day_of, last_day
from studio.errors import ConsentMissingError, UserInputError

START = datetime(2026, 1, 1, tzinfo=UTC)
days = st.integers(-50, 50).map(lambda d: START + timedelta(days=d))
scopes = st.lists(st.sampled_from(SCOPES), min_size=1).map(tuple)


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    begin = draw(days)
    length = draw(st.none() | st.integers(1, 40))
    return Consent(
        agreed_by="Ada",
        scopes=draw(scopes),
        granted_at=begin,
        until=None if length is None else begin + timedelta(days=length),
        revoked_at=draw(st.none() | days),
    )


@given(consents(), st.sampled_from(SCOPES), days)
def test_a_consent_counts_only_inside_its_bounds(consent: Consent, scope: Scope, at: datetime) -> None:
    valid = consent.is_valid(scope, at)
    assert not (valid and scope not in consent.scopes)
    assert not (valid and at < consent.granted_at)
    assert not (valid and consent.until is not None and at >= consent.until)
    assert not (valid and consent.revoked_at is not None and at >= consent.revoked_at)
    if not consent.is_valid(scope, at) and scope in consent.scopes and at >= consent.granted_at:
        assert any(end is not None and at >= end for end in (consent.until, consent.revoked_at))


@given(consents(), st.sampled_from(SCOPES), days, days)
def test_taking_back_only_ever_takes_away(consent: Consent, scope: Scope, at: datetime, back: datetime) -> None:
    revoked = replace(consent, revoked_at=back)
    unrevoked = replace(consent, revoked_at=None)
    assert revoked.is_valid(scope, at) == (unrevoked.is_valid(scope, at) and at < back)


@given(st.lists(consents(), max_size=4), st.sampled_from(SCOPES), days)
def test_require_agrees_with_is_allowed_and_names_the_person(held: list[Consent], scope: Scope, at: datetime) -> None:
    if is_allowed(held, scope, at):
        require(held, scope, at, "Ada")
    else:
        with pytest.raises(ConsentMissingError, match="Ada") as caught:
            require(held, scope, at, "Ada")
        assert caught.value.hint


def test_the_reason_given_is_the_true_one() -> None:
    consent = Consent(agreed_by="Ada", scopes=("edit",), granted_at=START, until=START + timedelta(days=10))
    cases = (
        ((), "edit", START, "No consent"),
        ((consent,), "train", START, "agreed to edit, but not to train"),
        ((consent,), "edit", START - timedelta(days=1), f"begins only on {day_of(START)}"),
        ((consent,), "edit", START + timedelta(days=10), f"ended on {last_day(START + timedelta(days=10))}"),
        ((replace(consent, revoked_at=START + timedelta(days=2)),), "edit", START + timedelta(days=3), "taken back"),
    )  # fmt: skip
    for held, scope, at, words in cases:
        with pytest.raises(ConsentMissingError, match=words):
            require(held, scope, at, "Ada")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"agreed_by": "  "},
        {"scopes": ()},
        {"scopes": ("fly",)},
        {"granted_at": datetime(2026, 1, 1)},
        {"until": START},
    ],
)
def test_a_consent_that_says_nothing_is_refused(wrong: dict[str, object]) -> None:
    good = {"agreed_by": "Ada", "scopes": ("edit",), "granted_at": START}
    with pytest.raises(UserInputError):
        Consent(**(good | wrong))  # type: ignore[arg-type]
