"""What a dialogue is asked to be: one value that round-trips through JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.clip_format import USUAL_CLIP_FORMAT
from studio.domain.refusal import refusal
from studio.domain.side_by_side import MOST_PEOPLE
from studio.domain.turns import Turn, read_turns
from studio.errors import UserInputError
from studio.services.clips.driven import LONGEST_SECONDS
from studio.services.clips.request import AnimationRequest, check_opaque, offered_format
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE
from studio.services.sources import MediaSource


class Talker(BaseModel):
    """One person of a dialogue.

    Attributes:
        portrait: their photo; None where one picture shows everybody.
        face_index: which face of it, 0 = largest; None is the only one, or in a picture of everybody whoever stands
            there from left to right.
        name: for subtitles and turns; empty is "Person 1" and so on.
        sound: what they say; None says nothing, or where one sound has everybody's turns.
        transcript: what the sound says; improves the lips, never required.
        photo_id: the stored photo it came from, for consent and the library.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    portrait: MediaSource | None = None
    face_index: Annotated[int, Field(ge=0)] | None = None
    name: Annotated[str, Field(max_length=40)] = ""
    sound: MediaSource | None = None
    transcript: str | None = None
    photo_id: str | None = None


class DialogueRequest(BaseModel):
    """Everything a dialogue is made from; round-trips through JSON.

    Attributes:
        people: from left to right.
        picture: one picture that shows all of them; None puts their own photos side by side.
        sound, turns: one sound, and who speaks when in it.
        pause_seconds: each person's sound begins so long after the one before has ended; None lets all begin together.
        language: of the speech.
        seed: same seed, same conversation.
        shutter_degrees: motion blur, see `AnimationRequest`.
        size: longer side of the frame in pixels, 256..2048; None is 1280, or the picture's own up to 1024.
        seconds: only the beginning.
        format: a key of CLIP_FORMATS without transparency.
        project_id: where the clip is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: Annotated[tuple[Talker, ...], Field(min_length=2, max_length=MOST_PEOPLE)]
    picture: MediaSource | None = None
    sound: MediaSource | None = None
    turns: tuple[Turn, ...] = ()
    pause_seconds: Annotated[float, Field(ge=0.0, le=10.0)] | None = None
    language: str = "en"
    seed: int = 0
    frame_rate_hz: Literal[24, 25, 30, 60] = 25
    shutter_degrees: Literal[0, 90, 180] = 0
    size: Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)] | None = None
    seconds: Annotated[float, Field(gt=0.0, le=LONGEST_SECONDS)] | None = None
    format: Annotated[str, AfterValidator(offered_format)] = USUAL_CLIP_FORMAT
    project_id: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> DialogueRequest:
        own = [one.portrait is not None for one in self.people]
        if self.picture is not None and any(own):
            raise ValueError("give either one picture of everybody or a photo of each, not both")
        if self.picture is None and not all(own):
            raise ValueError("a person has no photo")
        sounds = sum(one.sound is not None for one in self.people)
        if self.sound is not None and sounds:
            raise ValueError("give either one sound with turns or a sound of each, not both")
        if self.sound is None and self.turns:
            raise ValueError("turns go with one sound of everybody")
        if self.sound is not None and not self.turns:
            raise ValueError("one sound of everybody needs turns: who speaks from when to when")
        if self.sound is None and not sounds:
            raise ValueError("nobody has a sound")
        if self.sound is not None and self.pause_seconds is not None:
            raise ValueError("a pause goes with a sound of each, one after the other")
        if any(not 0 <= turn.person < len(self.people) for turn in self.turns):
            raise ValueError("a turn names somebody who is not there")
        if any(not 0 <= turn.start < turn.end < 1e6 for turn in self.turns):
            raise ValueError("a turn ends before it begins")
        faces = [one.face_index for one in self.people if one.face_index is not None]
        if self.picture is not None and faces and len(faces) < len(self.people):
            raise ValueError("say of everybody which face they have, or of nobody")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What everybody is called."""
        return names_of([one.name for one in self.people])

    @property
    def listened(self) -> AnimationRequest:
        """What is asked of the speech; the sound is cut before it is heard."""
        first = next(source for source in (self.sound, *(one.sound for one in self.people)) if source is not None)
        return AnimationRequest(portrait=self.picture or first, sound=first, language=self.language)


def names_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return names in which nobody is missing."""
    return tuple(name.strip() or f"Person {number}" for number, name in enumerate(names, 1))


def checked_dialogue(values: Mapping[str, Any]) -> DialogueRequest:
    """Build a request, from a command line, a window or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        request = DialogueRequest.model_validate(dict(values))
    except ValidationError as exc:
        raise refusal(exc) from exc
    check_opaque(request.format, "A dialogue keeps its background")
    called = [name.casefold() for name in request.names]
    if len(set(called)) < len(called):
        raise UserInputError("Two people have the same name.", "Give each a name of their own.")
    return request


def arranged(
    photos: Sequence[MediaSource],
    sounds: Sequence[MediaSource],
    turns: str | None = None,
    *,
    names: Sequence[str] = (),
    faces: Sequence[int] = (),
    transcripts: Sequence[str | None] = (),
    **settings: Any,
) -> DialogueRequest:
    """Build a request from what a person lays side by side.

    Args:
        photos: from left to right; a single one shows everybody.
        sounds: of each, in the same order; or one, with turns.
        turns: who speaks when, see `domain.turns.read_turns`; None or empty where everybody has a sound.
        names, faces, transcripts: in the same order, as far as they are known; faces from 0 on.
        settings: other fields of DialogueRequest.

    Raises:
        UserInputError: more of something than there are people, sounds that do not fit, turns that cannot be read.
    """
    said = bool((turns or "").strip())
    if not photos:
        raise UserInputError("There is no photo yet.", "Choose two to four, or one picture of everybody.")
    people = len(photos) if len(photos) > 1 else max(2, len(names), len(faces), 0 if said else len(sounds))
    if people > MOST_PEOPLE:
        raise UserInputError(f"{people} people are too many; {MOST_PEOPLE} are the most.", "Make several clips.")
    if not sounds:
        raise UserInputError("There is no sound yet.", "Give a sound of each, or one sound of everybody with turns.")
    if said and len(sounds) != 1:
        raise UserInputError("Turns go with exactly one sound.", "Give one sound of everybody, or leave the turns out.")
    if not said and len(sounds) == 1:
        raise UserInputError(
            "There is one sound, and it is not said who speaks when.", "Write the turns, or give a sound of each."
        )
    own = () if said else sounds
    for given, what in ((own, "sounds"), (faces, "faces"), (names, "names"), (transcripts, "transcripts")):
        if len(given) > people:
            raise UserInputError(f"There are {len(given)} {what}, but {people} people.", "Give one for each.")
    called = [*names, *[""] * people][:people]
    talkers = [
        {
            "portrait": photos[i] if len(photos) > 1 else None,
            "face_index": faces[i] if i < len(faces) else None,
            "name": " ".join(called[i].split()),
            "sound": own[i] if i < len(own) else None,
            "transcript": transcripts[i] if i < len(transcripts) else None,
        }
        for i in range(people)
    ]
    return checked_dialogue(
        {
            "people": talkers,
            "picture": photos[0] if len(photos) == 1 else None,
            "sound": sounds[0] if said else None,
            "turns": read_turns(turns or "", names_of(called)) if said else (),
            **settings,
        }
    )
