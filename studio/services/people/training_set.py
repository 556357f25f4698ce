"""What a person's photos become for training: crops, masks, captions, and what the set lacks.

Computed from measurements and from what was decided, so it works for people
whose photos were never curated. Originals are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from studio.domain.curation import CropBox, CuratedPhoto, crop_box, crop_share, flags_of
from studio.domain.job import Job
from studio.domain.photo import Photo
from studio.domain.traits import (
    TRAIT,
    Coverage,
    Policy,
    Rest,
    caption_of,
    coverage_of,
    default_policies,
    rest_of,
    traits_of,
)
from studio.engines.base import Matte
from studio.engines.base_diffusion import TrainingExample
from studio.errors import LimitExceededError, NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.people.measuring import Measuring, cut, meant, without_others
from studio.services.progress import OnProgress, Progress, told
from studio.store.curation import PhotoChoice

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.services.portraits.prepared import Portraits
    from studio.store import OwnerStore


CAPTION_SIDE = 384
"""Pixels of the crops that captioning models see; their processors scale further."""


class TrainingSets:
    """People's training sets."""

    def __init__(self, store: OwnerStore, portraits: Portraits, queue: JobQueue) -> None:
        self._store = store
        self._engines = portraits.engines
        self._measuring = Measuring(store, portraits)
        self._queue = queue
        self._rows = store.curation

    # -- a person's set ----------------------------------------------------------------

    def training_set(
        self, identity_id: str, resolution: int = 512, *, trigger: str = "", class_word: str = "person"
    ) -> tuple[CuratedPhoto, ...]:
        """Return a person's photos as training will see them, also those that are left out.

        Args:
            resolution: of the base; small bases get head-and-shoulders crops only.
            trigger, class_word: for the captions.
        """
        self._store.identities.get(identity_id)
        choices = self._rows.choices(identity_id)
        policies = self.policies(identity_id)
        out, number = [], 0
        photos = self._store.photos.list(identity_id=identity_id)
        faces = {photo.id: meant(self._measuring.analysis(photo.sha256), photo) for photo in photos}
        rest = rest_of([(face.measures, face.face.head) for face in faces.values() if face is not None])
        for photo in photos:
            choice, face = choices.get(photo.id, PhotoChoice()), faces[photo.id]
            traits = {} if face is None else traits_of(face.measures, face.face.head, rest)
            own = choice.caption is not None
            caption = (
                _filled(choice.caption or "", trigger, class_word)
                if own
                else caption_of(traits, trigger, class_word, policies)
            )
            made = self._curated(photo, choice, crop_share(number, resolution), traits, caption)
            number += made.kept
            out.append(made)
        return tuple(out)

    def _curated(
        self,
        photo: Photo,
        choice: PhotoChoice,
        share: float,
        traits: Mapping[str, str],
        caption: str,
    ) -> CuratedPhoto:
        """Put together what training would see of one photo; `share` is the face's part of the crop."""
        analysis = self._measuring.analysis(photo.sha256)
        found = meant(analysis, photo)
        if found is None:
            return CuratedPhoto(
                photo=photo, sha256=photo.sha256, crop=None, mask_sha256=None, caption="", kept=False,
                problem=analysis.problem or "The face was not found again.",
            )  # fmt: skip
        others = [f.face for f in analysis.faces if f.index != found.index]
        return CuratedPhoto(
            photo=photo, sha256=photo.sha256, mask_sha256=analysis.mask_sha256, caption=caption,
            own_caption=choice.caption is not None, kept=True if choice.kept is None else choice.kept, traits=traits,
            crop=choice.crop or crop_box(photo.width, photo.height, found.face, share, others),
            flags=flags_of(found, len(others)),
        )  # fmt: skip

    def rest(self, identity_id: str) -> Rest | None:
        """Return a person's face at rest, as their kept photos tell it; None with fewer than three."""
        photos = [c.photo for c in self.training_set(identity_id) if c.kept]
        faces = [meant(self._measuring.analysis(photo.sha256), photo) for photo in photos]
        return rest_of([(face.measures, face.face.head) for face in faces if face is not None])

    def captions(self, identity_id: str, trigger: str, class_word: str) -> dict[str, str]:
        """Return the caption of every kept photo, by photo id."""
        found = self.training_set(identity_id, trigger=trigger, class_word=class_word)
        return {c.photo.id: c.caption for c in found if c.kept}

    def coverage(self, identity_id: str) -> Coverage:
        """Say which angles, expressions, framings and lights a person's kept photos have and lack."""
        return coverage_of([c.traits for c in self.training_set(identity_id) if c.kept])

    def examples(self, identity_id: str, resolution: int, trigger: str, class_word: str) -> list[TrainingExample]:
        """Return what training learns from: square crops of `resolution` pixels with masks and captions.

        Raises:
            NotFoundError: no such person, or the file of a photo is missing.
            UserInputError: no photo is kept.
        """
        kept = [c for c in self.training_set(identity_id, resolution, trigger=trigger, class_word=class_word) if c.kept]
        if not kept:
            name = self._store.identities.get(identity_id).name
            raise UserInputError(f"{name} has no photo to learn from.", "Keep at least one on the Identities tab.")
        return [self.example(c, resolution) for c in kept]

    def example(self, curated: CuratedPhoto, resolution: int) -> TrainingExample:
        """Return one photo of a set as training would see it at this resolution; it must have a face."""
        from studio.engines.media.pictures import read_picture

        assert curated.crop is not None  # photos without a face are never kept
        rgb = read_picture(self._measuring.path(curated.sha256)).rgb
        image = cut(rgb, curated.crop, resolution)
        mask: Matte | None = None
        if curated.mask_sha256 is not None:
            whole = read_picture(self._measuring.path(curated.mask_sha256)).rgb[..., 0]
            analysis = self._measuring.analysis(curated.sha256)
            whole = without_others(whole, analysis, curated.photo)
            mask = cut(whole, curated.crop, resolution, scale=whole.shape[1] / rgb.shape[1])
        return TrainingExample(image, mask, curated.caption, curated.sha256)

    # -- changing a person's set ---------------------------------------------------------

    def set_kept(self, identity_id: str, photo_ids: Sequence[str], kept: bool | None) -> None:
        """Let training use photos of a person or not; None leaves it to the studio."""
        words = {True: "Keep", False: "Leave out", None: "Undecided"}[kept]
        self._choose(identity_id, {id: {"kept": kept} for id in photo_ids}, f"{words} {len(photo_ids)}")

    def set_caption(
        self, identity_id: str, photo_id: str, caption: str | None, *, trigger: str = "", class_word: str = "person"
    ) -> None:
        """Write a photo's caption oneself; None or an empty one goes back to the measured caption.

        The trigger and class word in it are kept as such, so that another trigger later takes their place.

        Raises:
            LimitExceededError: the caption is longer than 500 letters.
        """
        said = " ".join((caption or "").split())
        if len(said) > 500:
            raise LimitExceededError("The caption is longer than 500 letters.", "Write a shorter one.")
        self._choose(identity_id, {photo_id: {"caption": _unfilled(said, trigger, class_word) or None}}, "Caption")

    def write_captions(self, identity_id: str, model: str, on_progress: OnProgress | None = None) -> dict[str, str]:
        """Let a captioning model describe every kept photo's crop; all captions are one step that can be taken back.

        Args:
            model: a folder, or a model of the hub that is on this computer.
            on_progress: told after each photo.

        Returns:
            Photo id -> what the model said.

        Raises:
            EngineUnavailableError: the model or its libraries are not here.
        """
        kept = [c for c in self.training_set(identity_id) if c.kept]
        captioner = self._engines.captioner(model)
        said: dict[str, str] = {}
        for number, curated in enumerate(kept, start=1):
            said[curated.photo.id] = captioner.caption(self.example(curated, CAPTION_SIDE).image)
            if on_progress is not None:
                stage = f"{number} of {len(kept)}: {curated.photo.file_name}"
                on_progress(Progress(number / len(kept), stage))
        captions = {id: {"caption": f"a photo of {{who}}, {words}"} for id, words in said.items() if words}
        self._choose(identity_id, captions, f"Captions by {captioner.name}")
        return said

    def submit_write_captions(self, identity_id: str, model: str) -> Job:
        """Let a job write the captions of a person's photos with a captioning model.

        Raises:
            UserInputError: no model is named.
        """
        if not model.strip():
            raise UserInputError("No captioning model is named.", "Write a folder, or a name such as owner/model.")
        person = self._store.identities.get(identity_id)
        return self._queue.submit(
            CAPTION_KIND.name, CaptionParams(identity_id=identity_id, model=model.strip()),
            title=f"Write captions for {person.name}", identity_id=identity_id,
        )  # fmt: skip

    def set_crop(self, identity_id: str, photo_id: str, crop: CropBox | None) -> None:
        """Choose what is cut out of a photo; None goes back to the proposed crop.

        Raises:
            UserInputError: the square is not inside the photo.
        """
        photo = self._store.photos.get(photo_id)
        if crop is not None and not (
            crop.side >= 16 and crop.x >= 0 and crop.y >= 0
            and crop.x + crop.side <= photo.width and crop.y + crop.side <= photo.height
        ):  # fmt: skip
            raise UserInputError(
                "The crop is not inside the photo.", f"The photo has {photo.width}x{photo.height} pixels."
            )
        self._choose(identity_id, {photo_id: {"crop": crop}}, "Crop")

    def _choose(self, identity_id: str, choices: Mapping[str, Mapping[str, Any]], title: str) -> None:
        own = {p.id for p in self._store.photos.list(identity_id=identity_id)}
        if not set(choices) <= own:
            raise NotFoundError("This person has no such photo.", "Reload the page.")
        self._rows.choose(identity_id, choices, title)

    def policies(self, identity_id: str) -> dict[str, Policy]:
        """Return for every trait whether captions describe it or leave it to be learned.

        Raises:
            NotFoundError: no such person.
        """
        self._store.identities.get(identity_id)
        return {**default_policies(), **self._rows.policies(identity_id)}

    def set_policy(self, identity_id: str, trait: str, policy: Policy) -> None:
        """Say whether captions describe a trait (then it stays changeable) or leave it out (then it is learned).

        Raises:
            UserInputError: there is no such trait or policy.
        """
        if trait not in TRAIT or policy not in ("describe", "leave out"):
            raise UserInputError(f"There is no trait {trait!r} with {policy!r}.", f"Traits: {', '.join(TRAIT)}.")
        self._store.identities.get(identity_id)
        self._rows.set_policy(identity_id, trait, policy)


