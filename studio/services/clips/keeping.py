"""Puts finished clips into the library, whoever made them: the file, its poster, its curves, what is said in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.render import NewRender, Render
from studio.services.clips.making import AnimationResult

if TYPE_CHECKING:
    from studio.store import OwnerStore


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
            made_from["speech"] = put(write_analysis(result.speech, result.path.with_suffix(".speech.json")))
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
