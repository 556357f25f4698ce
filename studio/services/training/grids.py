"""The grid that helps to choose: checkpoints by strengths, same prompts and seeds, likeness and votes.

Numbers propose, people decide: a grid is drawn once, each picture carries its
distance, and votes are added up per checkpoint and strength. Which checkpoints
are worth a look is the caller's matter.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from studio.domain.adapter import STRENGTH_RANGE, AdapterFile
from studio.domain.base_model import BaseLocation
from studio.domain.training import Calibration, GridCell, TrainingRun
from studio.engines.base import Image
from studio.engines.base_diffusion import ImageGenerator, PictureOrder
from studio.errors import EngineUnavailableError, JobCancelled, LimitExceededError, UserInputError
from studio.services.people.likeness import Likeness, Reference
from studio.services.progress import OnProgress, Progress

if TYPE_CHECKING:
    from studio.services.training.recording import Place
    from studio.store import OwnerStore

MOST_CELLS = 200


class GridParams(BaseModel):
    """Parameters of a grid job.

    Attributes:
        strengths: of the adapter, within STRENGTH_RANGE; 0 shows the base itself.
        prompts: {trigger} and {class} are filled in from the run's plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    checkpoint_ids: Annotated[tuple[str, ...], Field(min_length=1)]
    strengths: Annotated[tuple[float, ...], Field(min_length=1)]
    prompts: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]

    @classmethod
    def checked(
        cls,
        run_id: str,
        checkpoint_ids: Sequence[str],
        strengths: Sequence[float],
        prompts: Sequence[str],
        seeds: Sequence[int],
    ) -> GridParams:
        """Build parameters without repeats.

        Raises:
            UserInputError: a strength or seed that cannot be, or an empty prompt.
            LimitExceededError: more than MOST_CELLS pictures.
        """
        low, high = STRENGTH_RANGE
        wrong = [s for s in strengths if not low <= s <= high]
        if wrong or not strengths:
            said = f"A strength of {wrong[0]:g} is not possible." if wrong else "The grid has no strengths."
            raise UserInputError(said, f"Choose numbers from {low:g} to {high:g}.")
        if any(not p.strip() for p in prompts):
            raise UserInputError("A prompt of the grid is empty.", "Write what is to be drawn.")
        if any(seed < 0 for seed in seeds):
            raise UserInputError("A seed of the grid is negative.", "Choose 0 or more.")
        params = cls(
            run_id=run_id,
            checkpoint_ids=tuple(dict.fromkeys(checkpoint_ids)),
            strengths=tuple(dict.fromkeys(strengths)),
            prompts=tuple(dict.fromkeys(prompts)),
            seeds=tuple(dict.fromkeys(seeds)),
        )
        if params.count > MOST_CELLS:
            raise LimitExceededError(
                f"The grid would have {params.count} pictures.",
                f"Choose fewer checkpoints, strengths, prompts or seeds; {MOST_CELLS} pictures are the most.",
            )
        return params

    @property
    def count(self) -> int:
        """How many pictures the grid has."""
        return len(self.checkpoint_ids) * len(self.strengths) * len(self.prompts) * len(self.seeds)


@dataclass(frozen=True)
class GridSummary:
    """All pictures of one checkpoint at one strength.

    Attributes:
        likeness: mean over pictures with a face; None without any, or without a scale.
        distance: the same as a plain distance.
        faces: pictures in which a face was found.
        votes: sum of the votes.
    """

    checkpoint_id: str
    step: int
    strength: float
    pictures: int
    faces: int
    distance: float | None
    likeness: float | None
    votes: int


def summarize(cells: Sequence[GridCell], calibration: Calibration | None) -> tuple[GridSummary, ...]:
    """Add a grid up per checkpoint and strength; most votes first, then most alike, then the earlier step."""
    groups: dict[tuple[str, float], list[GridCell]] = {}
    for cell in cells:
        groups.setdefault((cell.checkpoint_id, cell.strength), []).append(cell)
    rows = []
    for (checkpoint_id, strength), members in groups.items():
        found = [c.distance for c in members if c.distance is not None]
        distance = mean(found) if found else None
        likeness = None if distance is None or calibration is None else calibration.likeness(distance)
        votes = sum(c.vote for c in members)
        first = members[0]
        counts = (len(members), len(found))
        rows.append(GridSummary(checkpoint_id, first.step, strength, *counts, distance, likeness, votes))
    return tuple(sorted(rows, key=lambda r: (-r.votes, 1e9 if r.distance is None else r.distance, r.step)))