# -- captions ------------------------------------------------------------------------------


def _unfilled(caption: str, trigger: str, class_word: str) -> str:
    who = " ".join(w for w in (trigger.strip(), class_word.strip()) if w)
    return caption.replace(who, "{who}") if trigger.strip() and who in caption else caption


def _filled(caption: str, trigger: str, class_word: str) -> str:
    """Put trigger and class word into a caption; in front where it names nobody, or nothing would be learned."""
    who = " ".join(w for w in (trigger.strip(), class_word.strip()) if w)
    if "{who}" in caption:
        return caption.replace("{who}", who)
    return caption if not trigger.strip() or trigger.strip() in caption else f"a photo of {who}, {caption}"


class CaptionParams(BaseModel):
    """What the job of a captioning model needs; `model` is a folder or a name on the hub."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_id: str
    model: str


def run_captions(params: CaptionParams, context: JobContext) -> Mapping[str, Any]:
    """Caption a person's kept photos with a model."""
    context.check_cancelled()
    sets: TrainingSets = context.service
    said = sets.write_captions(params.identity_id, params.model, told(context))
    context.progress(1.0, "Done")
    return {"identity_id": params.identity_id, "captions": len(said)}


CAPTION_KIND = JobKind("caption", "Write captions", CaptionParams, run_captions, service="training_sets", icon="photo")
