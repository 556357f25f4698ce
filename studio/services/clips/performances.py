"""Performances with layers: kept, edited, taken back, and played on any face.

Every edit is a step of its own, which can be taken back in any later session.
A performance is played by the same request as every clip, so that recipe,
rerun, cancel and going on after an interruption are those of clips.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.clip_format import curve_format_of
from studio.domain.expression import CONTROL, amount_of
from studio.domain.performance_document import (
    FORMAT,
    VERSION,
    KeptPerformance,
    KeyframesLayer,
    PerformanceDocument,
    SpeechLayer,
    document_of,
)
from studio.domain.render import title_of_words
from studio.domain.speech import SpeechAnalysis, with_boundary, with_word
from studio.engines.base import Image, Sound
from studio.errors import UnreadableMediaError, UserInputError
from studio.services.clips.animation import Animation, checked_request
from studio.services.clips.composed import heard
from studio.services.clips.of_clip import changed_amounts, keep_analysis, layers_of_clip, speech_layer
from studio.services.clips.request import AnimationRequest
from studio.services.clips.timeline import Timeline, speaking_layer, timeline_of
from studio.services.portraits.prepared import Portraits
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.store import OwnerStore

_LONGEST_NAME = 80
CURVE_HZ = 25
MOMENT_SIDE = 512


class Performances:
    """Looks after the performances of one owner."""

    def __init__(
        self, store: OwnerStore, sources: Sources, portraits: Portraits, animation: Animation, scratch: Path
    ) -> None:
        self._store = store
        self._sources = sources
        self._portraits = portraits
        self._animation = animation
        self._scratch = scratch

    # -- finding ---------------------------------------------------------------------

    def list(self) -> tuple[KeptPerformance, ...]:
        """Return all performances, the one changed last first."""
        return self._store.performances.list()

    def get(self, performance: str) -> KeptPerformance:
        """Return one performance.

        Args:
            performance: its id or its name.

        Raises:
            NotFoundError: there is none.
        """
        return self._store.performances.get(performance)

    # -- making ------------------------------------------------------------------------

    def create(
        self,
        name: str = "",
        *,
        sound: MediaSource | None = None,
        text: str | None = None,
        voice: str = "en-us",
        transcript: str | None = None,
        language: str = "en",
        motion: MediaSource | None = None,
        seconds: float | None = None,
        seed: int = 0,
    ) -> KeptPerformance:
        """Begin a performance from speech, from recorded motion, or from nothing but life.

        Args:
            name: "" takes the first words that are said.
            sound: the speech; with `motion` it is only heard.
            text: words for the offline voice instead of a sound.
            transcript: what the sound says; improves the lips.
            motion: curves (see CURVE_FORMATS).
            seconds: length of one with neither; its only layer is idle.
            seed: same seed, same blinks and head.

        Raises:
            UserInputError: nothing to begin from, or several things that exclude each other.
            UnreadableMediaError, NotFoundError: the sound or the curves cannot be read.
        """
        said = (text or "").strip()
        if (said and (sound or motion)) or not (said or sound or motion or seconds):
            raise UserInputError(
                "A performance begins from a sound, from a text, from recorded motion, or from so many seconds.",
                "Give one of them; recorded motion may have a sound that is heard with it.",
            )
        with self._store.media.keeping():
            if motion is not None:
                document = self._of_curves(motion, sound)
            elif sound is not None or said:
                document = self._of_speech(sound, said, voice, transcript, language, seed)
            else:
                document = _document(seconds or 0.0, [{"kind": "idle", "id": "idle", "seed": seed}])
            usual = title_of_words(said or transcript or "") or ("Recorded motion" if motion else "Performance")
            return self._store.performances.add(_named(name) or usual, document, "Made", None)

    def of_request(self, request: AnimationRequest, name: str = "") -> KeptPerformance:
        """Begin a performance from what a clip was asked to be, without making the clip.

        Raises:
            UserInputError: a face in a video moves it, which is followed only when the clip is made.
            UnreadableMediaError, NotFoundError: the sound or the curves cannot be read.
        """
        if request.driving is not None:
            raise UserInputError(
                "A face in a video becomes layers when its clip is made.", "Make the clip, then keep it as layers."
            )
        if request.performance is not None:
            raise UserInputError("This is a performance already.", "Copy it instead.")
        with self._store.media.keeping():
            if request.motion is not None:
                document = self._of_curves(request.motion, request.sound)
            else:
                text = (request.text or "").strip()
                document = self._of_speech(
                    request.sound, text, request.voice, request.transcript, request.language, request.seed
                )
                own = {"emotions": request.emotions, "amounts": changed_amounts(asdict(request.amounts))}
                document = document.with_layer("speech", own)
            if request.expression:
                under = {"kind": "expression", "values": request.expression}
                document = document.with_added(under, lowest=True)
            document = document.model_copy(update={"neutralise": request.neutralise})
            usual = title_of_words(request.transcript or request.text or "") or "Performance"
            return self._store.performances.add(_named(name) or usual, document, "Made", None)

    def of_render(self, render_id: str, name: str = "", *, keep_twice: bool = True) -> KeptPerformance:
        """Make a performance of a clip in the library: its speech and sliders, or its motion as it was recorded.

        Args:
            keep_twice: False answers with one that says the same, where there is one.

        Raises:
            NotFoundError: no such render, or what it was made from is gone.
            UserInputError: a picture, or a clip of an earlier release.
        """
        render = self._store.renders.get(render_id)
        with self._store.media.keeping():
            document = layers_of_clip(self._store, self._portraits.engines, render, self._scratch)
            same = None if keep_twice else next((one for one in self.list() if one.document == document), None)
            if same is not None:
                return same
            return self._store.performances.add(
                _named(name) or render.title or "Performance", document, "Made", render.identity_id
            )

    def copy(self, performance: str, name: str = "") -> KeptPerformance:
        """Make another performance like this one, without its history."""
        kept = self.get(performance)
        return self._store.performances.add(_named(name) or kept.name, kept.document, "Copied", kept.identity_id)

    def rename(self, performance: str, name: str) -> KeptPerformance:
        """Give a performance another name.

        Raises:
            UserInputError: no name.
        """
        if not _named(name):
            raise UserInputError("A performance needs a name.", "Write a few words.")
        return self._store.performances.rename(performance, _named(name))

    def delete(self, performance: str) -> KeptPerformance:
        """Delete a performance with its history and return what it was; clips that were made of it stay."""
        kept = self.get(performance)
        self._store.performances.delete(kept.id)
        return kept

    # -- editing -------------------------------------------------------------------------

    def set_layer(self, performance: str, layer: str, changes: Mapping[str, Any]) -> KeptPerformance:
        """Change fields of one layer: amount, regions, blend, on, times, values, ...

        Raises:
            UserInputError: no such layer or field, or a value that cannot be used.
        """
        kept = self.get(performance)
        said = ", ".join(f"{name.removesuffix('_seconds').replace('_', ' ')}" for name in changes)
        return self._changed(kept, kept.document.with_layer(layer, changes), f"{layer}: {said}")

    def add_layer(self, performance: str, fields: Mapping[str, Any]) -> KeptPerformance:
        """Lay one more layer on top: `{"kind": "expression", "values": {"smile": 0.4}}`."""
        kept = self.get(performance)
        made = kept.document.with_added(fields)
        return self._changed(kept, made, f"{made.layers[-1].id}: added")

    def remove_layer(self, performance: str, layer: str) -> KeptPerformance:
        """Take a layer away."""
        kept = self.get(performance)
        return self._changed(kept, kept.document.without(layer), f"{layer}: removed")

    def set_key(
        self,
        performance: str,
        control: str,
        seconds: float,
        value: float,
        *,
        layer: str | None = None,
        ease: str = "smooth",
    ) -> KeptPerformance:
        """Set a control at a moment; one that is there is replaced.

        Args:
            layer: of keyframes; None takes the topmost one, or adds the first.
        """
        kept = self.get(performance)
        document = kept.document
        if layer is None:
            there = [one.id for one in document.layers if isinstance(one, KeyframesLayer)]
            if not there:
                document = document.with_added({"kind": "keyframes"})
            layer = there[-1] if there else document.layers[-1].id
        key = {"control": control, "seconds": seconds, "value": value, "ease": ease}
        label = CONTROL[control].label if control in CONTROL else control
        return self._changed(kept, document.with_key(layer, key), f"{label} at {seconds:g} s")

    def remove_key(
        self, performance: str, control: str, seconds: float, *, layer: str | None = None
    ) -> KeptPerformance:
        """Take a key away.

        Raises:
            UserInputError: there is no such key.
        """
        kept = self.get(performance)
        there = [one.id for one in kept.document.layers if isinstance(one, KeyframesLayer)]
        if layer is None and not there:
            raise UserInputError("The performance has no keyframes.", "Set a key first.")
        changed = kept.document.without_key(layer or there[-1], control, seconds)
        return self._changed(kept, changed, f"{CONTROL[control].label} at {seconds:g} s removed")

    def set_emotion(self, performance: str, emotion: str, seconds: float, strength: float) -> KeptPerformance:
        """Say how strong an emotion is at a moment; between moments it changes smoothly."""
        kept = self.get(performance)
        changed = kept.document.with_emotion(emotion, seconds, strength)
        return self._changed(kept, changed, f"{emotion} at {seconds:g} s")

    def remove_emotion(self, performance: str, emotion: str, seconds: float) -> KeptPerformance:
        """Take the mark of an emotion away.

        Raises:
            UserInputError: there is no such mark.
        """
        kept = self.get(performance)
        changed = kept.document.without_emotion(emotion, seconds)
        return self._changed(kept, changed, f"{emotion} at {seconds:g} s removed")

    def timeline(self, performance: str) -> Timeline:
        """Return what lies along a performance: loudness, words and sounds of its first speech, keys and emotions.

        Raises:
            NotFoundError: no such performance, or its sound is gone.
        """
        document = self.get(performance).document
        layer = speaking_layer(document)
        return timeline_of(document, layer, None if layer is None else self._heard(layer))

    def move_boundary(
        self, performance: str, index: int, seconds: float, *, layer: str | None = None
    ) -> KeptPerformance:
        """Let one sound of a speech begin at another time; the one before it ends there.

        Args:
            index: of the sound, as `timeline` has it.
            seconds: of the performance; held between its neighbors.
            layer: that speaks; None takes the first.

        Raises:
            UserInputError: no speech, or no such border.
        """
        kept = self.get(performance)
        one = speaking_layer(kept.document, layer)
        if one is None:
            raise UserInputError("Nothing is said in this performance.", "Begin one from a sound or a text.")
        analysis = with_boundary(self._heard(one)[1], index, seconds - one.at_seconds)
        with self._store.media.keeping():
            said = keep_analysis(self._store, analysis, self._scratch)
            at = analysis.phones[index].start + one.at_seconds
            changed = kept.document.with_layer(one.id, {"analysis": said})
            return self._changed(kept, changed, f"{analysis.phones[index].label} from {at:.2f} s")

    def mend_word(self, performance: str, index: int, text: str, *, layer: str | None = None) -> KeptPerformance:
        """Let another word, or several, be said in the place of one; its sounds are found anew, all others stay.

        Args:
            index: of the word, as `timeline` has it.
            text: what is really said; "" is silence.
            layer: that speaks; None takes the first.

        Raises:
            UserInputError: no speech, no such word, no words that can be read, or more than fit in.
        """
        kept = self.get(performance)
        one = speaking_layer(kept.document, layer)
        if one is None:
            raise UserInputError("Nothing is said in this performance.", "Begin one from a sound or a text.")
        sound, analysis = self._heard(one)
        if not 0 <= index < len(analysis.words):
            with_word(analysis, index, analysis)  # says so
        word = analysis.words[index]
        first, last = (round(seconds * sound.rate_hz) for seconds in (word.start, word.end))
        engines = self._portraits.engines
        with engines.speech_lock:
            piece = Sound(sound.samples[first:last], sound.rate_hz)
            said = engines.speech().respell(piece, " ".join(text.split()), one.language)
        mended = with_word(analysis, index, said)
        with self._store.media.keeping():
            changes: dict[str, Any] = {"analysis": keep_analysis(self._store, mended, self._scratch)}
            changed = kept.document.with_layer(one.id, changes)
            return self._changed(kept, changed, f"“{word.text}” is “{' '.join(w.text for w in said.words)}”")

    def _heard(self, layer: SpeechLayer) -> tuple[Sound, SpeechAnalysis]:
        return heard(layer, self._portraits.engines, self._sources)

    def undo(self, performance: str) -> KeptPerformance:
        """Take the last change back.

        Raises:
            UserInputError: there is nothing to take back.
        """
        return self._store.performances.step(performance, -1)

    def redo(self, performance: str) -> KeptPerformance:
        """Bring back what was taken back last.

        Raises:
            UserInputError: there is nothing to bring back.
        """
        return self._store.performances.step(performance, 1)

    def _changed(self, kept: KeptPerformance, document: PerformanceDocument, title: str) -> KeptPerformance:
        return self._store.performances.change(kept.id, document, title)

    # -- playing ---------------------------------------------------------------------------

    def request(self, performance: str, portrait: MediaSource, /, **fields: Any) -> AnimationRequest:
        """Return the request that plays a performance on a portrait, for `Animation`.

        Args:
            fields: others of AnimationRequest: size, format, frame_rate_hz, ...
        """
        kept = self.get(performance)
        spoken = next((one for one in kept.document.layers if isinstance(one, SpeechLayer)), None)
        document = json_bytes(kept.document)
        source = MediaSource.media(hashlib.sha256(document).hexdigest())
        words = None if spoken is None else spoken.transcript
        asked = {"portrait": portrait, "performance": source, "transcript": words or kept.name, **fields}
        request = checked_request(asked)
        self._store.media.put(document, ".json")  # only what can be played is laid down
        return request

    def frame(
        self,
        performance: str,
        portrait: MediaSource,
        seconds: float,
        *,
        face_index: int | None = None,
        size: int | None = 512,
    ) -> Image:
        """Draw the frame of one moment on a portrait, at once.  # (H, W, 3)"""
        return self._animation.frame(self.request(performance, portrait, face_index=face_index, size=size), seconds)

    def moment(
        self,
        performance: str,
        portrait: MediaSource,
        seconds: float,
        *,
        face_index: int | None = None,
        size: int | None = MOMENT_SIDE,
    ) -> bytes:
        """Return the frame of one moment as a JPEG picture, as fast as it can be had; see `frame`."""
        from studio.engines.media.pictures import thumbnail_jpeg

        image = self.frame(performance, portrait, seconds, face_index=face_index, size=size)
        return thumbnail_jpeg(image, max(image.shape[:2]), 85)

    def curves(
        self,
        performance: str,
        portrait: MediaSource,
        controls: Sequence[str],
        *,
        face_index: int | None = None,
        start_seconds: float = 0.0,
        seconds: float | None = None,
        size: int | None = 512,
    ) -> dict[str, NDArray[np.float64]]:
        """Return how far a performance moves a portrait along some controls, CURVE_HZ times per second.

        Args:
            controls: names of sliders.
            start_seconds, seconds: the part.

        Raises:
            UserInputError: no such control; and as of `request`.
        """
        unknown = [name for name in controls if name not in CONTROL]
        if unknown:
            raise UserInputError(
                f"There is no control {unknown[0][:40]!r}.", "`studio controls` lists them.", window="Choose another."
            )
        asked = self.request(
            performance, portrait, face_index=face_index, size=size, start_seconds=start_seconds, seconds=seconds,
            frame_rate_hz=CURVE_HZ,
        )  # fmt: skip
        motion = self._animation.motion(asked)
        return {name: amount_of(CONTROL[name], motion.weights, motion.head_degrees) for name in controls}

    def sound(self, performance: str) -> Path | None:
        """Return the sound that is heard with a performance; None where nothing is.

        Raises:
            NotFoundError: it is gone.
        """
        sha256 = self.get(performance).document.sound
        return None if sha256 is None else self._store.media.get(sha256)

    # -- out and in ---------------------------------------------------------------------------

    def export(self, performance: str, out: Path) -> Path:
        """Write a performance with its sounds and curves into one zip.

        Raises:
            UserInputError: the name does not end in .zip.
            NotFoundError: a sound or curves of it are gone.
            StoreError: it cannot be written.
        """
        from studio.engines.media.atomic import check_place
        from studio.engines.media.performance_zip import SUFFIX, write_performance_zip

        kept = self.get(performance)
        if out.suffix.lower() != ".zip":
            raise UserInputError(f"{out.name} names no performance file.", f"End it in {SUFFIX}.")
        check_place(out)
        files = {sha256: self._store.media.get(sha256) for sha256 in kept.document.media.values()}
        return write_performance_zip(json_bytes(kept.document), files, out)

    def import_file(self, path: Path, name: str = "") -> KeptPerformance:
        """Read a performance that was exported; nothing is kept of one that cannot be used.

        Raises:
            NotFoundError: no such file.
            UserInputError: its document cannot be used.
            UnreadableMediaError: it is none of ours, damaged, or lacks a sound or curves.
        """
        from studio.engines.media.performance_zip import SUFFIX, read_performance_zip

        values, media = read_performance_zip(path)
        document = document_of(values, path.name)
        with self._store.media.keeping():
            for sha256 in sorted(set(document.media.values())):
                if sha256 not in media:
                    raise UnreadableMediaError(f"{path.name} lacks a sound or curves.", "Export it again.")
                if self._store.media.put(*media[sha256]) != sha256:
                    raise UnreadableMediaError(f"{path.name} is damaged.", "Export it again.")
            usual = path.name.removesuffix(SUFFIX).removesuffix(".zip")
            return self._store.performances.add(_named(name) or usual, document, "Imported", None)

    # -- parts -----------------------------------------------------------------------------------

    def _of_curves(self, motion: MediaSource, sound: MediaSource | None) -> PerformanceDocument:
        from studio.engines.media.curves import read_curves
        from studio.engines.media.sound import probe

        path = self._sources.path(motion)
        curve_format_of(path)
        length = read_curves(path).duration_seconds
        heard = None
        if sound is not None:
            probe(self._sources.path(sound))
            heard = self._sources.settled(sound).sha256
        layer = {"kind": "driving", "id": "driving", "curves": self._sources.settled(motion).sha256}
        return _document(length, [layer], heard)

    def _of_speech(
        self, sound: MediaSource | None, text: str, voice: str, transcript: str | None, language: str, seed: int
    ) -> PerformanceDocument:
        from studio.engines.media.sound import read_sound, write_wav

        engines = self._portraits.engines
        self._scratch.mkdir(parents=True, exist_ok=True)
        if sound is None:
            with engines.speech_lock:
                spoken, analysis = engines.synthesiser().speak(text, voice=voice)
            path = write_wav(self._scratch / f"spoken-{time.time_ns()}.wav", spoken)
            try:
                sha256 = self._store.media.put(path)
            finally:
                path.unlink(missing_ok=True)
            transcript, language = text, voice.split("-")[0]
        else:
            decoded = read_sound(self._sources.path(sound))
            with engines.speech_lock:
                analysis = engines.speech().analyse(decoded, transcript, language)
            sha256 = self._sources.settled(sound).sha256 or ""
        said = keep_analysis(self._store, analysis, self._scratch)
        layer = speech_layer(sha256, said, transcript=transcript, language=language, seed=seed)
        return _document(analysis.duration_seconds, [layer], sha256)


def json_bytes(document: PerformanceDocument) -> bytes:
    """Return a document as a file's bytes; the same document gives the same bytes."""
    return document.model_dump_json(indent=1).encode()


def _document(seconds: float, layers: list[dict[str, Any]], sound: str | None = None) -> PerformanceDocument:
    return document_of(
        {"format": FORMAT, "version": VERSION, "duration_seconds": seconds, "layers": layers, "sound": sound}
    )


def _named(name: str) -> str:
    return " ".join(name.split())[:_LONGEST_NAME]
