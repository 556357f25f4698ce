"""The leak test: strangers drawn without and with an adapter, measured and laid out on one sheet.

Every stranger is drawn with the same seeds at strength 0 and at each tested
strength. Distances are to the person's own photos, made as small as the
pictures; where there are no photos to compare with (an imported adapter), to
what the adapter draws when it is asked for the person.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from studio.domain.adapter import Adapter, AdapterFile
from studio.domain.base_model import BaseLocation, BaseModelCard
from studio.domain.face import FaceEmbedding
from studio.domain.leak import (
    LeakReport,
    Stranger,
    StrangerPicture,
    StrengthResult,
    leak_report,
    strangers,
    strength_result,
)
from studio.engines.base import Image
from studio.engines.base_diffusion import PictureOrder
from studio.errors import UserInputError
from studio.services.people.likeness import Likeness, reference_of
from studio.services.progress import OnProgress, Progress

if TYPE_CHECKING:
    from studio.engines.base_diffusion import ImageGenerator

STRENGTHS = (1.0, 0.7, 0.4)
SEEDS = (11, 12)
CELL_PIXELS = 128
_LABEL_PIXELS = 22
_PERSON_SEEDS = (21, 22, 23)


@dataclass(frozen=True)
class LeakTest:
    """What a leak test hands back: the report, and the pictures it rests on.

    Attributes:
        sheet: a row per prompt; per seed the picture without and with the adapter.  # (H, W, 3)
    """

    report: LeakReport
    sheet: Image


class LeakDrawing:
    """Draws and measures one adapter.

    Args:
        file: the adapter's weights, at any strength.
    """

    def __init__(
        self,
        generator: ImageGenerator,
        likeness: Likeness,
        location: BaseLocation,
        card: BaseModelCard,
        adapter: Adapter,
        file: AdapterFile,
        on_progress: OnProgress | None,
    ) -> None:
        self._generator = generator
        self._likeness = likeness
        self._location = location
        self._card = card
        self._adapter = adapter
        self._file = file
        self._tell = on_progress or (lambda progress: None)
        self._drawn = 0
        self._total = 1
        self._begun = time.monotonic()

    def run(self, strengths: Sequence[float] = STRENGTHS, seeds: Sequence[int] = SEEDS) -> LeakTest:
        """Draw, measure, judge.

        Raises:
            UserInputError: no strength, or one of 0.
        """
        if not strengths or any(s <= 0 for s in strengths):
            raise UserInputError("A leak test needs strengths above 0.", "1 is as trained.")
        ordered = sorted(set(strengths), reverse=True)
        class_word = (self._adapter.trigger.split() or ["person"])[-1]
        people = strangers(class_word if len(self._adapter.trigger.split()) > 1 else "person")
        pairs = [(stranger, seed) for stranger in people for seed in seeds]
        self._total = len(pairs) * (1 + len(ordered)) + len(_PERSON_SEEDS) * len(ordered)
        plain = {pair: self._draw(pair[0].prompt, pair[1], 0.0) for pair in pairs}
        worn = {s: {pair: self._draw(pair[0].prompt, pair[1], s) for pair in pairs} for s in ordered}
        prompt = f"a photo of {self._adapter.trigger}" if self._adapter.trigger else f"a photo of a {class_word}"
        person = {s: [self._draw(prompt, seed, s) for seed in _PERSON_SEEDS] for s in ordered}
        center, own, kind = self._center(person[ordered[0]])
        results = [self._judge(s, plain, worn[s], person[s], center, own) for s in ordered]
        report = leak_report(results, kind, seconds=time.monotonic() - self._begun)
        return LeakTest(report, _sheet(people, seeds, plain, worn[ordered[0]]))

    def _draw(self, prompt: str, seed: int, strength: float) -> Image:
        """Draw one picture and say how far the test is."""
        side = self._location.resolution
        order = PictureOrder(
            prompt=prompt, seed=seed, steps=self._card.steps, guidance=self._card.guidance, width=side, height=side
        )
        worn = [] if strength == 0.0 else [AdapterFile(path=self._file.path, name=self._file.name, strength=strength)]
        (picture,) = self._generator.generate(self._location, order, worn)
        self._drawn += 1
        spent = time.monotonic() - self._begun
        left = spent / self._drawn * (self._total - self._drawn)
        self._tell(Progress(0.97 * self._drawn / self._total, f"Drawing “{prompt}”", left, picture))
        return picture

    def _center(self, person: Sequence[Image]) -> tuple[FaceEmbedding | None, float, Literal["photos", "drawn"]]:
        """Return what strangers are compared with, and the distance that counts as the person."""
        if self._adapter.identity_id is not None:
            reference = self._likeness.reference(self._adapter.identity_id, side=self._location.resolution)
            if reference is not None and reference.calibration is not None:
                return reference.center, reference.calibration.own_mean, "photos"
        drawn = reference_of([e for picture in person if (e := self._likeness.measure(picture)) is not None])
        if drawn is None or drawn.calibration is None:
            return None, 0.0, "drawn"
        return drawn.center, drawn.calibration.own_mean, "drawn"

    def _judge(
        self,
        strength: float,
        plain: Mapping[tuple[Stranger, int], Image],
        worn: Mapping[tuple[Stranger, int], Image],
        person: Sequence[Image],
        center: FaceEmbedding | None,
        own: float,
    ) -> StrengthResult:
        """Measure the pictures of one strength."""

        def measure(image: Image) -> float | None:
            return None if center is None else self._likeness.distance(image, center)

        pictures = [
            StrangerPicture(*pair, measure(before), measure(worn[pair]), drift(before, worn[pair]))
            for pair, before in plain.items()
        ]
        distances = [d for image in person if (d := measure(image)) is not None]
        return strength_result(strength, pictures, distances, own)


def drift(before: Image, after: Image) -> float:
    """Return the mean change between two pictures, 0..1 of the full range."""
    return float(np.abs(before.astype(np.float32) - after.astype(np.float32)).mean()) / 255.0


def _sheet(
    people: Sequence[Stranger],
    seeds: Sequence[int],
    plain: Mapping[tuple[Stranger, int], Image],
    worn: Mapping[tuple[Stranger, int], Image],
) -> Image:
    """Lay the pictures out: per prompt a line of text, then without and with the adapter, seed by seed."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    row = CELL_PIXELS + _LABEL_PIXELS
    page = Pillow.new("RGB", (CELL_PIXELS * 2 * len(seeds), row * len(people)), (20, 20, 24))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for line, stranger in enumerate(people):
        draw.text((6, line * row + 4), f"{stranger.prompt}: without | with, per seed", fill=(235, 235, 240), font=font)
        for column, seed in enumerate(seeds):
            for offset, pictures in enumerate((plain, worn)):
                cell = Pillow.fromarray(pictures[stranger, seed]).resize((CELL_PIXELS, CELL_PIXELS))
                page.paste(cell, ((2 * column + offset) * CELL_PIXELS, line * row + _LABEL_PIXELS))
    return np.array(page, np.uint8)
