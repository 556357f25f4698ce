"""Pictures from words: checked, queued or made at once, and kept in the library.

How a picture is drawn stands in the engine; here is what may be asked, whose
consent it needs, how alike the result is to the person it shows, and what the
library remembers of it. Each picture's recipe asks for that one picture, with
its own seed, so that any picture of a batch can be made again alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import Adapter, AdapterFile, refuse_older
from studio.domain.base_model import FAMILY_TITLES, BaseLocation
from studio.domain.job import Job
from studio.domain.picture_size import check_size
from studio.domain.render import NewRender, Render, title_of_words
from studio.engines.base import Image
from studio.engines.base_diffusion import PictureOrder, Wording
from studio.errors import EngineUnavailableError, NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.bases import Bases
from studio.services.marks import Marks
from studio.services.people.agreement import require_agreement
from studio.services.people.likeness import Likeness
from studio.services.pictures.request import AdapterUse, GenerationRequest, checked_generation
from studio.services.pictures.start_pictures import StartPictures
from studio.services.portraits.expressions import THUMBNAIL_PIXELS
from studio.services.progress import OnProgress, Pace, Progress, told
from studio.services.recipes import new_recipe
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.engines import Engines
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

__all__ = ["AdapterUse", "Generation", "GenerationRequest", "Wording", "checked_generation"]


MOST_ENLARGED = 4
"""Pictures of more than so many times the trained side repeat faces instead of showing one."""


@dataclass(frozen=True)
class PreparedDrawing:
    """A request whose names have become files.

    Attributes:
        request: settled: sources as sha256, sizes as numbers.
        worn: the adapters' files with their strengths.
        people: ids of everybody the adapters hold and the source shows.
        inputs: role -> sha256.
    """

    request: GenerationRequest
    location: BaseLocation
    adapters: tuple[Adapter, ...]
    worn: tuple[AdapterFile, ...]
    people: tuple[str, ...]
    inputs: Mapping[str, str]


class Generation:
    """Makes pictures from words."""

    def __init__(
        self,
        store: OwnerStore,
        engines: Engines,
        queue: JobQueue,
        sources: Sources,
        bases: Bases,
        likeness: Likeness,
        marks: Marks,
    ) -> None:
        self._store = store
        self._engines = engines
        self._queue = queue
        self._starts = StartPictures(store, engines, sources)
        self._bases = bases
        self._likeness, self._marks = likeness, marks

    def canvas(self, source: MediaSource, side: int) -> Image:
        """Return a picture that new ones start from, as it is painted on: upright, at most `side` pixels long.

        Raises:
            NotFoundError, UnreadableMediaError, LimitExceededError: it is gone, or no picture that can be read.
        """
        return self._starts.picture(source, side)

    # -- for the window and the command line -----------------------------------------

    def submit_generate(self, request: GenerationRequest) -> Job:
        """Check the request and put it into the queue; files are copied into the media store first.

        Raises:
            UserInputError, NotFoundError, UnreadableMediaError, ConsentMissingError.
        """
        prepared = self.prepared(request)
        settled = prepared.request
        return self._queue.submit(
            "generate",
            settled.model_dump(mode="json"),
            title=title_of_words(settled.prompt),
            project_id=settled.project_id,
            identity_id=person_of(prepared),
        )

    def wording(self, base: str, prompt: str) -> Wording | None:
        """Return how a base reads a prompt; None where that cannot be told before the base is loaded."""
        try:
            location = self._bases.resolve(base)
        except NotFoundError:
            return None
        return self._engines.base_files().wording(location, prompt)

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    def generate(
        self,
        request: GenerationRequest,
        on_progress: OnProgress | None = None,
        *,
        job_id: str | None = None,
        parent_id: str | None = None,
        skip: int = 0,
        made_by: Mapping[str, Any] | None = None,
    ) -> tuple[Render, ...]:
        """Draw pictures here and now and keep each in the library as it is done.

        Args:
            on_progress: what it raises ends the drawing; finished pictures stay.
            skip: how many of the batch are there already.
            made_by: the recipe of the one picture that is made once more.

        Raises:
            UserInputError: bad sizes or numbers, or an adapter for another family.
            NotFoundError: base, adapter or picture is not here.
            ConsentMissingError: somebody in the adapters, or on the source, did not agree to "generate".
            EngineError, OutOfMemoryError, EngineUnavailableError, StoreError.
        """
        prepared = self.prepared(request)
        settled = prepared.request
        source, mask = self._starts.read(settled)
        left = settled.model_copy(update={"seed": settled.seed + skip, "count": settled.count - skip})
        tell = _Teller(on_progress)
        generator = self._engines.generator()
        tell.say(0.0, "Loading the base model")
        pictures = generator.generate(
            prepared.location, order_of(left), prepared.worn, source=source, mask=mask, on_step=tell.step
        )
        kept: list[Render] = []
        begun = time.perf_counter()
        for number, image in enumerate(pictures):
            one = left.model_copy(update={"seed": left.seed + number, "count": 1})
            seconds = time.perf_counter() - begun
            setup = 0.0 if kept else tell.pace.loading_seconds
            kept.append(self._keep(prepared, one, image, seconds, setup, job_id, parent_id, made_by))
            begun = time.perf_counter()
        tell.say(1.0, "Done")
        return tuple(kept)

    # -- for the library -----------------------------------------------------------------

    def redraw(
        self,
        recipe: Mapping[str, Any],
        *,
        parent_id: str | None = None,
        job_id: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Render:
        """Make a picture once more from its recipe.

        Raises:
            NotFoundError: the base, an adapter or the source is gone; named with its hash.
            UserInputError: another version of the generator made it.
        """
        generator = self._engines.generator()
        made_by, here = recipe["engines"]["generator"], f"{generator.name} {generator.version}"
        if made_by != here:
            raise UserInputError(
                f"The picture was made by engine {made_by}; this studio has {here}.",
                "Make a new picture from the same settings; it will differ a little.",
            )
        request = checked_generation(recipe["request"]).model_copy(update={"adapters": self.brought_back(recipe)})
        return self.generate(request, on_progress, job_id=job_id, parent_id=parent_id, made_by=recipe)[0]

    def brought_back(self, recipe: Mapping[str, Any]) -> tuple[AdapterUse, ...]:
        """Return a recipe's adapters as they are found here by their hashes, after a look at its base.

        Raises:
            NotFoundError: the base or an adapter is gone; named with its hash.
        """
        base = recipe["base"]
        gone = f"{base['name']} (sha256 {str(base['sha256'])[:12]}…)"
        try:
            here = self._bases.resolve(recipe["request"]["base"])
        except NotFoundError as exc:
            raise NotFoundError(
                f"The base model {gone} is not here any more.",
                exc.hint,
                window_message=f"The base model {base['name']} is not here any more.",
                window=exc.in_window.hint,
            ) from exc
        if here.sha256 != base["sha256"]:
            raise NotFoundError(
                f"The base model {gone} is not here any more.",
                f"{here.name} has other weights now ({here.sha256[:12]}…).",
                window_message=f"The base model {base['name']} is not the one that drew this.",
                window="Its weights are others now: bring the old ones back, or draw a new picture.",
            )
        by_hash = {a.media_sha256: a for a in self._store.adapters.list()}
        uses = []
        for noted in recipe["adapters"]:
            found = by_hash.get(noted["sha256"])
            if found is None:
                raise NotFoundError(
                    f"The adapter {noted['name']} (sha256 {noted['sha256'][:12]}…) is not here any more.",
                    "Import it again with `studio adapter import`, then make the picture again.",
                    window_message=f"The adapter {noted['name']} is not here any more.",
                    window="Bring it in again on the Train tab, under Adapters, then make the picture again.",
                )
            uses.append(AdapterUse(adapter_id=found.id, strength=noted["strength"]))
        return tuple(uses)

    # -- the request made ready ------------------------------------------------------------

    def prepared(self, request: GenerationRequest) -> PreparedDrawing:
        """Find base and adapters, ask for consent, settle the sources and the size.

        Raises:
            NotFoundError, UserInputError, ConsentMissingError, UnreadableMediaError: see `generate`.
        """
        if request.width is not None or request.height is not None:
            check_size(request.width or request.height or 0, request.height or request.width or 0)
        adapters = tuple(self._store.adapters.get(use.adapter_id) for use in request.adapters)
        photo = None if request.source is None else self._starts.photo(request.source)
        shown = (photo.identity_id,) if photo is not None and photo.identity_id is not None else ()
        people = tuple(dict.fromkeys((*self._consenting(adapters), *shown)))
        if request.identity_id is not None:
            self._store.identities.get(request.identity_id)
        location = self._bases.resolve(request.base)
        for adapter in adapters:
            refuse_older(adapter.name, adapter.base_name, adapter.base_sha256, location)
            if adapter.family != location.family:
                raise UserInputError(
                    f"{adapter.name} is for {FAMILY_TITLES[adapter.family]}, but {location.title} is a model of "
                    f"{FAMILY_TITLES[location.family]}.",
                    "Choose an adapter and a base model of one family.",
                )
        card = self._bases.get(request.base).card
        settled = request.model_copy(
            update={
                "width": request.width or request.height or location.resolution,
                "height": request.height or request.width or location.resolution,
                "steps": request.steps or card.steps,
                "guidance": request.guidance or card.guidance,
                "source": self._starts.settled(request.source),
                "mask": self._starts.settled(request.mask) if isinstance(request.mask, MediaSource) else request.mask,
            }
        )
        most = MOST_ENLARGED * location.resolution
        if max(settled.width or 0, settled.height or 0) > most:
            raise UserInputError(
                f"{location.title} was trained on {location.resolution} pixels and cannot draw "
                f"{settled.width}×{settled.height}.",
                f"Ask for {most} at most; {location.resolution} look best.",
            )
        inputs = {f"adapter:{a.name}": a.media_sha256 for a in adapters}
        for role, given in (("source", settled.source), ("mask", settled.mask)):
            if isinstance(given, MediaSource):
                inputs[role] = given.sha256 or ""
        worn = tuple(
            AdapterFile(path=str(self._store.media.get(a.media_sha256)), name=name, strength=use.strength)
            for a, name, use in zip(adapters, _names(adapters), settled.adapters, strict=True)
        )
        return PreparedDrawing(settled, location, adapters, worn, people, inputs)

    def _consenting(self, adapters: Sequence[Adapter]) -> tuple[str, ...]:
        """Return everybody in the adapters, after asking whether each agreed."""
        people = dict.fromkeys(p for a in adapters for p in self._store.adapters.people(a.id))
        for id in people:
            require_agreement(self._store.identities.get(id), "generate")
        return tuple(people)

    # -- keeping -----------------------------------------------------------------------------

    def _keep(
        self,
        prepared: PreparedDrawing,
        request: GenerationRequest,
        image: Image,
        seconds: float,
        setup_seconds: float | None,
        job_id: str | None,
        parent_id: str | None,
        made_by: Mapping[str, Any] | None,
    ) -> Render:
        """Put one picture into the library."""
        from studio.engines.media.pictures import png_bytes, thumbnail_jpeg

        generator = self._engines.generator()
        engines = {"generator": f"{generator.name} {generator.version}", **generator.libraries()}
        recipe = new_recipe("image", request.model_dump(mode="json"), engines, prepared.inputs)
        recipe = self._marks.noted(recipe | weights_of(prepared), made_by)
        names = (row["name"] for row in (recipe["base"], *recipe["adapters"]))
        recipe["measures"] = self._measured(image, prepared)
        image = self._marks.marked(image, recipe)
        with self._store.media.keeping():
            put = self._store.media.put
            return self._store.renders.add(
                NewRender(
                    kind="image",
                    media_sha256=put(png_bytes(image, recipe), ".png"),
                    thumbnail_sha256=put(thumbnail_jpeg(image, THUMBNAIL_PIXELS), ".jpg"),
                    recipe=recipe,
                    engine=generator.name,
                    engine_version=generator.version,
                    inputs=prepared.inputs,
                    seconds=seconds,
                    setup_seconds=setup_seconds,
                    title=title_of_words(request.prompt),
                    search_text=" ".join((request.prompt, *names)),
                    project_id=request.project_id,
                    identity_id=person_of(prepared),
                    parent_id=parent_id,
                    job_id=job_id,
                    width=image.shape[1],
                    height=image.shape[0],
                ),
            )

    def _measured(self, image: Image, prepared: PreparedDrawing) -> dict[str, Any]:
        """Return the identity badge: likeness on the scale of the person's own photos, or why there is none."""
        nothing = {"identity_id": None, "likeness": None, "spread": None, "distance": None}
        person = prepared.request.identity_id or person_of(prepared)
        if person is None:
            why = "Several people are meant." if prepared.people else "No adapter of a person is on."
            return {**nothing, "reason": why}
        try:
            score = self._likeness.score(image, person)
        except EngineUnavailableError as exc:
            return {**nothing, "identity_id": person, "reason": exc.in_window.message}
        if score is None:
            return {**nothing, "identity_id": person, "reason": "No face to measure in the picture or the photos."}
        numbers = {"likeness": score.likeness, "spread": score.spread, "distance": score.distance}
        rounded = {k: None if v is None else round(float(v), 4) for k, v in numbers.items()}
        return {"identity_id": person, **rounded, "reason": "" if score.likeness is not None else score.sentence}


