"""A performance as a document: layers over time that are kept, edited and played on any face.

A document names what moves a face (a speech, recorded curves, an expression, keyframes, idle life), how much of
each, where on the face and from when to when. It is plain JSON with a version. Sounds and curves are named by the
sha256 of their bytes and lie elsewhere. What a document comes to is said in `performance_layers`; here is only what
it may say. Nothing in it belongs to one photo.

Layers lie on each other in their order, the first one lowest. Times are seconds from the document's beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.emotion import EMOTIONS
from studio.domain.expression import CONTROL, ExpressionEdit
from studio.domain.refusal import refusal
from studio.errors import StudioError, UserInputError

FORMAT: Literal["likeness-studio-performance-layers"] = "likeness-studio-performance-layers"
VERSION = 1
LARGEST_AMOUNT = 1.5
LONGEST_SECONDS = 4 * 3600.0
MOST_LAYERS, MOST_KEYS = 64, 20_000
Region = Literal["mouth", "eyes", "brows", "head", "gaze"]
REGIONS: tuple[Region, ...] = get_args(Region)
"""`eyes` are lids and cheeks, `mouth` goes with jaw, tongue and nose, `head` with the breath."""
Kind = Literal["speech", "driving", "expression", "keyframes", "idle"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Blend = Literal["add", "override"]
Ease = Literal["smooth", "linear", "hold"]
_HINT = "Mend the file, or use one that this studio exported."

Seconds = Annotated[float, Field(ge=0.0, le=LONGEST_SECONDS, allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Layer(_Part):
    """What every layer has.

    Attributes:
        id: its name in its document.
        on: whether it counts.
        amount: 0 is nothing, 1 as it was made; closures of the lips are whole from a quarter on.
        regions: where on the face it counts.
        blend: `add` lies on what is below; `override` takes its place, in the layer's regions only. An expression or
            keyframes override nothing but the weights that they name.
        start_seconds, end_seconds: from when to when; None is to the document's end.
        ease_in_seconds, ease_out_seconds: inside that, how long it takes to come and to go.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    title: str = Field(default="", max_length=80)
    on: bool = True
    amount: float = Field(default=1.0, ge=0.0, le=LARGEST_AMOUNT, allow_inf_nan=False)
    regions: tuple[Region, ...] = REGIONS
    blend: Blend = "add"
    start_seconds: Seconds = 0.0
    end_seconds: Seconds | None = None
    ease_in_seconds: Seconds = 0.0
    ease_out_seconds: Seconds = 0.0

    @model_validator(mode="after")
    def _times_in_order(self) -> _Layer:
        if self.end_seconds is not None:
            if self.end_seconds <= self.start_seconds:
                raise ValueError(
                    f"the layer {self.id} ends at {self.end_seconds:g} s, before it begins at {self.start_seconds:g} s"
                )
            if self.ease_in_seconds + self.ease_out_seconds > self.end_seconds - self.start_seconds + 1e-9:
                raise ValueError(f"the layer {self.id} takes longer to come and go than it lasts")
        return self


class SpeechLayer(_Layer):
    """What is said, written anew for each face that says it.

    Attributes:
        sound: of the speech.
        analysis: its words and phones; None is heard when it is played.
        at_seconds: when the sound begins.
        emotions: name -> strength 0..1 under all of it.
        amounts: of each layer of motion, as clips have them; those not named are natural.
        seed: same seed, same blinks and head.
    """

    kind: Literal["speech"] = "speech"
    sound: Sha256
    analysis: Sha256 | None = None
    at_seconds: Seconds = 0.0
    transcript: str | None = None
    language: str = "en"
    emotions: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=dict)
    amounts: dict[str, Annotated[float, Field(ge=0.0, le=2.0)]] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**31)


class DrivingLayer(_Layer):
    """Curves that were recorded: of a phone, of the face in a video, or of a clip.

    Attributes:
        curves: a file of curves.
        at_seconds: when the curves begin.
        neutral: what is taken off them, so that they begin from a face at rest: their frame at that second, "calm"
            the tenth percentile of each weight in the first seconds, None nothing.
    """

    kind: Literal["driving"] = "driving"
    curves: Sha256
    at_seconds: Seconds = 0.0
    neutral: Seconds | Literal["calm"] | None = None


class IdleLayer(_Layer):
    """Life without words: blinks, glances, breath, a little of the head."""

    kind: Literal["idle"] = "idle"
    seed: int = Field(default=0, ge=0, lt=2**31)


class ExpressionLayer(_Layer):
    """One expression over the whole layer: slider values by control name."""

    kind: Literal["expression"] = "expression"
    values: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> ExpressionLayer:
        _check_values(self.values)
        return self


class Key(_Part):
    """What a control is at one moment, and how it goes on to its next key.

    Attributes:
        ease: `smooth` and `linear` go there, `hold` stays and jumps.
    """

    seconds: Seconds
    control: str
    value: float = Field(allow_inf_nan=False)
    ease: Ease = "smooth"

    @model_validator(mode="after")
    def _known(self) -> Key:
        _check_values({self.control: self.value})
        return self


