"""Every error the studio raises on purpose, as one tree.

    StudioError
    ├── UserInputError            the person can mend it            exit 2
    │   ├── NoFaceError
    │   ├── SeveralFacesError
    │   ├── UnreadableMediaError
    │   ├── LimitExceededError
    │   └── ConsentMissingError
    ├── NotFoundError             no such row or file               exit 3
    ├── ConflictError             somebody else got there first     exit 2
    ├── StoreError                database or disk                  exit 4
    ├── EngineError               an engine could not do its work   exit 4
    │   ├── EngineUnavailableError
    │   └── OutOfMemoryError
    └── JobError                  a job ended badly                 exit 4

`JobCancelled` is control flow and stands outside the tree, so that no
`except StudioError` swallows it. A message is one sentence for the person at
the screen; the hint says what to do about it. What helps at the console is of
no use in the window: where the two differ, whoever raises says both, and each
front door shows its own.
"""

from __future__ import annotations

from typing import NamedTuple

LONGEST_SENTENCE = 300
INSTALL_AGAIN = "A file of the studio itself is missing or damaged: install the studio again."
"""What helps in the window where the console can build the file anew."""


class Told(NamedTuple):
    """What one front door shows of an error: a sentence, and what to do about it there."""

    message: str
    hint: str = ""


def in_brief(text: str) -> str:
    """Cut out the middle of a sentence that repeats something endless which somebody sent."""
    if len(text) <= LONGEST_SENTENCE:
        return text
    return f"{text[: LONGEST_SENTENCE // 2]} … {text[-LONGEST_SENTENCE // 2 :]}"


class StudioError(Exception):
    """An error shown to the person as it is: `message` and, beneath it, `hint`.

    Attributes:
        message, hint: for the command line and for programs; they may name commands and ids.
        in_window: for the page, which has tabs and buttons instead.
    """

    exit_code = 1

    def __init__(
        self, message: str, hint: str = "", *, window: str | None = None, window_message: str | None = None
    ) -> None:
        """Say what is wrong.

        Args:
            window: the hint in the window; None where `hint` helps there too.
            window_message: the sentence in the window; None where `message` is understood there too.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.in_window = Told(message if window_message is None else window_message, hint if window is None else window)

    def about(self, name: str) -> None:
        """Let the sentence say which file it is about."""
        self.message, at_window = (f"{name}: {m[0].lower()}{m[1:]}" for m in (self.message, self.in_window.message))
        self.in_window = Told(at_window, self.in_window.hint)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserInputError(StudioError):
    """Something the person gave cannot be used."""

    exit_code = 2


class NoFaceError(UserInputError):
    """No face was found in the picture."""


class SeveralFacesError(UserInputError):
    """The picture has several faces and nobody said which one is meant."""


class UnreadableMediaError(UserInputError):
    """A picture, sound or video that cannot be decoded."""


class LimitExceededError(UserInputError):
    """Too large, too long, too many."""


class FormatLacksPlaceError(UserInputError):
    """A file format has no place for what an adapter is made of; another one has."""


class ConsentMissingError(UserInputError):
    """The action needs the consent of the person shown."""


class NotFoundError(StudioError):
    """A row or file that does not exist, or not for this owner."""

    exit_code = 3

    @classmethod
    def row(cls, noun: str, id: str, listing: str) -> NotFoundError:
        """Return what is said of an id that names nothing.

        Args:
            noun: what it should be, e.g. "training run".
            id: as it was given; the window, where nobody types ids, does not repeat it.
            listing: what shows those that are there, e.g. "`studio runs list`", or words.
        """
        return cls(
            f"There is no {noun} {id!r}.",
            f"It may have been deleted; {listing} shows what is there.",
            window_message=f"That {noun} is not there any more.",
            window="It may have been deleted in another window; open the tab again.",
        )


class ConflictError(StudioError):
    """The row changed, or the name is taken."""

    exit_code = 2


class StoreError(StudioError):
    """The database or the disk refused."""

    exit_code = 4


class EngineError(StudioError):
    """An engine could not do its work."""

    exit_code = 4


class EngineUnavailableError(EngineError):
    """The engine's libraries or model files are not installed."""


class OutOfMemoryError(EngineError):
    """The engine ran out of memory."""


class JobError(StudioError):
    """A job ended badly."""

    exit_code = 4


class JobCancelled(Exception):
    """Raised inside a job's run() when the person asked it to stop."""
