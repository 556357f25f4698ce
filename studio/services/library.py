"""Everything the studio made: find it, show it, make it once more."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from studio.domain.clip_format import CURVE_FORMATS
from studio.domain.job import Job
from studio.domain.render import Render, RenderKind, RenderPage
from studio.domain.speech_format import SPEECH_FORMATS
from studio.errors import NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.animation import Animation, checked_request
from studio.services.clips.dialogue import Dialogue, is_dialogue
from studio.services.clips.dubbing import Dubbing, is_dubbed
from studio.services.clips.timing import write_timing
from studio.services.pictures.generation import Generation
from studio.services.portraits.expressions import Expressions
from studio.services.portraits.units import UnitScores, scores_of
from studio.services.progress import OnProgress, told
from studio.services.provenance import Provenance
from studio.services.recipes import checked
from studio.services.video.video import Video
from studio.store import OwnerStore

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue

__all__ = ["Library", "Recipe", "RenderPage", "RerunResult"]

Recipe = Mapping[str, Any]
LONGEST_TITLE = 120


@dataclass(frozen=True)
class RerunResult:
    """A render made once more.

    Attributes:
        same_frames: whether every decoded frame equals the first render's.
        marked_elsewhere: the first carries another installation's invisible mark, so that they cannot.
    """

    render: Render
    same_frames: bool
    marked_elsewhere: bool = False


class Library:
    """Looks after renders."""

    def __init__(
        self,
        store: OwnerStore,
        expressions: Expressions,
        animation: Animation,
        generation: Generation,
        video: Video,
        dubbing: Dubbing,
        dialogue: Dialogue,
        provenance: Provenance,
        queue: JobQueue,
        scratch: Path,
    ) -> None:
        self._store = store
        self._provenance = provenance
        self._expressions = expressions
        self._animation = animation
        self._generation = generation
        self._video = video
        self._dubbing = dubbing
        self._dialogue = dialogue
        self._queue = queue
        self._scratch = scratch

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    # -- finding ---------------------------------------------------------------------

    def page(
        self,
        *,
        project_id: str | None = None,
        identity_id: str | None = None,
        kind: RenderKind | None = None,
        starred: bool | None = None,
        text: str | None = None,
        cursor: str | None = None,
        size: int = 24,
    ) -> RenderPage:
        """Return one page of renders, newest first; None filters nothing.

        Args:
            text: words that title, transcript or notes begin with.
            cursor: the `next_cursor` of the page before.

        Raises:
            UserInputError: `cursor` is none of ours.
        """
        return self._store.renders.page(
            project_id=project_id,
            identity_id=identity_id,
            kind=kind,
            starred=starred,
            text=text,
            after=cursor,
            limit=size,
        )

    def show(self, render_id: str) -> Render:
        """Return one render with its whole recipe.

        Raises:
            NotFoundError: no such render.
        """
        return self._store.renders.get(render_id)

    def path(self, render: Render) -> Path:
        """Return where the render's file lies.

        Raises:
            NotFoundError: the file is gone.
        """
        return self._store.media.get(render.media_sha256)

    def thumbnail(self, render: Render) -> Path:
        """Return a small picture of the render; the file itself where it has none."""
        return self._store.media.get(render.thumbnail_sha256 or render.media_sha256)

    # -- marking, deleting, exporting ----------------------------------------------------

    def star(self, render_id: str, starred: bool = True) -> Render:
        """Mark a render as a favorite, or no longer."""
        return self._store.renders.star(render_id, starred)

    def rename(self, render_id: str, title: str) -> Render:
        """Give a render another title; its file and its recipe stay as they are.

        Raises:
            UserInputError: no title, or one that is too long.
            NotFoundError: no such render.
        """
        words = " ".join(title.split())
        if not 1 <= len(words) <= LONGEST_TITLE:
            raise UserInputError(f"A title has 1 to {LONGEST_TITLE} letters.", "Write a few words.")
        return self._store.renders.rename(render_id, words)

    def inputs(self, render: Render) -> Mapping[str, Path]:
        """Return the files that a render was made from, by role; those that are gone are left out."""
        found = {}
        for role, sha256 in render.inputs.items():
            try:
                found[role] = self._store.media.get(sha256)
            except NotFoundError:
                continue
        return found

    def delete(self, render_id: str) -> None:
        """Put a render into the trash; `restore` brings it back until the next tidying (see `upkeep`)."""
        self._store.renders.trash(render_id)

    def restore(self, render_id: str) -> Render:
        """Bring a render back from the trash."""
        return self._store.renders.restore(render_id)

    def export(self, render_id: str, out: Path) -> Path:
        """Write a render's file, with its recipe inside and signed, to a file or into a folder.

        Returns:
            The file. What cannot carry its credentials (webm, zip) has them beside it, under its name and ".c2pa".

        Raises:
            NotFoundError: no such render, or the folder does not exist.
            UserInputError: the name ends in another format.
            EngineError: it cannot be signed; nothing was written.
            StoreError: disk full or read-only.
        """
        render = self.show(render_id)
        source = self.path(render)
        if out.is_dir():
            words = re.sub(r"[^\w-]+", "-", render.title).strip("-").lower()[:40]
            out = out / f"{words or render.kind}-{render.id}{source.suffix}"
        elif out.suffix.lower() != source.suffix:
            raise UserInputError(
                f"The render is a {source.suffix} file, not {out.suffix or 'one without ending'}.",
                f"End the name in {source.suffix}, or name a folder.",
            )
        self._provenance.hand_out(render, out)
        return out

    def curves(self, render_id: str) -> Mapping[str, Path]:
        """Return a clip's motion as files to download, one per row of CURVE_FORMATS by name; none for a picture."""
        from studio.engines.media.curves import read_json, write_curves

        sha256 = self.show(render_id).inputs.get("curves")
        if sha256 is None:
            return {}
        self._scratch.mkdir(parents=True, exist_ok=True)
        motion = read_json(self._store.media.get(sha256))
        return {
            name: write_curves(motion, self._scratch / f"curves-{render_id}{row.suffix}")
            for name, row in CURVE_FORMATS.items()
        }

    def action_units(self, render_id: str) -> UnitScores | None:
        """Return what a clip's motion shows over time as action units; None where there is no motion."""
        from studio.engines.media.curves import read_json

        sha256 = self.show(render_id).inputs.get("curves")
        return None if sha256 is None else scores_of(read_json(self._store.media.get(sha256)))

    def timing(self, render_id: str) -> Mapping[str, Path]:
        """Return what is said in a clip as files to download, by name of SPEECH_FORMATS.

        None where nothing was listened to, or by an earlier release; no subtitles where no words are known.
        """
        from studio.engines.media.speech_files import read_analysis

        sha256 = self.show(render_id).inputs.get("speech")
        if sha256 is None:
            return {}
        self._scratch.mkdir(parents=True, exist_ok=True)
        speech = read_analysis(self._store.media.get(sha256))
        return {
            name: write_timing(speech, self._scratch / f"timing-{render_id}{row.suffix}")
            for name, row in SPEECH_FORMATS.items()
            if speech.words or not row.needs_words
        }

    # -- making it again -------------------------------------------------------------------

    def recipe_of_file(self, path: Path) -> Recipe:
        """Read the recipe from a png or clip of ours, also one that left the library.

        Raises:
            NotFoundError, UnreadableMediaError.
            UserInputError: the file carries no recipe of ours.
        """
        from studio.engines.media.recipe import read_recipe

        return checked(read_recipe(path), path.name)

    def rerun(self, render_id: str, *, on_progress: OnProgress | None = None, job_id: str | None = None) -> RerunResult:
        """Make a render once more, here and now, and compare the frames.

        Raises:
            NotFoundError: the render, or something it was made from, is gone.
            UserInputError: another engine version made it.
        """
        first = self.show(render_id)
        recipe = checked(first.recipe, f"Render {render_id}")
        if "base" in recipe:  # drawn from words
            recipe["request"] = recipe["request"] | {"project_id": first.project_id}
            drawn_by = self._video if first.kind == "clip" else self._generation
            again = drawn_by.redraw(recipe, parent_id=first.id, job_id=job_id, on_progress=on_progress)
        elif is_dubbed(recipe) or is_dialogue(recipe):
            recipe["request"] = recipe["request"] | {"project_id": first.project_id}
            made_by = self._dubbing if is_dubbed(recipe) else self._dialogue
            again = made_by.redraw(recipe, parent_id=first.id, job_id=job_id, on_progress=on_progress)
        elif first.kind == "image":
            if "portrait" not in recipe["inputs"]:
                raise UserInputError(f"{first.title} cannot be made again here.", "Make it where it was made first.")
            again = self._expressions.redraw(recipe, parent_id=first.id)
        else:
            request = checked_request(recipe["request"] | {"project_id": first.project_id, "photo_id": first.photo_id})
            again, _ = self._animation.render(
                request, job_id=job_id, parent_id=first.id, on_progress=on_progress, made_by=recipe
            )
        elsewhere = self._provenance.marks.are_anothers(recipe)
        return RerunResult(again, same_frames(self.path(first), self.path(again)), elsewhere)

    def submit_rerun(self, render_id: str) -> Job:
        """Put a rerun into the queue."""
        render = self.show(render_id)
        return self._queue.submit(
            "rerun",
            {"render_id": render.id},
            title=f"Again: {render.title}",
            project_id=render.project_id,
            identity_id=render.identity_id,
        )


