"""The wall between handlers and the person: errors become one sentence and a hint.

A StudioError is shown as it is; anything else is a bug, is logged with its
traceback and shown as one sentence. A traceback never reaches the page. The
page's own events keep what they had on the screen; calls from outside (the
API) get the sentence as an error.
"""

from __future__ import annotations

import functools
import html
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from studio.errors import EngineError, JobError, StoreError, StudioError, in_brief
from studio.outside import of_disk

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])

BUG = "Something went wrong inside the studio."
BUG_HINT = "Nothing was lost; the log says more. Try again, or restart the studio."


def sentence(error: BaseException) -> tuple[str, str]:
    """Return what to tell the person, and what to do about it."""
    said = error if isinstance(error, StudioError) else of_disk(error)
    return (BUG, BUG_HINT) if said is None else (in_brief(said.message), in_brief(said.hint))


def tell(error: BaseException) -> None:
    """Show an error as a notice in the corner of the page."""
    message, hint = sentence(error)
    body = html.escape(message) + (f"<br><small>{html.escape(hint)}</small>" if hint else "")
    hard = not isinstance(error, StudioError) or isinstance(error, EngineError | StoreError | JobError)
    gr.Warning(body, duration=12, title="That did not work" if hard else "Please check")


def _record(error: BaseException, name: str) -> None:
    if isinstance(error, StudioError):
        log.info("%s: %s", name, error)
    else:
        log.error("%s failed", name, exc_info=error)


def _or_nothing(answer: Any) -> Any:
    """Return a handler's answer; no updates at all are gradio's `skip`, which does not know an empty dictionary."""
    return gr.skip() if isinstance(answer, dict) and not answer else answer


def guarded(function: F) -> F:
    """Let a handler of the page fail softly: a notice, and the page stays as it is.

    A generator stops at the failure and keeps what it has yielded so far.
    """
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            try:
                yield from function(*args, **kwargs)
            except Exception as error:
                _record(error, function.__qualname__)
                tell(error)
                yield gr.skip()

        return steps  # type: ignore[return-value]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return _or_nothing(function(*args, **kwargs))
        except Exception as error:
            _record(error, function.__qualname__)
            tell(error)
            return gr.skip()

    return call  # type: ignore[return-value]


def unasked(function: F) -> F:
    """Let a handler that nobody called (a timer's) fail without a word on the page; the log has it."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return _or_nothing(function(*args, **kwargs))
        except Exception as error:
            _record(error, function.__qualname__)
            return gr.skip()

    return call  # type: ignore[return-value]


def answered(function: F) -> F:
    """Let an API function fail with one sentence and a hint instead of a traceback."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            _record(error, function.__qualname__)
            message, hint = sentence(error)
            raise gr.Error(f"{message} {hint}".strip(), print_exception=False) from error

    return call  # type: ignore[return-value]
