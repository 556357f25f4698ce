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
the screen; the hint says what to do about it.
"""

from __future__ import annotations

LONGEST_SENTENCE = 300


def in_brief(text: str) -> str:
    """Cut out the middle of a sentence that repeats something endless which somebody sent."""
    if len(text) <= LONGEST_SENTENCE:
        return text
    return f"{text[: LONGEST_SENTENCE // 2]} … {text[-LONGEST_SENTENCE // 2 :]}"


class StudioError(Exception):
    """An error shown to the person as it is: `message` and, beneath it, `hint`."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

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
