"""Performances as files other programs read: Live Link Face CSV, JSON. Others stand in `curves_*` modules beside.

The CSV is the exchange format of Apple's ARKit tools: 61 columns of absolute
weights and angles, so it can hold neither `own_mouth`, `lip_seal` nor `breath`,
and offsets below 0 become 0. The JSON is ours, holds everything, and comes
back bit for bit. Numbers are written as the shortest text that gives the same
float32 again. Knows nothing of how a performance is made or shown.

Convention of the angles: radians in the CSV, with our own signs (yaw to the
right of the picture, pitch up, roll clockwise are positive). Epic publishes no
unit or sign for these columns, and the app's own signs turn with the way the
phone is held; importers let people flip them.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.clip_format import curve_format_of
from studio.domain.expression import ARKIT_NAMES, INDEX, Weights
from studio.domain.performance import Performance
from studio.engines.media.atomic import atomic_file
from studio.errors import LimitExceededError, UnreadableMediaError, UserInputError
from studio.outside import json_of, text_of

FloatArray = NDArray[np.float32]

ANGLE_COLUMNS = (
    "HeadYaw", "HeadPitch", "HeadRoll",
    "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
VALUE_COLUMNS = tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES) + ANGLE_COLUMNS
HEADER = ("Timecode", "BlendShapeCount", *VALUE_COLUMNS)

EYE_YAW_DEGREES, EYE_PITCH_DEGREES = 30.0, 20.0
"""Gaze at a look weight of 1; a human eye's comfortable range, our choice (ARKit publishes none)."""

JSON_FORMAT = "likeness-studio-performance"
JSON_VERSION = 1
MAX_BYTES = 256_000_000
_TRACKS = ("own_mouth", "lip_seal", "breath")
_ANGLES = ("yaw", "pitch", "roll")
_TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d):(\d+)(?:\.(\d+))?$")
_HINT = "Export it again from Live Link Face or from this studio."


