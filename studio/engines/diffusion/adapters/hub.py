"""Putting files into a repository of one's own on the model hub.

A repository is private unless somebody says otherwise, all files go in one
commit, and the token is handed on and kept nowhere. The studio's process is
otherwise offline; the switch is turned for the length of one call.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.errors import EngineError, EngineUnavailableError, UserInputError

_REPOSITORY = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}")
_TRUE = {"1", "on", "true", "yes"}


def check_push(repository: str, token: str, *, offline: bool = False) -> None:
    """Refuse what no push can do, before anything is made ready for it.

    Raises:
        UserInputError: offline, no token, or no such name.
    """
    if offline or os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in _TRUE:
        raise UserInputError("Nothing can be pushed: the studio is set to offline.", "Turn the setting off first.")
    if not token.strip():
        raise UserInputError(
            "Pushing needs a token with the right to write.", "Make one in the settings of your account on the hub."
        )
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UserInputError(f"{repository!r} is no name of a repository.", "Write it as owner/name.")


def push_files(
    repository: str,
    files: Mapping[str, Path | bytes],
    *,
    token: str,
    private: bool = True,
    message: str = "Add adapter",
    endpoint: str | None = None,
    offline: bool = False,
) -> str:
    """Create the repository if need be and put the files into it, in one commit.

    Args:
        repository: "owner/name".
        files: name in the repository -> file or bytes.
        token: with the right to write.
        private: of a new repository; an existing one stays as it is.
        endpoint: base address; default HF_ENDPOINT, else the hub.
        offline: the studio's setting.

    Returns:
        The address of the repository.

    Raises:
        UserInputError: offline, no token, no such name, or the hub refuses the token.
        EngineError: the hub cannot be reached or refuses.
        EngineUnavailableError: huggingface_hub is not installed.
    """
    check_push(repository, token, offline=offline)
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]
    except ImportError as exc:
        raise EngineUnavailableError(
            f"Nothing can be pushed: {exc.name} is not installed.", "pip install huggingface_hub"
        ) from exc
    # The library has changed its HTTP client before; errors of a broken line are the client's own.
    client: Any = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    api = HfApi(endpoint=endpoint, token=token)
    operations = [CommitOperationAdd(name, content) for name, content in sorted(files.items())]
    try:
        with _online():
            url = api.create_repo(repository, private=private, exist_ok=True)
            api.create_commit(repository, operations, commit_message=message)
    except HfHubHTTPError as exc:
        status = exc.response.status_code if exc.response is not None else 0
        if status in (401, 403):
            raise UserInputError(
                f"The hub refused to write to {repository}.", "Check the token's rights and the repository's owner."
            ) from exc
        raise EngineError(f"The hub refused the files ({status}).", "Try again later.") from exc
    except HFValidationError as exc:
        raise UserInputError(f"{repository!r} is no name of a repository.", "Write it as owner/name.") from exc
    except (client.HTTPError, OSError) as exc:
        raise EngineError(
            "The hub cannot be reached.", "Check the connection; nothing was changed here, and pushing again is safe."
        ) from exc
    except RuntimeError as exc:  # so the library calls a file whose upload broke off
        raise EngineError(f"The hub did not take every file: {exc}", "Push again; what is there is kept.") from exc
    return str(url)


@contextmanager
def _online() -> Iterator[None]:
    """Let the hub's library use the network for a while, quietly."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before, quiet = constants.HF_HUB_OFFLINE, are_progress_bars_disabled()
    constants.HF_HUB_OFFLINE = False
    disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        if not quiet:
            enable_progress_bars()
