"""Where clips are made, and how finished ones come into the library, whoever makes them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from studio.domain.clip_format import clip_format
from studio.domain.render import NewRender, Render
from studio.jobs.kinds import JobContext
from studio.services.clips.making import AnimationResult
from studio.services.progress import told

if TYPE_CHECKING:
    from studio.store import OwnerStore

_SPEECH = ".speech.json"


@dataclass(frozen=True)
class ClipPlace:
    """Names for what belongs to one clip in the making.

    Attributes:
        out, poster, curves, mixed: the clip, its picture, its motion, a sound that is put together for it.
        parts: folder of finished parts. A clip is written in parts also when nothing could resume it: one that is made
            again must be the same bytes.
    """

    out: Path
    poster: Path
    curves: Path
    mixed: Path
    parts: Path


@contextmanager
def clip_place(scratch: Path, noun: str, format: str, work_folder: Path | None) -> Iterator[ClipPlace]:
    """Yield names below a scratch folder, made if need be; what lies under them is taken away at the end.

    Args:
        noun: begins the names.
        format: a key of CLIP_FORMATS.
        work_folder: outlives the process, and so do the parts in it; None keeps no parts.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    out = scratch / f"{noun}-{time.time_ns()}{clip_format(format).suffix}"
    poster, curves, mixed, speech = (out.with_suffix(s) for s in (".jpg", ".curves.json", ".mix.wav", _SPEECH))
    work = work_folder or out.with_suffix(".work")
    try:
        yield ClipPlace(out, poster, curves, mixed, work / "parts")
    finally:
        for path in (out, poster, curves, mixed, speech):
            path.unlink(missing_ok=True)
        if work_folder is None:
            shutil.rmtree(work, ignore_errors=True)


def clip_of_job(
    context: JobContext, make: Callable[..., tuple[Render, AnimationResult]], params: BaseModel
) -> Mapping[str, Any]:
    """Make a queued clip; a job that was killed after its clip was kept does not make it twice.

    Args:
        make: the method of the job's service that makes and keeps it.
    """
    kept = context.service.made_by(context.job.id)
    if kept:
        return {"render_id": kept[0].id}
    render, result = make(params, job_id=context.job.id, on_progress=told(context), work_folder=context.work_folder)
    return {"render_id": render.id, "seconds": result.seconds, "hints": list(result.hints)}


def keep_clip(
    store: OwnerStore,
    result: AnimationResult,
    poster: Path,
    engine: str,
    *,
    inputs: Mapping[str, str] | None = None,
    **about: Any,
) -> Render:
    """Put a finished clip, whose file carries its recipe, into the library.

    Args:
        result: its curves are kept where it has any.
        poster: its picture, a JPEG.
        engine: role of the engine that is said to have made it, by its recipe.
        inputs: role -> sha256, besides those that the recipe names.
        about: other fields of NewRender: title, whose it is, where it is kept.

    Raises:
        StoreError: disk full, or a refused write.
    """
    from studio.engines.media.recipe import read_recipe
    from studio.engines.media.speech_files import write_analysis

    recipe = read_recipe(result.path) or {}
    name, version = str(recipe["engines"][engine]).split(" ", 1)
    made_from = {**recipe["inputs"], **(inputs or {})}
    with store.media.keeping():
        put = store.media.put
        if result.curves is not None:
            made_from["curves"] = put(result.curves)
        if result.speech is not None:
            made_from["speech"] = put(write_analysis(result.speech, result.path.with_suffix(_SPEECH)))
        return store.renders.add(
            NewRender(
                kind="clip",
                media_sha256=put(result.path),
                thumbnail_sha256=put(poster),
                recipe=recipe,
                engine=name,
                engine_version=version,
                inputs=made_from,
                seconds=result.seconds["total"],
                width=result.width,
                height=result.height,
                duration_seconds=result.duration_seconds,
                **about,
            )
        )