def same_frames(first: Path, second: Path) -> bool:
    """Say whether two files of the same kind show exactly the same pixels, frame by frame.

    Raises:
        NotFoundError: a file is gone.
    """
    if first == second or first.read_bytes() == second.read_bytes():
        return True
    if first.suffix in {".png", ".jpg"}:
        from studio.engines.media.pictures import read_picture

        return bool(np.array_equal(read_picture(first).rgb, read_picture(second).rgb))
    from studio.engines.media.video import read_clip

    with read_clip(first) as one, read_clip(second) as other:
        return all(
            a is not None and b is not None and np.array_equal(a, b) for a, b in itertools.zip_longest(one, other)
        )


class RerunParams(BaseModel):
    """Which render to make once more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    render_id: str


def run(params: RerunParams, context: JobContext) -> Mapping[str, Any]:
    """Make a render once more as a job."""
    library: Library = context.service
    kept = library.made_by(context.job.id)
    if kept:
        return {"render_id": kept[0].id}
    result = library.rerun(params.render_id, on_progress=told(context), job_id=context.job.id)
    told_of = {"same_frames": result.same_frames, "marked_elsewhere": result.marked_elsewhere}
    return {"render_id": result.render.id, **told_of}


KIND = JobKind("rerun", "Make again", RerunParams, run, service="library")
