"""The files that a fitted head can become: one row each, and all that others know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from studio.domain.clip_format import format_of


@dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """One kind of file for a head in three dimensions.

    Attributes:
        title: as a button shows it.
        words: what is in the file, for the README and the command line.
        suffix: of the file, with its dot.
        moves: whether expressions, and a performance, are in it; else it is the head in one state.
        writer: "module:function" that writes it: (model, path, performance=..., weights=...).
    """

    name: str
    title: str
    words: str
    suffix: str
    moves: bool
    writer: str


MODEL_FORMATS: Mapping[str, ModelFormat] = {
    row.name: row
    for row in (
        ModelFormat(
            name="glb", title="glTF", words="glTF 2.0 (textured head, 52 named morph targets, the clip's motion)",
            suffix=".glb", moves=True, writer="studio.engines.media.model_gltf:write_glb",
        ),
        ModelFormat(
            name="obj", title="OBJ", words="OBJ with material and textures, zipped", suffix=".obj.zip", moves=False,
            writer="studio.engines.media.model_meshes:write_obj",
        ),
        ModelFormat(
            name="ply", title="PLY", words="PLY with a color for every vertex", suffix=".ply", moves=False,
            writer="studio.engines.media.model_meshes:write_ply",
        ),
    )
}  # fmt: skip


def model_format_of(file_name: PurePath) -> ModelFormat:
    """Return the format that a file name asks for.

    Raises:
        UserInputError: it ends in none of them.
    """
    return format_of(file_name, MODEL_FORMATS, "no format for a head")
