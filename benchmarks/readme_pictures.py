"""Makes the pictures of the README and of docs/looks.md with the product itself.

    python -m benchmarks.readme_pictures

The faces in them are scikit-image's public-domain astronaut and faces rendered from our own head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from benchmarks import looks
from studio.domain.expression import ExpressionEdit, resolve
from studio.engines.base import Sound
from studio.engines.media.sound import read_sound
from studio.engines.rig.animator import RigAnimator
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.people import sample_picture

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "pictures"
EXPRESSIONS: tuple[tuple[str, dict[str, float]], ...] = (
    ("photo", {}),
    ("smile", {"smile": 0.6}),
    ("lips closed", {"lipOpen": -1}),
    ("surprise", {"eyebrow": 0.9, "eyesOpen": 0.7, "lipOpen": 0.5}),
    ("wink", {"winkLeft": 1}),
    ("gaze", {"gazeX": 0.8, "gazeY": 0.2}),
    ("yaw 12", {"headYaw": 12}),
    ("pitch -10", {"headPitch": -10}),
)
SHEETS: dict[str, tuple[tuple[int, int], tuple[Mapping[str, float], ...]]] = {
    "head": ((260, 260), ({}, {"headYaw": 12}, {"headYaw": -12}, {"headPitch": 10}, {"headPitch": -10})),
    "mouth": ((260, 195), ({}, {"jawOpen": 0.12}, {"jawOpen": 0.4}, {"mouthFunnel": 1}, {"smile": 0.8})),
    "eyes": ((260, 120), ({}, {"eyesOpen": -0.5}, {"eyesOpen": -1}, {"eyesOpen": 0.8}, {"gazeX": 0.8})),
}
"""What docs/looks.md shows: the size of a tile, and what is asked in it; the first one is the photo."""
RENDERED: tuple[dict[str, str], ...] = (
    {"age": "young", "hair_length": "short", "skin": "light"},
    {"age": "old", "hair_length": "long", "skin": "dark"},
)


def _row(pictures: list[np.ndarray], labels: list[str], side: int) -> np.ndarray:
    cells = []
    for picture, label in zip(pictures, labels, strict=True):
        cell = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        strip = np.full((24, side, 3), 255, np.uint8)
        cv2.putText(strip, label, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (70, 70, 70), 1, cv2.LINE_AA)
        cells.append(np.vstack([cell, strip]))
    return np.hstack(cells)


def main() -> None:
    """Write expressions.jpg and speech.jpg, and one sheet per part of the face for docs/looks.md."""
    OUT.mkdir(parents=True, exist_ok=True)
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    photo = np.ascontiguousarray(skimage.data.astronaut()[:400, 20:420])
    face = analyser.detect(photo)[0]
    portrait = animator.prepare(photo, face)
    head = np.s_[0:260, 75:335]
    pictures = [portrait.render(resolve(ExpressionEdit(v), portrait.own_weights))[head] for _, v in EXPRESSIONS]
    names = [name for name, _ in EXPRESSIONS]
    rows = [_row(pictures[i : i + 4], names[i : i + 4], 260) for i in (0, 4)]
    _save("expressions.jpg", np.vstack(rows))

    sound: Sound = read_sound(ROOT / "assets" / "speech" / "welcome.wav")
    voice = PocketsphinxSpeech()
    analysis = voice.analyse(sound, (ROOT / "assets" / "speech" / "welcome.txt").read_text(encoding="utf-8"))
    performance = voice.perform(sound, analysis, portrait.mouth, seed=3)
    frames, labels = [], []
    for index in list(range(20, len(performance), max(1, (len(performance) - 20) // 16)))[:16]:
        state = performance.state(index, portrait.own_weights)
        frame = portrait.render(state, lip_seal=float(performance.lip_seal[index]))
        frames.append(frame[head])
        labels.append(f"{index / performance.frame_rate_hz:.2f} s")
    _save("speech.jpg", np.vstack([_row(frames[i : i + 8], labels[i : i + 8], 150) for i in (0, 8)]))
    for part, (size, asked) in SHEETS.items():
        rows = [
            np.hstack(looks.tiles(s, animator.prepare(s.image, s.face), asked, part, size)) for s in _faces(analyser)
        ]
        _save(f"looks_{part}.jpg", np.vstack(rows), quality=80)


def _faces(analyser: VisionAnalyser) -> Iterator[looks.Subject]:
    """Yield the astronaut and two rendered faces, cut to the same size."""
    yield next(looks.subjects(None, analyser, looks.SIDE))
    for number, traits in enumerate(RENDERED):
        person = sample_picture(
            np.random.default_rng(3 + number), expression="neutral", direction="straight", glasses="no", beard="no",
            light="front", **traits,
        )  # fmt: skip
        still = replace(person, yaw=0.0, pitch=0.0, roll=0.0, weights=())
        image = np.ascontiguousarray(render(still, looks.SIDE)[0])
        yield looks.Subject(f"rendered {number + 1}", image, analyser.detect(image)[0])


def _save(name: str, picture: np.ndarray, quality: int = 88) -> None:
    cv2.imwrite(str(OUT / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])


if __name__ == "__main__":
    main()