def draw_grid(
    store: OwnerStore,
    run: TrainingRun,
    params: GridParams,
    location: BaseLocation,
    generator: ImageGenerator,
    likeness: Likeness,
    reference: Reference | None,
    place: Place,
    tell: OnProgress | None = None,
) -> Mapping[str, Any]:
    """Draw all cells that are not there yet, and measure them.

    Raises:
        JobCancelled: the person stopped it; what is drawn stays.
    """
    from studio.engines.media.pictures import png_bytes

    plan = run.plan
    there = {(c.checkpoint_id, c.strength, c.prompt, c.seed) for c in store.runs.cells(run.id)}
    wanted = [
        (checkpoint, strength, plan.prompt(prompt), seed)
        for checkpoint in params.checkpoint_ids
        for strength in params.strengths
        for prompt in params.prompts
        for seed in params.seeds
    ]
    for index, key in enumerate(wanted):
        place.check_cancelled()
        if key in there:
            continue
        checkpoint_id, strength, prompt, seed = key
        checkpoint = store.runs.checkpoint(checkpoint_id)
        weights = store.media.get(checkpoint.media_sha256)
        order = PictureOrder(
            prompt=prompt, seed=seed, steps=plan.sample_steps, guidance=plan.guidance, width=plan.resolution,
            height=plan.resolution,
        )  # fmt: skip
        worn = [AdapterFile(path=str(weights), name=f"step_{checkpoint.step}", strength=strength)]
        image = next(iter(generator.generate(location, order, worn, should_stop=lambda: _asked(place))), None)
        place.check_cancelled()
        if image is None:
            raise JobCancelled("stopped while drawing")
        distance, reference = _measured(likeness, reference, image, place)
        picture = store.media.put(png_bytes(image), ".png")
        store.runs.put_cell(run.id, checkpoint_id, strength, prompt, seed, picture, distance)
        message = f"Step {checkpoint.step} at strength {strength:g}: picture {index + 1} of {len(wanted)}"
        place.progress((index + 1) / len(wanted), message, png_bytes(image))
        if tell is not None:
            tell(Progress((index + 1) / len(wanted), message, None, image))
    return {"run_id": run.id, "pictures": len(wanted)}


def grid_sheet(cells: Sequence[tuple[GridCell, Image]], side: int = 128) -> Image:
    """Lay a grid out: a row per checkpoint and prompt, a column per strength and seed, what they are beside.

    Returns:
        RGB, black text on white.  # (H, W, 3)
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    rows = sorted({(c.step, c.prompt) for c, _ in cells})
    columns = sorted({(c.strength, c.seed) for c, _ in cells})
    left, top = 110, 24
    sheet = Pillow.new("RGB", (left + side * len(columns), top + side * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for x, (strength, seed) in enumerate(columns):
        pen.text((left + side * x + 4, 6), f"{strength:g}, seed {seed}", fill="black", font=font)
    for y, (step, prompt) in enumerate(rows):
        words = textwrap.wrap(prompt, 17)[:5]
        pen.multiline_text((4, top + side * y + 4), "\n".join([f"step {step}", *words]), fill="black", font=font)
    for cell, image in cells:
        x, y = columns.index((cell.strength, cell.seed)), rows.index((cell.step, cell.prompt))
        tile = Pillow.fromarray(image).resize((side, side), Pillow.Resampling.BICUBIC)
        sheet.paste(tile, (left + side * x, top + side * y))
    return np.array(sheet, np.uint8)


def _asked(place: Place) -> bool:
    """Say whether the person wants it to stop."""
    try:
        place.check_cancelled()
    except JobCancelled:
        return True
    return False


def _measured(
    likeness: Likeness, reference: Reference | None, image: Image, place: Place
) -> tuple[float | None, Reference | None]:
    """Return the picture's distance, and what to compare the next one with: nothing once there is no embedder."""
    if reference is None:
        return None, None
    try:
        return likeness.distance(image, reference.center), reference
    except EngineUnavailableError as exc:
        place.log(f"Likeness is not measured. {exc}")
        return None, None
