"""The wall between handlers and the person: errors become one sentence and a hint.

A StudioError is shown in the words that it has for the window; anything else is
a bug, is logged with its traceback and shown as one sentence. A traceback never reaches the page. The
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

from studio.errors import StudioError, in_brief
from studio.outside import of_disk

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])

BUG = "Something went wrong inside the studio."
BUG_HINT = "Nothing was lost; the log says more. Try again, or restart the studio."


def sentence(error: BaseException) -> tuple[str, str]:
    """Return what to tell the person on the page, and what to do about it there."""
    said = error if isinstance(error, StudioError) else of_disk(error)
    if said is None:
        return BUG, BUG_HINT
    return in_brief(said.in_window.message), in_brief(said.in_window.hint)


def told_outside(error: BaseException) -> tuple[str, str]:
    """Return what to tell a program that called the API: as the command line says it, ids and all."""
    said = error if isinstance(error, StudioError) else of_disk(error)
    return (BUG, BUG_HINT) if said is None else (in_brief(said.message), in_brief(said.hint))


def tell(error: BaseException) -> None:
    """Show an error as a notice in the corner of the page."""
    message, hint = sentence(error)
    body = html.escape(message) + (f"<br><small>{html.escape(hint)}</small>" if hint else "")
    gr.Warning(body, duration=12)


def say(message: str, seconds: float) -> None:
    """Show a notice for so long. It has no title, since Gradio shows none: the message says all of it."""
    gr.Info(html.escape(message), duration=seconds)


def warn(message: str, seconds: float) -> None:
    """Show a notice of what did not come out as asked, for so long."""
    gr.Warning(html.escape(message), duration=seconds)


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
            message, hint = told_outside(error)
            raise gr.Error(f"{message} {hint}".strip(), print_exception=False) from error

    return call  # type: ignore[return-value]