class _Teller:
    """Turns the sampler's steps into progress with the seconds that are left."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self.pace = Pace()

    def say(self, fraction: float, stage: str, left: float | None = None, preview: Image | None = None) -> None:
        """Tell, when somebody listens."""
        if self._on_progress is not None:
            self._on_progress(Progress(fraction, stage, left, preview))

    def step(self, step: int, steps: int, preview: Image | None) -> None:
        """Take a step of the sampler."""
        self.pace.note(step)
        self.say(min(0.99, step / steps), f"Step {step} of {steps}", self.pace.seconds_left(steps), preview)


def person_of(prepared: PreparedDrawing) -> str | None:
    """Return the one person that pictures show; None for nobody or several."""
    people = prepared.people or (prepared.request.identity_id,)
    return people[0] if len(people) == 1 else None


def weights_of(prepared: PreparedDrawing) -> dict[str, Any]:
    """Return what a recipe says of the base and the adapters that drew."""
    location = prepared.location
    return {
        "base": {"name": location.name, "family": location.family, "sha256": location.sha256},
        "adapters": [
            {"name": a.name, "sha256": a.media_sha256, "strength": use.strength, "trigger": a.trigger}
            for a, use in zip(prepared.adapters, prepared.request.adapters, strict=True)
        ],
    }


def order_of(request: GenerationRequest) -> PictureOrder:
    """Return a settled request as the engine takes it."""
    assert request.steps is not None
    assert request.guidance is not None
    return PictureOrder(
        prompt=request.prompt,
        negative=request.negative,
        seed=request.seed,
        steps=request.steps,
        guidance=request.guidance,
        width=request.width or 0,
        height=request.height or 0,
        count=request.count,
        denoise=request.denoise,
    )


def _names(adapters: Sequence[Adapter]) -> tuple[str, ...]:
    """Return a name of letters, digits and underscores for each adapter, unique among them."""
    return tuple(f"{re.sub(r'[^A-Za-z0-9]+', '_', a.name)}_{i}" for i, a in enumerate(adapters))


def run(params: GenerationRequest, context: JobContext) -> Mapping[str, Any]:
    """Draw queued pictures; after an interruption only those that are missing."""
    generation: Generation = context.service
    kept = generation.made_by(context.job.id)
    if len(kept) < params.count:
        made = generation.generate(params, told(context), job_id=context.job.id, skip=len(kept))
        kept = (*kept, *made)
    return {"render_ids": [render.id for render in kept]}


KIND = JobKind(
    "generate",
    "Pictures from words",
    GenerationRequest,
    run,
    service="generation",
    icon="generate",
    cancel_grace_seconds=3.0,
)
