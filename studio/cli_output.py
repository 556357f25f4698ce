"""What a command prints: text for a person, or one JSON object for a program.

With --json stdout carries exactly one JSON object, also for an error; logs and
progress go to stderr. Pixels and landmarks are left out of JSON: they are
numbers nobody reads.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.names import as_text, legible
from studio.errors import StudioError, in_brief


def json_value(value: Any) -> Any:
    """Turn values of the domain into JSON values; arrays of more than 128 numbers become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: json_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):  # pydantic's models, without importing pydantic for `--help`
        return dump(mode="json")
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, Mapping):
        return {as_text(str(k)): json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return as_text(str(value))
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 128 else None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return None
    return value


def spell_out_unprintable() -> None:
    """Write letters that a console has no place for as their numbers: what was done is done, and is no bug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _legacy_console() -> bool:
    """Say whether stdout cannot print every letter; JSON then spells them out in its own way."""
    return "utf" not in (sys.stdout.encoding or "").lower()


class Output:
    """Where one command prints to."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, value: Any, text: str) -> None:
        """Print the command's result in the form that was asked for."""
        if self.as_json:
            value = json_value(value)
            print(json.dumps(value if isinstance(value, dict) else {"items": value}, ensure_ascii=_legacy_console()))
        else:
            print(text)

    def error(self, error: StudioError) -> None:
        """Print an error: one sentence and a hint, without a traceback."""
        if self.as_json:
            body = {"type": type(error).__name__, "message": in_brief(error.message), "hint": in_brief(error.hint)}
            print(json.dumps(json_value({"error": body}), ensure_ascii=_legacy_console()))
        # Names of files stand in sentences: what they hold besides letters neither breaks nor colors a console.
        print(f"Error: {in_brief(legible(error.message))}", file=sys.stderr)
        if error.hint:
            print(f"  {in_brief(legible(error.hint))}", file=sys.stderr)

    def stopped(self, sentence: str) -> None:
        """Say what a person ended with Ctrl-C; as JSON too."""
        if self.as_json:
            print(json.dumps({"error": {"type": "Stopped", "message": sentence, "hint": ""}}))
        print(sentence, file=sys.stderr)

    def progress(self, fraction: float, stage: str, seconds_left: float | None = None) -> None:
        """Show how far a long command is: one line on stderr, rewritten on a terminal."""
        if not sys.stderr.isatty():
            return
        left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
        end = "\n" if fraction >= 1 else ""
        print(f"\r{fraction:4.0%} {stage}{left}\x1b[K", end=end, file=sys.stderr, flush=True)
