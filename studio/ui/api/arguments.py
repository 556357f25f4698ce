"""What a program sends to the stable API, checked before anything is done with it.

The types in a function's signature are the promise; what does not fit them is
said in one sentence that names the argument. What is inside of a dictionary is
checked where it is read.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from studio.domain.refusal import refusal
from studio.errors import UserInputError

MOST_LEVELS = 20
LARGEST_INTEGER = 2**63 - 1
"""SQLite's own, and numpy's."""


class PortraitArgument(BaseModel):
    """{"photo_id" | "file", "face_index"?, "size"?}."""

    model_config = ConfigDict(frozen=True)

    photo_id: str | None = None
    file: Any = None
    face_index: int | None = None
    size: int | None = None


def portrait(given: Any, name: str = "portrait") -> PortraitArgument:
    """Return a portrait's fields.

    Raises:
        UserInputError: it is no object of them.
    """
    return _fitting(TypeAdapter(PortraitArgument), given, name)  # type: ignore[no-any-return]


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function see only arguments that fit its signature.

    Raises:
        UserInputError: (the function it returns) an argument does not fit.
    """
    hints = get_type_hints(function)
    adapters = {name: TypeAdapter(hint) for name, hint in hints.items() if name != "return"}
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name, value in given.items():
            _refuse_odd(value, name)
        return function(**{name: _fitting(adapters[name], value, name) for name, value in given.items()})

    return call


def _fitting(adapter: TypeAdapter[Any], value: Any, name: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as exc:
        raise refusal(exc, name, "The API's description says what each argument is.") from None


def _refuse_odd(value: Any, name: str, level: int = 0) -> None:
    """Refuse values that JSON can carry and neither a database nor a file system can.

    Raises:
        UserInputError: half a character, a zero character, a huge number, or too many levels.
    """
    odd = level > MOST_LEVELS
    if isinstance(value, str):
        odd = odd or "\0" in value or any("\ud800" <= c <= "\udfff" for c in value)
    elif isinstance(value, int):
        odd = odd or abs(value) > LARGEST_INTEGER
    elif isinstance(value, Mapping) and not odd:
        for key, inner in value.items():
            _refuse_odd(str(key), name, level + 1)
            _refuse_odd(inner, name, level + 1)
    elif isinstance(value, list | tuple) and not odd:
        for inner in value:
            _refuse_odd(inner, name, level + 1)
    if odd:
        raise UserInputError(
            f"The argument {name} holds something that cannot be kept.", "Send plain text and usual numbers."
        )
