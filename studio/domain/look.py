"""A look: a person's own slider values with a preset laid over them, and the steps back and forth between looks.

A preset is an amount on top, never a replacement of what was set by hand: it
can be made stronger and weaker, exchanged for another and taken off, and what
the person set is still there. Nothing here draws; the sum goes to an
ExpressionEdit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

from studio.domain.expression import CONTROL, ExpressionEdit
from studio.errors import UserInputError

STRONGEST = 1.5
"""Of a preset; beyond it nearly every slider stands at its end."""
MOST_STEPS = 40
_NOTHING = 1e-6


def _held(name: str, value: float) -> float:
    control = CONTROL[name]
    return min(max(value, control.minimum), control.maximum)


def _told(values: Mapping[str, float]) -> dict[str, float]:
    """Return values without those at 0, and without digits that only adding and taking away has left."""
    return {n: round(float(v), 6) for n, v in values.items() if abs(v) > _NOTHING}


@dataclass(frozen=True)
class Look:
    """What is drawn, and where it comes from.

    Attributes:
        own: values set by hand, by control name; beyond a slider's end where a preset's share was pulled away.
        preset: name of the preset on top; empty when there is none.
        share: the preset's values at strength 1.
        strength: of the preset, 0..STRONGEST.
        neutralise: start from a neutral face; `by_preset` when the preset asked for it and not the person.
        like: the picture that the person's own values were copied from, as whoever copied them names it.
    """

    own: Mapping[str, float] = field(default_factory=dict)
    preset: str = ""
    share: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    neutralise: bool = False
    by_preset: bool = False
    like: Mapping[str, str | float | None] = field(default_factory=dict)

    def saved(self) -> dict[str, Any]:
        """Return the look as JSON values."""
        return asdict(self)

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any]) -> Look:
        """Return the look that was saved.

        Raises:
            UserInputError: it is none, or names a control that is gone.
        """
        try:
            own, share = ({str(n): float(v) for n, v in saved[part].items()} for part in ("own", "share"))
            like = {str(n): v for n, v in saved.get("like", {}).items()}  # looks of earlier releases have none
            look = cls(
                own, str(saved["preset"]), share, float(saved["strength"]),
                bool(saved["neutralise"]), bool(saved["by_preset"]), like,
            )  # fmt: skip
            known = all(n in CONTROL and isfinite(v) for part in (own, share) for n, v in part.items())
            known = known and all(v is None or isinstance(v, str | int | float) for v in like.values())
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise UserInputError("That is no look of this studio.", "Move the sliders anew.") from exc
        if not known or not 0 <= look.strength <= STRONGEST:
            raise UserInputError("That look cannot be used any more.", "Move the sliders anew.")
        return look

    @property
    def values(self) -> dict[str, float]:
        """Slider positions, each inside its range; those at 0 are left out."""
        names = dict.fromkeys((*self.own, *self.share))
        sums = {n: self.own.get(n, 0.0) + self.strength * self.share.get(n, 0.0) for n in names}
        return _told({n: _held(n, v) for n, v in sums.items()})

    @property
    def edit(self) -> ExpressionEdit:
        """What an engine is asked to draw."""
        return ExpressionEdit(self.values, self.neutralise)

    def moved(self, name: str, value: float | None) -> Look:
        """Return the look with one slider at a value; the preset keeps its share of it."""
        own = (value or 0.0) - self.strength * self.share.get(name, 0.0)
        return replace(self, own=_told({**self.own, name: own}))

    def wearing(self, preset: str, edit: ExpressionEdit, strength: float, *, keep_own: bool = True) -> Look:
        """Return the look with this preset in place of another, over the person's own values or instead of them."""
        by_hand = self.neutralise and not self.by_preset and keep_own
        return Look(
            own=self.own if keep_own else {},
            preset=preset,
            share=_told(edit.values),
            strength=min(max(strength, 0.0), STRONGEST),
            neutralise=by_hand or edit.neutralise,
            by_preset=edit.neutralise and not by_hand,
            like=self.like if keep_own else {},
        )

    def copying(self, edit: ExpressionEdit, like: Mapping[str, str | float | None], parts: Collection[str]) -> Look:
        """Return the look with the values of another picture in place of the person's own and of a preset.

        Args:
            edit: the values.
            like: see `like`.
            parts: controls that are not the picture's to set; they stay as they are.
        """
        kept = {n: v for n, v in self.values.items() if n in parts}
        return Look(own=_told({**kept, **edit.values}), neutralise=edit.neutralise, like=like)

    def bare(self) -> Look:
        """Return the look without its preset."""
        return Look(own=self.own, neutralise=self.neutralise and not self.by_preset, like=self.like)

    def at(self, strength: float) -> Look:
        """Return the look with its preset stronger or weaker."""
        return replace(self, strength=min(max(strength, 0.0), STRONGEST))

    def neutralised(self, on: bool) -> Look:
        """Return the look as the person wants its start: neutral, or the photo's own."""
        return replace(self, neutralise=on, by_preset=False)


@dataclass(frozen=True)
class Steps:
    """The looks so far, the newest last, and those that were taken back; there is always one."""

    past: tuple[Look, ...] = (Look(),)
    ahead: tuple[Look, ...] = ()

    @property
    def now(self) -> Look:
        """The look that is shown."""
        return self.past[-1]

    def to(self, look: Look) -> Steps:
        """Return the steps with one more; what was taken back is gone then. The same look again is no step."""
        return self if look == self.now else Steps((*self.past[-MOST_STEPS:], look))

    def back(self) -> Steps:
        """Return the steps without the last one."""
        return Steps(self.past[:-1], (*self.ahead, self.now)) if len(self.past) > 1 else self

    def forth(self) -> Steps:
        """Return the steps with the last one that was taken back."""
        return Steps((*self.past, self.ahead[-1]), self.ahead[:-1]) if self.ahead else self
