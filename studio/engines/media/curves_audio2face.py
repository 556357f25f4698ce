"""Performances as Audio2Face writes them: a matrix of named weights in JSON.

It holds weights only: head, breath and the studio's own tracks are lost. Names
are ARKit's, in any case; poses that are not among them are passed over, and
weights that are not named are 0. Source: the keys that Audio2Face's blendshape
export has (exportFps, numPoses, numFrames, facsNames, weightMat).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import curve_text, read_json, write_text
from studio.errors import UnreadableMediaError
from studio.outside import json_of

_HINT = "Export it again from Audio2Face, as blendshape weights in JSON."


def write_audio2face(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write the weights, held within 0..1 as on a neutral face.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    weights = np.clip(performance.weights, 0.0, 1.0)
    document = {
        "exportFps": performance.frame_rate_hz,
        "trackPath": "",
        "numPoses": len(ARKIT_NAMES),
        "numFrames": len(performance),
        "facsNames": list(ARKIT_NAMES),
        "weightMat": [[float(text) for text in row] for row in weights.astype("U32").tolist()],
    }
    return write_text(path, json.dumps(document, allow_nan=False) + "\n")


def read_audio2face(path: str | os.PathLike[str]) -> Performance:
    """Read an export of Audio2Face.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, or damaged.
    """
    name = Path(path).name
    try:
        document = json_of(curve_text(path))
    except (ValueError, RecursionError) as exc:
        raise UnreadableMediaError(f"{name} is not JSON.", _HINT) from exc
    if not isinstance(document, dict) or "weightMat" not in document:
        raise UnreadableMediaError(f"{name} holds no weights of Audio2Face.", _HINT)
    return _performance(document, name)


def read_any_json(path: str | os.PathLike[str]) -> Performance:
    """Read the studio's own JSON or an export of Audio2Face, which calls its files .json, too.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: neither of them, or damaged.
    """
    return read_audio2face(path) if '"weightMat"' in curve_text(path) else read_json(path)


def _performance(document: dict[str, Any], name: str) -> Performance:
    """Return the performance of a document that was read.

    Raises:
        UnreadableMediaError: damaged.
    """
    columns = {arkit.lower(): i for arkit, i in INDEX.items()}
    try:
        rate, poses = float(document["exportFps"]), [str(p).lower() for p in document["facsNames"]]
        given = np.array(document["weightMat"], np.float32)
        if given.ndim != 2 or given.shape[1] != len(poses) or not 1.0 <= rate <= 240.0:
            raise ValueError("the numbers do not fit the names")
        known = [(i, columns[pose]) for i, pose in enumerate(poses) if pose in columns]
        if not known:
            raise ValueError("none of its poses has a name of ARKit")
        weights = np.zeros((len(given), len(ARKIT_NAMES)), np.float32)
        weights[:, [to for _, to in known]] = given[:, [i for i, _ in known]]
        none = np.zeros(len(given), np.float32)
        return Performance(rate, weights, np.zeros((len(given), 3), np.float32), none, none.copy(), none.copy())
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise UnreadableMediaError(f"{name} is damaged: {exc}.", _HINT) from exc
