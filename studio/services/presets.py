"""Expressions by name: built-in JSON files and a person's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.domain.expression import ExpressionEdit


@dataclass(frozen=True)
class ExpressionPreset:
    """One named expression; `builtin` ones cannot be changed or deleted."""

    name: str
    title: str
    edit: ExpressionEdit
    builtin: bool
    help: str = ""


class Presets:
    """Looks up and keeps expression presets."""

    def list(self) -> tuple[ExpressionPreset, ...]:
        """Return built-in presets, then the person's own by name."""
        raise NotImplementedError

    def get(self, name: str) -> ExpressionPreset:
        """Return one preset.

        Raises:
            NotFoundError: no preset has that name.
        """
        raise NotImplementedError

    def save(self, title: str, edit: ExpressionEdit) -> ExpressionPreset:
        """Keep an edit under a title.

        Raises:
            ConflictError: the name belongs to a built-in preset.
        """
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """Delete one of the person's own presets."""
        raise NotImplementedError

    def thumbnail(self, name: str) -> Path:
        """Return a small picture of the preset on the sample portrait; drawn at first use."""
        raise NotImplementedError
