"""Cards: files of presets that describe one thing each under its own name, such as a base model or a motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from studio.domain.refusal import in_a_file
from studio.errors import UserInputError
from studio.outside import json_of

Card = TypeVar("Card", bound=BaseModel)


def card_schema(kind: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON schema of a kind of card, derived from its model."""
    schema = kind.model_json_schema()
    schema["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def read_card(path: Path, kind: type[Card], what: str) -> Card:
    """Read one card.

    Args:
        path: a JSON file.
        kind: the model of such cards; has a `name`.
        what: how the file is called in sentences, such as "base model card".

    Raises:
        UserInputError: it is no such card, or carries another name than its file.
    """
    try:
        document = json_of(path.read_text(encoding="utf-8"))
        card = kind.model_validate({k: v for k, v in document.items() if k != "$schema"})
    except (OSError, ValueError, AttributeError, ValidationError) as exc:
        raise in_a_file(f"The {what} {path.name}", exc) from exc
    name = card.model_dump()["name"]
    if name != path.stem:
        raise UserInputError(f"The card {path.name} names itself {name!r}.", f"Name the file {name}.json.")
    return card
