"""What a check of pydantic refuses, in one sentence of ours.

Requests, plans, parameters of jobs and arguments of the API are all checked by
pydantic, whose own words are for programmers ("Input should be a valid integer,
unable to parse string as an integer").
"""

from __future__ import annotations

from pydantic import ValidationError

from studio.errors import UserInputError

HINT = "Change it and try again."
_SENTENCES = {
    "greater_than_equal": "{where} is {input}, but must be at least {ge}.",
    "greater_than": "{where} is {input}, but must be more than {gt}.",
    "less_than_equal": "{where} is {input}, but must be at most {le}.",
    "less_than": "{where} is {input}, but must be less than {lt}.",
    "string_too_short": "{where} must have at least {min_length} letters.",
    "string_too_long": "{where} may have at most {max_length} letters.",
    "too_short": "{where} must have at least {min_length} entries.",
    "too_long": "{where} may have at most {max_length} entries.",
    "literal_error": "{where} is {input}, but must be {expected}.",
    "missing": "{where} is missing.",
    "extra_forbidden": "There is nothing called {where}.",
    "unexpected_keyword_argument": "There is nothing called {where}.",
}
"""By the name of a check; {where} is the field."""
_KINDS = {
    "int": "a whole number", "float": "a number", "finite": "a number", "decimal": "a number", "bool": "yes or no",
    "string": "a text", "list": "a list", "tuple": "a list", "set": "a list", "dict": "names with values",
    "mapping": "names with values", "model": "names with values", "dataclass": "names with values",
    "none": "left out", "path": "the place of a file",
}  # fmt: skip
"""What a value must be, by the first word of a check of its type ("int_parsing", "model_type")."""
_LONGEST_INPUT = 40


def refusal(exc: ValidationError, inside: str = "", hint: str = HINT) -> UserInputError:
    """Put the first value that cannot be used into one sentence.

    Args:
        inside: what the value is part of, such as the name of an argument; stands before its place.
    """
    first = exc.errors(include_url=False)[0]
    where, kind = place((inside, *first["loc"])), first["type"]
    if kind in ("value_error", "assertion_error"):  # said by a check of ours
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return UserInputError(f"{where}: {reason}." if where else f"{reason[0].upper()}{reason[1:]}.", hint)
    given = repr(first.get("input"))
    given = given if len(given) <= _LONGEST_INPUT else given[:_LONGEST_INPUT] + "…"
    must = _KINDS.get(kind.partition("_")[0])
    usual = f"{{where}} is {{input}}, but must be {must}." if must else "{where} is {input}, which cannot be used."
    said = {"where": where or "The value", "input": given, **(first.get("ctx") or {})}
    return UserInputError(_SENTENCES.get(kind, usual).format_map(said), hint)


def in_a_file(what: str, exc: Exception, hint: str = "Mend or delete the file.") -> UserInputError:
    """Say what is wrong with a file of ours that a person may have changed.

    Args:
        what: the file, as "The preset file joy.json".
        exc: what reading it as text, as JSON or as that kind of file raised.
    """
    if isinstance(exc, ValidationError):
        return UserInputError(f"{what} cannot be used: {refusal(exc).message}", hint)
    return UserInputError(f"{what} cannot be read: {exc}.", hint, window_message=f"{what} cannot be read.")


def place(parts: tuple[int | str, ...]) -> str:
    """Return where a value stands, as a person names it: "amounts.head"; the number in a list is left out."""
    return ".".join(part[:_LONGEST_INPUT] for part in parts if isinstance(part, str) and part)
