"""Performances as a NumPy archive: every array of the value under its name, and nothing that runs when it is read."""

from __future__ import annotations

import os
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from studio.domain.expression import ARKIT_NAMES
from studio.domain.performance import Performance
from studio.engines.media.atomic import atomic_file
from studio.engines.media.curves import MAX_BYTES
from studio.errors import UnreadableMediaError
from studio.outside import plain_file, zip_of

_HINT = "Use an archive of curves made by this studio."
_ARRAYS = tuple(f.name for f in fields(Performance) if f.name != "frame_rate_hz")


def write_npz(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write every array, the rate, and the weights' names; `read_npz` gives the same bits back.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    final = Path(path)
    arrays = {name: getattr(performance, name) for name in _ARRAYS}
    with atomic_file(final) as part, part.open("wb") as file:
        np.savez_compressed(
            file, frame_rate_hz=np.float64(performance.frame_rate_hz), names=np.array(ARKIT_NAMES), **arrays
        )
    return final


def read_npz(path: str | os.PathLike[str]) -> Performance:
    """Read an archive written by `write_npz`; pickles are never read.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, or damaged.
    """
    file = plain_file(Path(path))
    try:
        with zip_of(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise UnreadableMediaError(f"{file.name} unpacks to more than {MAX_BYTES / 1e6:.0f} MB.", _HINT)
        with np.load(file, allow_pickle=False) as found:
            if tuple(found["names"].tolist()) != ARKIT_NAMES:
                raise ValueError("its weights are not ARKit's 52")
            arrays = {name: np.asarray(found[name], np.float32) for name in _ARRAYS}
            return Performance(float(found["frame_rate_hz"]), **arrays)
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as exc:
        raise UnreadableMediaError(f"{file.name} holds no performance: {exc}.", _HINT) from exc
