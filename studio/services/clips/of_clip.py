"""A finished clip as layers: what its recipe asks for, with the sounds and curves that are still there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.performance_document import FORMAT, VERSION, PerformanceDocument, document_of
from studio.domain.render import Render
from studio.domain.speech import SpeechAnalysis
from studio.engines.base import Amounts
from studio.errors import NotFoundError, UserInputError
from studio.services.clips.composed import read_document

if TYPE_CHECKING:
    from studio.engines import Engines
    from studio.store import OwnerStore

_WHOLE_SECONDS = 0.05
"""A clip that is so much shorter than its sound was cut from it."""


def layers_of_clip(store: OwnerStore, engines: Engines, render: Render, scratch: Path) -> PerformanceDocument:
    """Return the document of a clip.

    Args:
        scratch: for files that are being made.

    Raises:
        UserInputError: no clip, or one that carries no motion.
        NotFoundError: what it was made from is gone.
    """
    request: dict[str, Any] = render.recipe.get("request", {})
    inputs = render.inputs
    if render.kind != "clip" or "curves" not in inputs:
        raise UserInputError(f"{render.title or 'It'} has no motion to keep.", "Choose a clip that was made here.")
    if "performance" in inputs:
        return read_document(store.media.get(inputs["performance"]))
    layers: list[dict[str, Any]] = []
    expression, neutralise = request.get("expression") or {}, bool(request.get("neutralise"))
    sound: str | None = None
    seconds = float(render.duration_seconds or 0.0)
    if "motion" in inputs or "driving" in inputs or request.get("orbit"):
        layers.append({"kind": "driving", "id": "driving", "curves": inputs["curves"]})
        sound = _heard(store, inputs)
        if sound is not None:
            sound = _cut(store, sound, request, scratch)
    else:
        layer, sound, seconds = _spoken(store, engines, render, request, scratch)
        layers.append(layer)
    if expression:
        layers.insert(0, {"kind": "expression", "id": "expression", "values": expression})
    return document_of(
        {"format": FORMAT, "version": VERSION, "duration_seconds": seconds, "neutralise": neutralise, "sound": sound,
         "layers": layers},
        "The clip",
    )  # fmt: skip


def _spoken(
    store: OwnerStore, engines: Engines, render: Render, request: dict[str, Any], scratch: Path
) -> tuple[dict[str, Any], str, float]:
    """Return the layer of a clip that speaks, its sound and how long it is."""
    from studio.engines.media.sound import read_sound, write_wav
    from studio.engines.media.speech_files import read_analysis

    inputs = render.inputs
    if "sound" in inputs:
        sound = _cut(store, inputs["sound"], request, scratch)
        length = read_sound(store.media.get(sound), sha256=sound).duration_seconds
    elif (request.get("text") or "").strip():
        with engines.speech_lock:
            spoken, _ = engines.synthesiser().speak(request["text"], voice=request.get("voice") or "en-us")
        scratch.mkdir(parents=True, exist_ok=True)
        path = write_wav(scratch / f"spoken-{time.time_ns()}.wav", spoken)
        try:
            sound, length = store.media.put(path), spoken.duration_seconds
        finally:
            path.unlink(missing_ok=True)
    else:
        raise NotFoundError("The clip's sound is not here any more.", "Make the performance from a sound or a text.")
    said = inputs.get("speech")
    if said is not None and store.media.has(said):
        analysis = read_analysis(store.media.get(said))
        if abs(analysis.duration_seconds - length) > _WHOLE_SECONDS:
            said = None
    if said is None or not store.media.has(said):
        heard = read_sound(store.media.get(sound), sha256=sound)
        with engines.speech_lock:
            analysis = engines.speech().analyse(heard, request.get("transcript"), request.get("language") or "en")
        said = keep_analysis(store, analysis, scratch)
    layer = speech_layer(
        sound, said,
        transcript=request.get("transcript") or request.get("text"), language=request.get("language") or "en",
        emotions=request.get("emotions") or {}, amounts=changed_amounts(request.get("amounts") or {}),
        seed=int(request.get("seed") or 0),
    )  # fmt: skip
    return layer, sound, length


def _heard(store: OwnerStore, inputs: Any) -> str | None:
    """Return what is heard with a clip that was driven; None where nothing is, or nothing is left of it."""
    from studio.engines.media.sound import probe

    for role in ("sound", "driving"):
        sha256 = inputs.get(role)
        if sha256 is not None and store.media.has(sha256) and probe(store.media.get(sha256)).codec is not None:
            return str(sha256)
    return None


def _cut(store: OwnerStore, sound: str, request: dict[str, Any], scratch: Path) -> str:
    """Return the part of a sound that a clip takes; the sound itself where it takes all of it."""
    from studio.engines.media.sound import read_sound, trim, write_wav

    start, seconds = float(request.get("start_seconds") or 0.0), request.get("seconds")
    if not start and seconds is None:
        return sound
    whole = read_sound(store.media.get(sound), sha256=sound)
    part = trim(whole, start, None if seconds is None else start + float(seconds))
    scratch.mkdir(parents=True, exist_ok=True)
    path = write_wav(scratch / f"part-{time.time_ns()}.wav", part)
    try:
        return store.media.put(path)
    finally:
        path.unlink(missing_ok=True)


def speech_layer(sound: str, analysis: str, **fields: Any) -> dict[str, Any]:
    """Return a layer of speech as JSON values."""
    return {"kind": "speech", "id": "speech", "sound": sound, "analysis": analysis, **fields}


def keep_analysis(store: OwnerStore, analysis: SpeechAnalysis, scratch: Path) -> str:
    """Put words and phones into the media store and return their sha256."""
    from studio.engines.media.speech_files import write_analysis

    scratch.mkdir(parents=True, exist_ok=True)
    path = write_analysis(analysis, scratch / f"said-{time.time_ns()}.json")
    try:
        return store.media.put(path)
    finally:
        path.unlink(missing_ok=True)


def changed_amounts(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return those amounts of a clip that are not natural."""
    natural = asdict(Amounts())
    return {name: value for name, value in amounts.items() if natural.get(name) != value}
