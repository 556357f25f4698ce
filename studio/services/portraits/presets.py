"""Expressions by name: built-in JSON files and a person's own.

Built-in presets are files under presets/expressions, checked against the
table of controls; a person's own are rows. The schema for editors is derived
from the same table, so that a new slider needs no second place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.domain.expression import CONTROLS, ExpressionEdit
from studio.domain.names import as_read, tidied
from studio.domain.refusal import in_a_file
from studio.engines.media.atomic import atomic_file
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.outside import json_of
from studio.services.portraits.close_up import stamp
from studio.services.portraits.prepared import Portraits

if TYPE_CHECKING:
    from studio.store import OwnerStore

KIND = "expression"
_DRAWN_SIDE = 512


class _PresetFile(BaseModel):
    """One file under presets/expressions."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_file: str = Field(default="", alias="$schema")
    title: str = Field(min_length=1, max_length=60)
    help: str = ""
    neutralise: bool = False
    values: dict[str, float]


@dataclass(frozen=True)
class ExpressionPreset:
    """One named expression; `builtin` ones cannot be changed or deleted."""

    name: str
    title: str
    edit: ExpressionEdit
    builtin: bool
    help: str = ""


def expression_schema() -> dict[str, Any]:
    """Return the JSON schema of a preset file, derived from the table of controls."""
    values = {
        c.name: {
            "type": "number",
            "minimum": c.minimum,
            "maximum": c.maximum,
            "description": f"{c.label}{f' ({c.unit})' if c.unit else ''}: {c.help}",
        }
        for c in CONTROLS
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Expression preset of Likeness Studio",
        "type": "object",
        "required": ["title", "values"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string"},
            "title": {"type": "string", "minLength": 1, "maxLength": 60},
            "help": {"type": "string"},
            "neutralise": {"type": "boolean", "description": "Start from a neutral face, not from the photo's own."},
            "values": {"type": "object", "additionalProperties": False, "properties": values},
        },
    }


def read_preset(path: Path) -> ExpressionPreset:
    """Read one built-in preset file.

    Raises:
        UserInputError: the file is no preset.
    """
    try:
        document = _PresetFile.model_validate(json_of(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as exc:
        raise in_a_file(f"The preset file {path.name}", exc) from exc
    edit = ExpressionEdit(document.values, document.neutralise)
    return ExpressionPreset(path.stem, document.title, edit, True, document.help)


class Presets:
    """Looks up and keeps expression presets."""

    def __init__(
        self, store: OwnerStore, portraits: Portraits, builtin: Path, sample: Callable[[], Path], cache: Path
    ) -> None:
        self._store = store
        self._portraits = portraits
        self._builtin_folder = builtin
        self._sample = sample
        self._cache = cache

    def list(self) -> tuple[ExpressionPreset, ...]:
        """Return built-in presets, then the person's own, each by name."""
        builtin = tuple(read_preset(path) for path in sorted(self._builtin_folder.glob("*.json")))
        return (*builtin, *(_own(p.name, p.values) for p in self._store.presets.list(KIND)))

    def get(self, name: str) -> ExpressionPreset:
        """Return one preset by name, in upper or lower case.

        Raises:
            NotFoundError: no preset has that name.
        """
        builtin = self._builtin(name)
        if builtin is not None:
            return builtin
        try:
            found = self._store.presets.get(KIND, name)
        except NotFoundError:
            names = ", ".join(p.name for p in self.list())
            raise NotFoundError(f"There is no expression preset {name!r}.", f"Presets: {names}.") from None
        return _own(found.name, found.values)

    def save(self, title: str, edit: ExpressionEdit) -> ExpressionPreset:
        """Keep an edit under a title; the title's older edit is replaced.

        Raises:
            UserInputError: no title, or an edit that moves nothing.
            ConflictError: the name belongs to a built-in preset.
        """
        title = tidied(title)
        if not as_read(title) or len(title) > 60:
            raise UserInputError("A preset needs a name of 1 to 60 letters.", "Write a short name.")
        if not any(edit.values.values()) and not edit.neutralise:
            raise UserInputError("Nothing is moved, so there is nothing to keep.", "Move a slider first.")
        if self._builtin(title) is not None:
            raise ConflictError(f"{title!r} is a built-in preset.", "Choose another name.")
        values = {"values": {n: v for n, v in edit.values.items() if v}, "neutralise": edit.neutralise}
        self._store.presets.put(KIND, title, values)
        return self.get(title)

    def delete(self, name: str) -> None:
        """Delete one of the person's own presets.

        Raises:
            ConflictError: it is built in.
            NotFoundError: no preset has that name.
        """
        if self._builtin(name) is not None:
            raise ConflictError(f"{name!r} is a built-in preset.", "Only your own presets can be deleted.")
        self._store.presets.delete(KIND, name)

    def thumbnail(self, name: str) -> Path:
        """Return a small picture of the preset on the sample portrait; drawn at first use."""
        edit = self.get(name).edit
        animator = self._portraits.engines.animator()
        said = json.dumps([dict(sorted(edit.values.items())), edit.neutralise, animator.name, animator.version])
        path = self._cache / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.jpg"
        if path.exists():
            return path
        prepared = self._portraits.prepare(self._sample(), size=_DRAWN_SIDE)
        self._cache.mkdir(parents=True, exist_ok=True)
        drawn = stamp(prepared, edit)
        with atomic_file(path) as part:
            part.write_bytes(drawn)
        return path

    def _builtin(self, name: str) -> ExpressionPreset | None:
        """Return the built-in preset of that name or title; nothing a person typed becomes a path."""
        wanted = as_read(name)
        for path in sorted(self._builtin_folder.glob("*.json")):
            if path.stem == wanted:
                return read_preset(path)
        return next(
            (p for p in map(read_preset, self._builtin_folder.glob("*.json")) if as_read(p.title) == wanted), None
        )


def _own(name: str, values: Mapping[str, Any]) -> ExpressionPreset:
    return ExpressionPreset(name, name, ExpressionEdit.from_saved(values["values"], values["neutralise"]), False)
