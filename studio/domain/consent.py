"""Consent: who agreed to what, until when, and whether it still holds.

A consent counts for a scope at a moment when it names the scope, was granted
at or before the moment, has not run out and has not been taken back. Several
consents add up; one that was taken back never takes others with it. Nothing
here reads a clock: the moment is always an argument.
This module does not decide which action needs which scope; services do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from studio.domain.days import day_of, last_day
from studio.errors import ConsentMissingError, UserInputError

Scope = Literal["edit", "animate", "train", "generate", "publish"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a person may agree to, from the mildest to the widest."""


@dataclass(frozen=True, kw_only=True)
class Consent:
    """One agreement; times are aware UTC.

    Attributes:
        agreed_by: the person who agreed (the one shown, or who may speak for them).
        scopes: what was agreed to, without repeats, in SCOPES' order.
        granted_at: from this moment on, inclusive.
        until: up to this moment, exclusive; None has no end.
        evidence: where the agreement can be found: a letter, a message, a form.
        revoked_at: when it was taken back; from then on it counts for nothing.
        id: the store's name for it; empty before it is stored.

    Raises:
        UserInputError: nobody agreed, no or unknown scopes, times without zone or in the wrong order.
    """

    agreed_by: str
    scopes: tuple[Scope, ...]
    granted_at: datetime
    until: datetime | None = None
    evidence: str = ""
    revoked_at: datetime | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if not self.agreed_by.strip():
            raise UserInputError("The consent does not say who agreed.", "Write the name of the person who agreed.")
        unknown = [s for s in self.scopes if s not in SCOPES]
        if unknown or not self.scopes:
            said = f"{unknown[0]!r} is no scope of consent." if unknown else "The consent covers nothing."
            raise UserInputError(said, f"Choose one or more of {', '.join(SCOPES)}.")
        object.__setattr__(self, "scopes", tuple(s for s in SCOPES if s in self.scopes))
        for moment in (self.granted_at, self.until, self.revoked_at):
            if moment is not None and moment.tzinfo is None:
                raise UserInputError("A time of the consent has no time zone.", "Give times with a zone, such as UTC.")
        if self.until is not None and self.until <= self.granted_at:
            raise UserInputError("The consent ends before it begins.", "Choose an end after the day it was given.")

    def is_valid(self, scope: Scope, at: datetime) -> bool:
        """Say whether this consent allows `scope` at the moment `at`."""
        return (
            scope in self.scopes
            and self.granted_at <= at
            and (self.until is None or at < self.until)
            and (self.revoked_at is None or at < self.revoked_at)
        )


def standing(consents: Sequence[Consent], at: datetime) -> Literal["none", "agreed", "taken back", "ended"]:
    """Say how consent stands at a moment: "agreed" where any scope is allowed."""
    if not consents:
        return "none"
    if any(is_allowed(consents, scope, at) for scope in SCOPES):
        return "agreed"
    return "taken back" if any(c.revoked_at is not None for c in consents) else "ended"


def is_allowed(consents: Iterable[Consent], scope: Scope, at: datetime) -> bool:
    """Say whether any of the consents allows `scope` at the moment `at`."""
    return any(c.is_valid(scope, at) for c in consents)


def require(consents: Iterable[Consent], scope: Scope, at: datetime, person: str) -> None:
    """Do nothing when `scope` is allowed, else say why it is not.

    Raises:
        ConsentMissingError: naming the closest reason: none recorded, not for this, taken back, run out, not yet.
    """
    held = tuple(consents)
    if is_allowed(held, scope, at):
        return
    about = [c for c in held if scope in c.scopes]
    if not held:
        raise _missing(f"No consent of {person} is recorded.", scope)
    if not about:
        had = ", ".join(s for s in SCOPES if any(s in c.scopes for c in held))
        raise _missing(f"{person} agreed to {had}, but not to {scope}.", scope)
    last = max(about, key=lambda c: c.granted_at)
    if last.revoked_at is not None and last.revoked_at <= at:
        why = f"was taken back on {day_of(last.revoked_at)}"
    elif last.until is not None and last.until <= at:
        why = f"ended on {last_day(last.until)}"
    else:
        why = f"begins only on {day_of(last.granted_at)}"
    raise _missing(f"The consent of {person} to {scope} {why}.", scope)


def _missing(message: str, scope: Scope) -> ConsentMissingError:
    asked = f"who agreed to “{scope}”, and until when."
    return ConsentMissingError(
        message, f"Record with `studio identity consent` {asked}", window=f"Record on the Identities tab {asked}"
    )
