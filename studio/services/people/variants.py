"""Variants: the rig multiplies a person's photos for training, and every one can be looked at and thrown out.

What is drawn follows from a seed and a number, so the same photo gives the same
variants. A photo that the rig cannot fit is said and passed over; training then
learns from the photo itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from studio.domain.curation import CropBox, CuratedPhoto
from studio.domain.expression import ExpressionEdit, resolve
from studio.domain.job import Job
from studio.domain.pose import HeadPose
from studio.domain.traits import Rest, caption_of, direction_of
from studio.domain.variants import MOST_PER_PHOTO, Variant, VariantRecipe, traits_of_variant, variant_recipe
from studio.engines.base import Image, Matte
from studio.engines.base_diffusion import TrainingExample
from studio.errors import NotFoundError, StoreError, StudioError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.people.agreement import require_agreement
from studio.services.people.measuring import Measuring, cut, meant
from studio.services.progress import OnProgress, Progress, told

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.services.people.training_set import TrainingSets
    from studio.services.portraits.prepared import Portraits
    from studio.store import OwnerStore

USUAL_PER_PHOTO = 24
LARGEST_VARIANT = 512
"""Side of a stored variant in pixels; smaller where the photo has no more."""
_SMALLEST_PORTRAIT, _LARGEST_PORTRAIT = 256, 2048


@dataclass(frozen=True)
class Multiplied:
    """What was drawn.

    Attributes:
        drawn: variants drawn now.
        skipped: one sentence for each photo of which none could be drawn.
    """

    drawn: int
    skipped: tuple[str, ...]


class Variants:
    """The variants of one owner's people."""

    def __init__(self, store: OwnerStore, portraits: Portraits, sets: TrainingSets, queue: JobQueue) -> None:
        self._store = store
        self._portraits = portraits
        self._sets = sets
        self._queue = queue
        self._measuring = Measuring(store, portraits)
        self._rows = store.variants

    # -- looking -----------------------------------------------------------------------

    def list(self, identity_id: str) -> tuple[Variant, ...]:
        """Return the variants of a person's photos, photo after photo.

        Raises:
            NotFoundError: no such person.
        """
        self._store.identities.get(identity_id)
        return self._rows.list(identity_id)

    def path(self, variant_id: str) -> Path:
        """Return where a variant's picture lies.

        Raises:
            NotFoundError: no such variant.
        """
        return self._store.media.get(self._rows.get(variant_id).media_sha256)

    # -- changing ----------------------------------------------------------------------

    def set_kept(self, identity_id: str, variant_ids: Sequence[str], kept: bool) -> None:
        """Let training use variants of a person or not.

        Raises:
            NotFoundError: one of them is not this person's.
        """
        if not set(variant_ids) <= {v.id for v in self.list(identity_id)}:
            raise NotFoundError("This person has no such variant.", "Reload the page.")
        self._rows.set_kept(variant_ids, kept)

    def clear(self, identity_id: str) -> int:
        """Delete all variants of a person; return how many. They can be drawn again."""
        found = self.list(identity_id)
        self._rows.delete([v.id for v in found])
        return len(found)

    def multiply(
        self,
        identity_id: str,
        per_photo: int = USUAL_PER_PHOTO,
        seed: int = 0,
        *,
        on_progress: OnProgress | None = None,
    ) -> Multiplied:
        """Draw the variants of a person's kept photos that are not there yet.

        Variants of another seed are drawn anew; what was thrown out stays thrown out.

        Args:
            per_photo: how many of each, 1 to 100.
            on_progress: told after each picture; what it raises ends the drawing, and what is drawn stays.

        Raises:
            ConsentMissingError: the person did not agree to training.
            UserInputError: no photo is kept, or a number out of range.
            StoreError: no room.
        """
        if not 1 <= per_photo <= MOST_PER_PHOTO:
            raise UserInputError(f"{per_photo} variants of a photo are not possible.", f"Choose 1 to {MOST_PER_PHOTO}.")
        person = self._store.identities.get(identity_id)
        require_agreement(person, "train")
        kept = [c for c in self._sets.training_set(identity_id) if c.kept]
        if not kept:
            raise UserInputError(
                f"{person.name} has no photo to learn from.", "Keep at least one on the Identities tab."
            )
        there = {(v.photo_id, v.number) for v in self._rows.list(identity_id) if v.seed == seed}
        rest = self._sets.rest(identity_id)
        drawn, skipped = 0, []
        for place, curated in enumerate(kept):
            missing = [n for n in range(per_photo) if (curated.photo.id, n) not in there]
            name = curated.photo.file_name or "Photo"

            def tell(share: float, place: int = place, name: str = name) -> None:
                if on_progress is not None:
                    text = f"Photo {place + 1} of {len(kept)}: {name}"
                    on_progress(Progress((place + share) / len(kept), text))

            try:
                drawn += self._draw(curated, missing, seed, rest, tell)
            except StoreError:
                raise
            except StudioError as exc:
                skipped.append(f"{name}: {exc.in_window.message}")
        return Multiplied(drawn, tuple(skipped))

    def submit_multiply(self, identity_id: str, per_photo: int = USUAL_PER_PHOTO, seed: int = 0) -> Job:
        """Let a job draw the variants; see `multiply`."""
        person = self._store.identities.get(identity_id)
        require_agreement(person, "train")
        params = MultiplyParams(identity_id=identity_id, per_photo=per_photo, seed=seed)
        return self._queue.submit(KIND.name, params, title=f"Draw variants of {person.name}", identity_id=identity_id)

    # -- for training --------------------------------------------------------------------

    def examples(self, identity_id: str, resolution: int, trigger: str, class_word: str) -> tuple[TrainingExample, ...]:
        """Return the kept variants of kept photos as training sees them."""
        from studio.engines.media.pictures import read_picture

        policies = self._sets.policies(identity_id)
        found = {c.photo.id: c for c in self._sets.training_set(identity_id, trigger=trigger, class_word=class_word)}
        out = []
        for variant in self._rows.list(identity_id):
            curated = found.get(variant.photo_id)
            if curated is None or not (curated.kept and variant.kept):
                continue
            image = read_picture(self._store.media.get(variant.media_sha256)).rgb
            mask = read_picture(self._store.media.get(variant.mask_sha256)).rgb[..., 0]
            whole = CropBox(0, 0, image.shape[0])
            caption = _caption(curated, variant, trigger, class_word, policies)
            out.append(
                TrainingExample(
                    cut(image, whole, resolution),
                    cut(mask, whole, resolution),
                    caption,
                    variant.media_sha256,
                    drawn=True,
                )
            )
        return tuple(out)

    # -- drawing ---------------------------------------------------------------------------

    def _draw(
        self,
        curated: CuratedPhoto,
        numbers: Sequence[int],
        seed: int,
        rest: Rest | None,
        tell: Callable[[float], None],
    ) -> int:
        """Draw variants of one photo; return how many."""
        if not numbers:
            return 0
        photo, crop = curated.photo, curated.crop
        assert crop is not None  # photos without a face are never kept
        longer = max(photo.width, photo.height)
        wanted = min(longer, LARGEST_VARIANT * longer / crop.side)
        size = int(min(max(wanted, _SMALLEST_PORTRAIT), _LARGEST_PORTRAIT))
        prepared = self._portraits.prepare(
            self._measuring.path(photo.sha256), sha256=photo.sha256, face_index=photo.face_index, size=size
        )
        scale = prepared.image.shape[1] / photo.width
        side = min(LARGEST_VARIANT, round(crop.side * scale))
        face = meant(self._measuring.analysis(photo.sha256), photo)
        assert face is not None
        for done, number in enumerate(numbers):
            tell(done / len(numbers))
            recipe = variant_recipe(seed, number, photo.sha256)
            edit = ExpressionEdit(values=recipe.values)
            with prepared.lock:
                state = resolve(edit, prepared.portrait.own_weights)
                picture = prepared.portrait.render(state)
                matte = prepared.portrait.render_with_alpha(state)[..., 3]
            head = _turned(face.face.head, recipe.values)
            image, mask = _framed(picture, matte, crop, recipe, scale, side)
            with self._store.media.keeping():
                self._rows.add(
                    photo.id, number, seed, recipe, traits_of_variant(curated.traits, recipe, direction_of(head, rest)),
                    media_sha256=self._store.media.put(_encoded(image, "JPEG"), ".jpg"),
                    mask_sha256=self._store.media.put(_encoded(mask, "PNG"), ".png"),
                    engine=f"{prepared.engine} {prepared.engine_version}",
                )  # fmt: skip
        return len(numbers)


