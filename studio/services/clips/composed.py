"""A performance with layers made ready for a clip: each layer's own motion found or written for the face that is shown.

What a layer comes to on one face is kept for a while, so that a changed amount,
a preview or one frame for scrubbing wait for nothing that stayed the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.expression import FaceState
from studio.domain.performance import Performance, take_seed
from studio.domain.performance_document import (
    DrivingLayer,
    IdleLayer,
    Layer,
    PerformanceDocument,
    SpeechLayer,
    document_of,
    layers_of,
)
from studio.domain.performance_layers import evaluate
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis
from studio.engines.base import Amounts, Sound
from studio.errors import NotFoundError, UserInputError
from studio.outside import NoSuchContent, json_of, text_of
from studio.services.portraits.prepared import PreparedPortrait
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.engines import Engines
    from studio.services.clips.request import AnimationRequest

KEPT_MOTIONS = 12
_SILENT_HZ = 4000


class MotionShelf:
    """Motions of single layers, the ones used last; safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Performance] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], Performance]) -> Performance:
        """Return a motion, made where it is not here."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT_MOTIONS:
                self._kept.popitem(last=False)
        return made


def read_document(path: Path) -> PerformanceDocument:
    """Return the document of a file.

    Raises:
        NotFoundError: no such file.
        UserInputError: it is none.
    """
    try:
        values = json_of(text_of(path))
    except NoSuchContent as exc:
        raise UserInputError(f"{path.name} is no performance with layers.", "Choose one that was exported.") from exc
    return document_of(values, path.name)


def check_composed(request: AnimationRequest, path: Path, sources: Sources) -> PerformanceDocument:
    """Refuse a performance that cannot be played, before anything long is begun.

    Raises:
        UserInputError: no document, or a part behind its end.
        NotFoundError: a sound or curves of it are gone.
    """
    document = read_document(path)
    if request.start_seconds >= document.duration_seconds:
        raise UserInputError(
            f"The part starts at {request.start_seconds:g} s, the performance ends at "
            f"{document.duration_seconds:.1f} s.",
            "Choose an earlier start.",
        )
    for role, sha256 in document.media.items():
        try:
            sources.find(MediaSource.media(sha256))
        except NotFoundError as exc:
            raise NotFoundError(
                f"What the performance is made from is not here any more: {role}.", "Import or make it again."
            ) from exc
    return document


def composed_motion(
    request: AnimationRequest,
    document: PerformanceDocument,
    prepared: PreparedPortrait,
    base: FaceState,
    engines: Engines,
    sources: Sources,
    shelf: MotionShelf,
    *,
    at_seconds: float | None = None,
) -> Performance:
    """Return what a performance comes to on a portrait.

    Args:
        base: the face that it moves from.
        at_seconds: only the one frame there.
    """
    rate = float(request.frame_rate_hz)
    mouth = replace(prepared.portrait.mouth, own=base.weights)
    on_face = hashlib.sha256(base.weights.tobytes()).hexdigest()
    motions: dict[str, Performance] = {}
    for layer in layers_of(document, ("speech", "driving", "idle")):
        source = {name: getattr(layer, name, None) for name in ("sound", "analysis", "curves")}
        for sha256 in filter(None, source.values()):
            sources.find(MediaSource.media(sha256))  # what is not this owner's is not here
        key = json.dumps([prepared.key, on_face, rate, document.duration_seconds, _matter(layer)])

        def make(layer: Layer = layer) -> Performance:
            if isinstance(layer, DrivingLayer):
                from studio.engines.media.curves import read_curves

                return read_curves(sources.path(MediaSource.media(layer.curves)))
            if isinstance(layer, SpeechLayer):
                sound, analysis = heard(layer, engines, sources)
                amounts, emotions = Amounts(**layer.amounts), tuple(layer.emotions.items())
                seed = take_seed(layer.seed, layer.sound, prepared.sha256)
            else:
                assert isinstance(layer, IdleLayer)
                seconds = document.duration_seconds
                sound = Sound(np.zeros(max(1, round(seconds * _SILENT_HZ)), np.float32), _SILENT_HZ)
                analysis = SpeechAnalysis(seconds, (Phone(SILENCE, 0.0, seconds),), (), "energy")
                amounts, emotions = Amounts(), ()
                seed = take_seed(layer.seed, "idle", prepared.sha256)
            with engines.speech_lock:
                return engines.speech().perform(
                    sound, analysis, mouth, frame_rate_hz=rate, seed=seed, emotions=emotions, amounts=amounts
                )

        motions[layer.id] = shelf.get(key, make)
    start, seconds = request.start_seconds, request.seconds
    if at_seconds is not None:
        start, seconds = at_seconds, 1 / rate
    return evaluate(
        document, motions, rate, start_seconds=start, seconds=seconds, gap_per_weight_mm=mouth.gap_per_weight_mm
    )


def _matter(layer: Layer) -> Mapping[str, object]:
    """Return what of a layer its own motion hangs on."""
    fields = {"kind", "sound", "analysis", "curves", "transcript", "language", "emotions", "amounts", "seed"}
    return {name: value for name, value in layer.model_dump(mode="json").items() if name in fields}


def heard(layer: SpeechLayer, engines: Engines, sources: Sources) -> tuple[Sound, SpeechAnalysis]:
    """Return a layer's sound, and what it says."""
    from studio.engines.media.sound import read_sound
    from studio.engines.media.speech_files import read_analysis

    sound = read_sound(sources.path(MediaSource.media(layer.sound)), sha256=layer.sound)
    decoded = Sound(sound.samples, sound.rate_hz)
    if layer.analysis is not None:
        return decoded, read_analysis(sources.path(MediaSource.media(layer.analysis)))
    with engines.speech_lock:
        return decoded, engines.speech().analyse(decoded, layer.transcript, layer.language)
