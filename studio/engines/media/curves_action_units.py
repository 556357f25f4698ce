"""Performances as a table of FACS action units over time, named as OpenFace names them (`AU12_r`, 0 to 5).

One column for each unit, which is what other programs read, then one for each
side that a unit has, and the head's turns in degrees. What no unit is
(`NOT_COVERED` of `domain.action_units`), breath and the studio's own tracks are
lost; all other weights, held within 0..1 as on a neutral face, come back within
a thousandth. A table of OpenFace, which has units alone, moves both sides alike;
its head and gaze are measured from a camera and are not read.
"""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.domain.action_units import MIXED, MOST, TRACKS, UNITS, by_unit, intensities, tracks_of, weights_of
from studio.domain.performance import Performance
from studio.engines.media.curves import curve_text, write_text
from studio.errors import LimitExceededError, UnreadableMediaError, UserInputError

_HEAD = ("head_yaw_degrees", "head_pitch_degrees", "head_roll_degrees")
_SCORE = re.compile(r"AU(\d+)([LRTB]?)_r", re.IGNORECASE)
_MOST_SECONDS = 3600.0
_HINT = "Export it again as a table of action units: a timestamp, and columns such as AU12_r from 0 to 5."


def unit_column(code: str) -> str:
    """Return the name of a unit's or a track's column: "AU1" is "AU01_r"."""
    found = re.fullmatch(r"AU(\d+)([LRTB]?)", code)
    assert found is not None
    return f"AU{int(found[1]):02d}{found[2]}_r"


def write_action_units(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write the units that a performance shows.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    scores = intensities(performance.weights)
    sided = [i for i, track in enumerate(TRACKS) if len(track.unit.tracks) > 1]
    header = [unit_column(unit.code) for unit in UNITS] + [unit_column(TRACKS[i].code) for i in sided]
    values = np.hstack([by_unit(scores), scores[:, sided]])  # (T, N)
    buffer = io.StringIO(newline="")
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["frame", "timestamp", *header, *_HEAD])
    for i, row in enumerate(values):
        turns = [f"{v:.4f}" for v in performance.head_degrees[i]]
        rows.writerow([i + 1, f"{i / performance.frame_rate_hz:.6f}", *(f"{v:.4f}" for v in row), *turns])
    return write_text(path, buffer.getvalue())


def read_action_units(path: str | os.PathLike[str]) -> Performance:
    """Read a table of action units, ours or OpenFace's.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, or damaged.
        LimitExceededError: longer than an hour.
        UserInputError: one row alone, which tells no frame rate.
    """
    name = Path(path).name
    text = curve_text(path)
    semicolons = text.partition("\n")[0].count(";") > len(UNITS) // 2  # saved so by a spreadsheet, with decimal commas
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ","))
    except csv.Error as exc:
        raise UnreadableMediaError(f"{name} is not a table.", _HINT) from exc
    header = [cell.strip() for cell in rows[0]] if rows else []
    body = [row for row in rows[1:] if row]
    columns = {cell: i for i, cell in enumerate(header)}
    known = {cell for cell in header if _SCORE.fullmatch(cell) and _is_unit(cell)}
    if not body or "timestamp" not in columns or not known:
        raise UnreadableMediaError(f"{name} is not a table of action units over time.", _HINT)
    if any(len(row) != len(header) for row in body):
        raise UnreadableMediaError(f"{name} has rows of different length.", _HINT)
    wanted = ["timestamp", *sorted(known), *(c for c in _HEAD if c in columns)]
    try:
        cells = [[row[columns[c]].strip().replace(",", ".") for c in wanted] for row in body]
        values = np.array(cells, np.float64)
    except ValueError as exc:
        raise UnreadableMediaError(f"{name} holds values that are not numbers.", _HINT) from exc
    if not np.isfinite(values).all():
        raise UnreadableMediaError(f"{name} holds values that are not numbers.", _HINT)
    given = dict(zip(wanted, values.T, strict=True))
    return _performance(given, sorted(known), name)


def _is_unit(column: str) -> bool:
    try:
        return bool(tracks_of(column[:-2]))
    except UserInputError:  # a unit that others score and ARKit cannot show
        return False


def _digit(times: NDArray[np.float64]) -> float:
    """Return the last digit with which times are written, seconds."""
    return 1e-3 if np.abs(times * 1e3 - np.round(times * 1e3)).max() < 1e-6 else 1e-6


def _rate(times: NDArray[np.float64]) -> float:
    """Return the frames per second of rising times: whole ones as far as the times' own digits allow it.

    Times are written with three digits behind the point (OpenFace) or six (ours); over a few frames that is felt.
    """
    span, digit = float(times[-1] - times[0]), _digit(times)
    rate = (len(times) - 1) / span
    whole = float(round(rate))
    return whole if whole and abs(whole / rate - 1) <= 1.1 * digit / span else round(rate, 3)


def _performance(given: dict[str, NDArray[np.float64]], known: list[str], name: str) -> Performance:
    """Build the performance from checked columns."""
    times = given["timestamp"]
    if len(times) < 2 or times[-1] <= times[0]:
        raise UserInputError(f"{name} is too short to tell its frame rate.", "Use one of two frames or more.")
    if (np.diff(times) < 0).any():
        raise UnreadableMediaError(f"{name} has times that run backwards.", _HINT)
    if times[-1] - times[0] > _MOST_SECONDS:
        raise LimitExceededError("The curves are longer than an hour.", "Trim them to the part needed.")
    rate = _rate(times)
    if not 1.0 <= rate <= 240.0:
        raise UnreadableMediaError(f"{name} has a frame rate of {rate:g} per second.", "Use 1 to 240.")
    grid = times[0] + np.arange(len(times)) / rate
    if np.abs(grid - times).max() <= 1.1 * _digit(
        times
    ):  # between rows a unit that begins where another ends would jump
        grid = times
    index = {track.code: i for i, track in enumerate(TRACKS)}
    scores = np.zeros((len(times), len(TRACKS)))
    sided = {t.code for column in known if column[-3].isalpha() for t in tracks_of(column[:-2])}
    for column in known:
        for track in tracks_of(column[:-2]):
            is_whole = column[-3].isdigit()
            if (is_whole and track.code in sided) or (sided and track.code in MIXED):
                continue  # its sides say more; what is mixed follows from the others
            scores[:, index[track.code]] = np.interp(grid, times, np.clip(given[column], 0.0, MOST))
    head = np.stack([np.interp(grid, times, given.get(c, np.zeros_like(times))) for c in _HEAD], 1)
    none = np.zeros(len(times), np.float32)
    return Performance(rate, weights_of(scores), head.astype(np.float32), none, none.copy(), none.copy())
