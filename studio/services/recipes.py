"""The recipe of a render: everything needed to make it once more, as JSON values.

It stands in the render's row and in the file's own metadata. Inputs are named
by sha256, never by path; engines by name and version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import studio
from studio.errors import UserInputError

FORMAT = "likeness-studio-recipe"
VERSION = 1


def new_recipe(
    kind: str, request: Mapping[str, Any], engines: Mapping[str, str], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """Return a recipe.

    Args:
        kind: "image" or "clip".
        request: the whole request, sources as sha256.
        engines: role -> "name version".
        inputs: role -> sha256.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "studio": studio.__version__,
        "kind": kind,
        "request": dict(request),
        "engines": dict(engines),
        "inputs": dict(inputs),
    }


def checked(recipe: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return a recipe that this studio understands.

    Raises:
        UserInputError: there is none, or it is a newer studio's.
    """
    if recipe is None or recipe.get("format") != FORMAT:
        raise UserInputError(f"{name} carries no recipe of this studio.", "Choose a file that the studio exported.")
    if not isinstance(recipe.get("version"), int) or recipe["version"] > VERSION:
        raise UserInputError(f"{name} was made by a newer studio.", "Update this studio.")
    return dict(recipe)