class KeyframesLayer(_Layer):
    """Controls that change over time; before its first key and after its last one each stays as it is there."""

    kind: Literal["keyframes"] = "keyframes"
    keys: tuple[Key, ...] = Field(default=(), max_length=MOST_KEYS)

    @model_validator(mode="after")
    def _in_order(self) -> KeyframesLayer:
        met = sorted((k.control, k.seconds) for k in self.keys)
        for one, other in pairwise(met):
            if one[0] == other[0] and other[1] - one[1] < 1e-6:
                raise ValueError(f"the layer {self.id} has two keys of {one[0]} at {one[1]:g} s")
        ordered = tuple(sorted(self.keys, key=lambda k: (k.seconds, k.control)))
        if ordered != self.keys:
            object.__setattr__(self, "keys", ordered)
        return self


class EmotionMark(_Part):
    """How strong an emotion is at one moment; between marks of one emotion it changes smoothly."""

    seconds: Seconds
    emotion: str
    strength: float = Field(ge=0.0, le=1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _known(self) -> EmotionMark:
        if self.emotion not in EMOTIONS:
            raise ValueError(f"there is no emotion named {self.emotion!r}; there are {', '.join(EMOTIONS)}")
        return self


Layer = SpeechLayer | DrivingLayer | ExpressionLayer | KeyframesLayer | IdleLayer


class PerformanceDocument(_Part):
    """A whole performance.

    Attributes:
        duration_seconds: more than 0.
        neutralise: play it from a neutral face instead of the photo's own.
        sound: what is heard with it, from its beginning; None is silence.
        layers: the lowest first.
        emotions: over time, on top of all layers.
    """

    format: Literal["likeness-studio-performance-layers"] = FORMAT
    version: Literal[1]
    duration_seconds: float = Field(gt=0.0, le=LONGEST_SECONDS, allow_inf_nan=False)
    neutralise: bool = False
    sound: Sha256 | None = None
    layers: tuple[Annotated[Layer, Field(discriminator="kind")], ...] = Field(default=(), max_length=MOST_LAYERS)
    emotions: tuple[EmotionMark, ...] = Field(default=(), max_length=MOST_KEYS)

    @model_validator(mode="after")
    def _each_once(self) -> PerformanceDocument:
        ids = [layer.id for layer in self.layers]
        twice = next((id for id in ids if ids.count(id) > 1), None)
        if twice:
            raise ValueError(f"two layers are called {twice}")
        late = next((x for x in self.layers if x.start_seconds >= self.duration_seconds), None)
        if late:
            raise ValueError(
                f"the layer {late.id} begins at {late.start_seconds:g} s, but the performance ends at "
                f"{self.duration_seconds:g} s"
            )
        met = sorted((m.emotion, m.seconds) for m in self.emotions)
        for one, other in pairwise(met):
            if one[0] == other[0] and other[1] - one[1] < 1e-6:
                raise ValueError(f"{one[0]} has two strengths at {one[1]:g} s")
        return self

    @property
    def media(self) -> dict[str, str]:
        """What it is made from, by role: a layer's id with what the layer takes, and "sound"."""
        out = {} if self.sound is None else {"sound": self.sound}
        for layer in self.layers:
            for name in ("sound", "analysis", "curves"):
                sha256 = getattr(layer, name, None)
                if sha256 is not None:
                    out[f"{layer.id} {name}"] = sha256
        return out

    def layer(self, name: str) -> Layer:
        """Return one layer.

        Raises:
            UserInputError: there is none of that name.
        """
        for layer in self.layers:
            if layer.id == name:
                return layer
        known = ", ".join(one.id for one in self.layers) or "none yet"
        raise UserInputError(f"The performance has no layer {name!r}.", f"Layers: {known}.")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; `document_of` gives an equal one."""
        return self.model_dump(mode="json")

    # -- edits: each returns another document ------------------------------------------

    def with_layer(self, name: str, changes: Mapping[str, Any]) -> PerformanceDocument:
        """Return it with fields of one layer changed.

        Raises:
            UserInputError: no such layer or field, or a value that cannot be used.
        """
        old = self.layer(name)
        fixed = {"id", "kind"} & set(changes)
        if fixed:
            raise UserInputError(f"The {fixed.pop()} of a layer stays what it is.", "Add another layer instead.")
        new = {**old.model_dump(mode="json"), **changes}
        return self._changed(layers=[new if one is old else one.model_dump(mode="json") for one in self.layers])

    def with_added(self, fields: Mapping[str, Any], *, lowest: bool = False) -> PerformanceDocument:
        """Return it with one more layer on top, or below all; without an id it is called after its kind."""
        kind = str(fields.get("kind", ""))
        new = {"id": self.free_id(kind if kind in KINDS else "layer"), **fields}
        layers = [one.model_dump(mode="json") for one in self.layers]
        return self._changed(layers=[new, *layers] if lowest else [*layers, new])

    def without(self, name: str) -> PerformanceDocument:
        """Return it without one layer."""
        gone = self.layer(name)
        return self.model_copy(update={"layers": tuple(one for one in self.layers if one is not gone)})

    def with_key(self, name: str, key: Mapping[str, Any]) -> PerformanceDocument:
        """Return it with a key in a layer of keyframes; one of the same control and moment is replaced."""
        layer = self._keyframes(name)
        seconds, control = key.get("seconds"), key.get("control")
        kept = [k.model_dump(mode="json") for k in layer.keys if not _same(k, control, seconds)]
        return self.with_layer(name, {"keys": [*kept, dict(key)]})

    def without_key(self, name: str, control: str, seconds: float) -> PerformanceDocument:
        """Return it without a key.

        Raises:
            UserInputError: there is no such key.
        """
        layer = self._keyframes(name)
        kept = [k.model_dump(mode="json") for k in layer.keys if not _same(k, control, seconds)]
        if len(kept) == len(layer.keys):
            raise UserInputError(
                f"The layer {name} has no key of {control} at {seconds:g} s.", "Choose one of its keys."
            )
        return self.with_layer(name, {"keys": kept})

    def with_emotion(self, emotion: str, seconds: float, strength: float) -> PerformanceDocument:
        """Return it with an emotion so strong at one moment; a mark there is replaced."""
        kept = [m.model_dump(mode="json") for m in self.emotions
                if m.emotion != emotion or abs(m.seconds - seconds) >= 1e-6]  # fmt: skip
        return self._changed(emotions=[*kept, {"emotion": emotion, "seconds": seconds, "strength": strength}])

    def without_emotion(self, emotion: str, seconds: float) -> PerformanceDocument:
        """Return it without the mark of an emotion.

        Raises:
            UserInputError: there is no such mark.
        """
        kept = tuple(m for m in self.emotions if m.emotion != emotion or abs(m.seconds - seconds) >= 1e-6)
        if len(kept) == len(self.emotions):
            raise UserInputError(f"There is no {emotion} at {seconds:g} s.", "Choose one of its marks.")
        return self.model_copy(update={"emotions": kept})

    def free_id(self, word: str) -> str:
        """Return an id that no layer has: the word, or the word with a number."""
        taken = {layer.id for layer in self.layers}
        names = (word, *(f"{word}-{n}" for n in range(2, MOST_LAYERS + 2)))
        return next(name for name in names if name not in taken)

    def _keyframes(self, name: str) -> KeyframesLayer:
        layer = self.layer(name)
        if not isinstance(layer, KeyframesLayer):
            raise UserInputError(f"The layer {name} is {layer.kind} and has no keys.", "Add a layer of keyframes.")
        return layer

    def _changed(self, **fields: Any) -> PerformanceDocument:
        values = {**self.as_json(), **fields}
        try:
            return PerformanceDocument.model_validate(values)
        except ValidationError as exc:
            raise refusal(exc) from exc


@dataclass(frozen=True)
class KeptPerformance:
    """A performance as the studio keeps it.

    Attributes:
        name: of the owner's performances, no two the same.
        identity_id: whose performance it is, where that is known.
        undoes, redoes: what would be taken back, and what was taken back last; None is nothing.
    """

    id: str
    name: str
    document: PerformanceDocument
    identity_id: str | None
    undoes: str | None
    redoes: str | None
    created: datetime
    changed: datetime


def document_of(values: Any, name: str = "The performance") -> PerformanceDocument:
    """Return the document that JSON values are.

    Args:
        values: what `PerformanceDocument.as_json` gave, or a file held.
        name: of what is read, for the sentence.

    Raises:
        UserInputError: it is none, of another version, or says something impossible.
    """
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserInputError(f"{name} is no performance with layers.", _HINT)
    version = values.get("version")
    if version is None:
        raise UserInputError(f"{name} does not say its version.", _HINT)
    if isinstance(version, int) and version > VERSION:
        raise UserInputError(f"{name} was made by a newer studio (version {version}).", "Update this studio.")
    try:
        return PerformanceDocument.model_validate(values)
    except ValidationError as exc:
        raise refusal(exc, hint=_HINT) from exc


def performance_schema() -> dict[str, Any]:
    """Return the JSON schema of a document, derived from the model."""
    schema = PerformanceDocument.model_json_schema()
    schema.pop("description", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Performance with layers"}


def layers_of(document: PerformanceDocument, kinds: Iterable[Kind]) -> tuple[Layer, ...]:
    """Return the layers of some kinds that count."""
    wanted = set(kinds)
    return tuple(one for one in document.layers if one.kind in wanted and one.on and one.amount > 0)


def _same(key: Key, control: Any, seconds: Any) -> bool:
    return key.control == control and isinstance(seconds, int | float) and abs(key.seconds - seconds) < 1e-6


def _check_values(values: Mapping[str, float]) -> None:
    """Say as a check of pydantic does what is wrong with slider values."""
    try:
        ExpressionEdit(values)
    except StudioError as exc:
        near = f" ({exc.hint})" if exc.hint and not all(name in CONTROL for name in values) else ""
        said = exc.message.rstrip(".")
        raise ValueError(said[0].lower() + said[1:] + near.rstrip(".")) from exc