def write_curves(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write a performance in the format that the file's name asks for (see CURVE_FORMATS).

    Raises:
        UserInputError: the name ends in none of them.
        NotFoundError, StoreError: see `atomic_file`.
    """
    module, _, name = curve_format_of(Path(path)).writer.partition(":")
    written: Path = getattr(importlib.import_module(module), name)(performance, path)
    return written


def read_curves(path: str | os.PathLike[str]) -> Performance:
    """Read a performance in the format that the file's name says (see CURVE_FORMATS).

    Raises:
        UserInputError: the name ends in none of them, or it is too short to tell the frame rate.
        NotFoundError: no such file.
        UnreadableMediaError: not this format, or damaged.
    """
    module, _, name = curve_format_of(Path(path)).reader.partition(":")
    performance: Performance = getattr(importlib.import_module(module), name)(path)
    if not len(performance):
        raise UnreadableMediaError(f"{Path(path).name} holds no frame.", _HINT)
    return performance


def write_livelink_csv(performance: Performance, path: str | os.PathLike[str], *, own: Weights | None = None) -> Path:
    """Write the CSV of Apple's Live Link Face app.

    Args:
        performance: its weights, shown on a neutral face, are clamped to 0..1.
        path: the final name; its folder must exist.
        own: a photo's own fitted weights; then the absolute weights on that photo are written.  # (52,)

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    neutral = np.zeros(len(ARKIT_NAMES), np.float32) if own is None else own
    weights = np.array([performance.state(i, neutral).weights for i in range(len(performance))], np.float32)
    weights = weights.reshape(len(performance), len(ARKIT_NAMES))  # (T, 52)
    head = np.radians(performance.head_degrees.astype(np.float64)).astype(np.float32)
    values = np.hstack([weights, head, gaze_radians(weights)])  # (T, 61)
    buffer = io.StringIO(newline="")
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(HEADER)
    for frame, texts in enumerate(values.astype("U32").tolist()):
        rows.writerow([timecode(frame, performance.frame_rate_hz), len(VALUE_COLUMNS), *texts])
    return write_text(path, buffer.getvalue())


def timecode(frame: int, frame_rate_hz: float) -> str:
    """Return HH:MM:SS:FF.mmm; FF counts frames in the second, mmm is the rest of a frame in thousandths."""
    thousandths = round(frame / frame_rate_hz % 1 * frame_rate_hz * 1000)
    second = int(frame / frame_rate_hz)
    if thousandths >= round(frame_rate_hz * 1000):  # rounding reached the next second
        second, thousandths = second + 1, 0
    frames, rest = divmod(thousandths, 1000)
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{frames:02d}.{rest:03d}"


def gaze_radians(weights: FloatArray) -> FloatArray:
    """Derive both eyes' yaw, pitch and roll from the look weights.  # (T, 52) -> (T, 6)"""

    def look(direction: str, side: str) -> FloatArray:
        column: FloatArray = weights[:, INDEX[f"eyeLook{direction}{side}"]]
        return column

    yaw, pitch = np.radians(EYE_YAW_DEGREES), np.radians(EYE_PITCH_DEGREES)
    none = np.zeros(len(weights), np.float32)
    # The subject's left eye is on the right of the picture: looking out is to the right there.
    columns = [
        (look("Out", "Left") - look("In", "Left")) * yaw,
        (look("Up", "Left") - look("Down", "Left")) * pitch,
        none,
        (look("In", "Right") - look("Out", "Right")) * yaw,
        (look("Up", "Right") - look("Down", "Right")) * pitch,
        none,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def read_livelink_csv(
    path: str | os.PathLike[str], *, frame_rate_hz: float | None = None, own_mouth: float = 0.0
) -> Performance:
    """Read a CSV of Live Link Face, ours or the app's.

    Rows are put on a constant rate by their timecodes; missing frames are filled linearly.

    Args:
        path: the file.
        frame_rate_hz: of the recording; found from the timecodes where it spans a second.
        own_mouth: share of a photo's own mouth kept; captured weights are absolute, hence 0.

    Returns:
        The performance; `lip_seal` and `breath` are 0, gaze columns are not read (the look weights hold it).

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, or damaged.
        UserInputError: too short to tell the frame rate.
    """
    name = Path(path).name
    try:
        rows = _table(curve_text(path))
    except csv.Error as exc:
        raise UnreadableMediaError(f"{name} is not a table of curves.", _HINT) from exc
    header = [column.strip().lower() for column in rows[0]] if rows else []
    body = [row for row in rows[1:] if row]
    wanted = [column.lower() for column in VALUE_COLUMNS[: len(ARKIT_NAMES)]]
    if not body or "timecode" not in header or not set(wanted) <= set(header):
        raise UnreadableMediaError(f"{name} is not a Live Link Face table with its 52 weights.", _HINT)
    if any(len(row) != len(header) for row in body):
        raise UnreadableMediaError(f"{name} has rows of different length.", _HINT)
    weights = _columns(body, header, wanted, name)
    angles = [column.lower() for column in ANGLE_COLUMNS[:3]]
    has_head = set(angles) <= set(header)
    head = _columns(body, header, angles, name) if has_head else np.zeros((len(body), 3), np.float32)
    times, rate = _times([row[header.index("timecode")] for row in body], frame_rate_hz, name)
    degrees = np.degrees(head.astype(np.float64)).astype(np.float32)
    values = _regular(np.hstack([weights, degrees]), times, rate)
    none = np.zeros(len(values), np.float32)
    return Performance(rate, values[:, :52], values[:, 52:], np.full_like(none, own_mouth), none, none.copy())


def _table(text: str) -> list[list[str]]:
    """Return the rows of a table; one that a spreadsheet saved with semicolons has decimal commas."""
    if text.partition("\n")[0].count(";") < len(ARKIT_NAMES):
        return list(csv.reader(io.StringIO(text, newline="")))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    return [[cell.replace(",", ".") for cell in row] for row in rows]


def _columns(body: list[list[str]], header: list[str], names: Sequence[str], name: str) -> FloatArray:
    """Return columns as numbers.  # (T, len(names))"""
    indices = [header.index(column) for column in names]
    try:
        values = np.array([[np.float32(row[i]) for i in indices] for row in body], np.float32)
    except ValueError as exc:
        raise UnreadableMediaError(f"{name} holds values that are not numbers.", _HINT) from exc
    if not np.isfinite(values).all():
        raise UnreadableMediaError(f"{name} holds values that are not numbers.", _HINT)
    return values


def _times(codes: list[str], frame_rate_hz: float | None, name: str) -> tuple[NDArray[np.float64], float]:
    """Return each row's time in frames from the first row, and the frame rate."""
    parsed = [_TIMECODE.match(code.strip()) for code in codes]
    if not all(parsed):
        raise UnreadableMediaError(f"{name} has timecodes that are not HH:MM:SS:FF.mmm.", _HINT)
    parts = [match.groups(default="0") for match in parsed if match]
    seconds = np.array([int(h) * 3600 + int(m) * 60 + int(s) for h, m, s, _, _ in parts], np.float64)
    frames = np.array([float(f"{frame}.{rest}") for *_, frame, rest in parts], np.float64)
    if frame_rate_hz is None:
        if seconds[-1] == seconds[0]:
            raise UserInputError(
                f"{name} is too short to tell its frame rate.", "Use a recording of more than a second."
            )
        # The frame counter starts again each second, so its highest value tells the rate.
        ceiling = int(frames[seconds < seconds[-1]].max()) + 1
        frame_rate_hz = float(min((24, 25, 30, 48, 50, 60), key=lambda rate: (rate < ceiling, abs(rate - ceiling))))
    at = seconds * frame_rate_hz + frames
    at -= at[0]
    if (np.diff(at) < 0).any():
        raise UnreadableMediaError(f"{name} has timecodes that run backwards.", _HINT)
    return at, frame_rate_hz


def _regular(values: FloatArray, at: NDArray[np.float64], frame_rate_hz: float) -> FloatArray:
    """Put rows at the times `at` (in frames) on whole frames; a table that is there already is kept bit for bit."""
    whole = np.arange(len(values), dtype=np.float64)
    if np.abs(at - whole).max() < 0.01:
        return values
    frames = round(at[-1]) + 1
    if frames > 3600 * frame_rate_hz:
        raise LimitExceededError("The curves are longer than an hour.", "Trim them to the part needed.")
    grid = np.arange(frames, dtype=np.float64)
    return np.stack([np.interp(grid, at, values[:, i]) for i in range(values.shape[1])], axis=1).astype(np.float32)


def write_json(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write every channel of a performance; `read_json` gives the same bits back.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    document = {
        "format": JSON_FORMAT,
        "schema_version": JSON_VERSION,
        "frame_rate_hz": performance.frame_rate_hz,
        "frames": len(performance),
        "weights": {name: _shortest(performance.weights[:, i]) for i, name in enumerate(ARKIT_NAMES)},
        "head_degrees": {name: _shortest(performance.head_degrees[:, i]) for i, name in enumerate(_ANGLES)},
        **{name: _shortest(getattr(performance, name)) for name in _TRACKS},
    }
    return write_text(path, json.dumps(document, allow_nan=False) + "\n")


def _shortest(values: FloatArray) -> list[float]:
    """Return numbers whose text is the shortest that gives the same float32."""
    return [float(text) for text in values.astype(np.float32).astype("U32").tolist()]


def read_json(path: str | os.PathLike[str]) -> Performance:
    """Read a performance written by `write_json`.

    Returns:
        The performance; weights that are not named are 0.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, damaged, or made by a newer studio.
    """
    name = Path(path).name
    try:
        document = json_of(curve_text(path))
    except (ValueError, RecursionError) as exc:
        raise UnreadableMediaError(f"{name} is not JSON.", "Use a file of curves made by this studio.") from exc
    if not isinstance(document, dict) or document.get("format") != JSON_FORMAT:
        raise UnreadableMediaError(f"{name} holds no performance.", "Use a file of curves made by this studio.")
    version = document.get("schema_version")
    if not isinstance(version, int) or version > JSON_VERSION:
        raise UnreadableMediaError(f"{name} was made by a newer studio.", "Update this studio.")
    return _performance(document, name)


def _performance(document: dict[str, Any], name: str) -> Performance:
    """Build the performance from a checked document."""
    try:
        frames, rate = int(document["frames"]), float(document["frame_rate_hz"])
        named = document["weights"]
        unknown = sorted(set(named) - set(ARKIT_NAMES))
        if unknown:
            raise UnreadableMediaError(f"{name} has an unknown weight {unknown[0]!r}.", "Use ARKit's names.")
        if not 1.0 <= rate <= 240.0:
            raise UnreadableMediaError(f"{name} has a frame rate of {rate:g} per second.", "Use 1 to 240.")
        none = [0.0] * frames
        weights = np.array([named.get(key, none) for key in ARKIT_NAMES], np.float32).reshape(-1, frames).T
        head = np.array([document["head_degrees"][key] for key in _ANGLES], np.float32).reshape(-1, frames).T
        tracks = {key: np.array(document[key], np.float32) for key in _TRACKS}
        return Performance(rate, np.ascontiguousarray(weights), np.ascontiguousarray(head), **tracks)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise UnreadableMediaError(f"{name} is damaged: {exc}.", "Use the original file.") from exc


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text whole or not at all."""
    final = Path(path)
    with atomic_file(final) as part:
        part.write_bytes(text.encode("utf-8"))
    return final


def curve_text(path: str | os.PathLike[str]) -> str:
    """Read a text file of bounded size."""
    return text_of(path, most_bytes=MAX_BYTES)