def _turned(head: HeadPose, values: Mapping[str, float]) -> HeadPose:
    return HeadPose(
        head.yaw_degrees + values.get("headYaw", 0.0), head.pitch_degrees + values.get("headPitch", 0.0),
        head.roll_degrees + values.get("headRoll", 0.0),
    )  # fmt: skip


def _framed(
    picture: Image, matte: Matte, crop: CropBox, recipe: VariantRecipe, scale: float, side: int
) -> tuple[Image, Matte]:
    """Cut a variant out, held inside the picture, and change its light.  # (side, side, 3), (side, side)"""
    height, width = picture.shape[:2]
    whole = min(crop.side * scale * recipe.zoom, height, width)
    center = [
        (low + crop.side / 2 + shift * crop.side) * scale
        for low, shift in zip((crop.x, crop.y), recipe.shift, strict=True)
    ]
    left, top = (min(max(c - whole / 2, 0.0), limit - whole) for c, limit in zip(center, (width, height), strict=True))
    box = CropBox(round(left), round(top), int(whole))
    image, mask = cut(picture, box, side), cut(matte, box, side)
    light = (image.astype(np.float32) / 255) ** recipe.gamma * np.asarray(recipe.tint, np.float32)
    return (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8), mask


def _encoded(pixels: Any, format: str) -> bytes:
    from PIL import Image as Pillow

    out = BytesIO()
    Pillow.fromarray(pixels).save(out, format=format, quality=95)
    return out.getvalue()


def _caption(
    curated: CuratedPhoto, variant: Variant, trigger: str, class_word: str, policies: Mapping[str, Any]
) -> str:
    """Return what is true of a variant: the words of its traits, or the person's own caption and what was asked."""
    if not curated.own_caption:
        return caption_of(variant.traits, trigger, class_word, policies)
    asked = "" if variant.recipe.mood == "own" else f", {variant.recipe.mood}"
    return f"{curated.caption}{asked}"


class MultiplyParams(BaseModel):
    """Whose photos to multiply, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_id: str
    per_photo: int = Field(default=USUAL_PER_PHOTO, ge=1, le=MOST_PER_PHOTO)
    seed: int = Field(default=0, ge=0)


def run(params: MultiplyParams, context: JobContext) -> Mapping[str, Any]:
    """Draw variants as a job; what is drawn stays when it is stopped."""
    context.check_cancelled()
    variants: Variants = context.service
    done = variants.multiply(params.identity_id, params.per_photo, params.seed, on_progress=told(context))
    for sentence in done.skipped:
        context.log(sentence)
    return {"identity_id": params.identity_id, "drawn": done.drawn, "skipped": list(done.skipped)}


KIND = JobKind("multiply", "Draw variants", MultiplyParams, run, service="variants", lane="long", icon="photo")
