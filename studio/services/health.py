"""Is this installation sound? The doctor of the command line and of the Settings tab."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement

from studio import pins
from studio.engines import ENGINES
from studio.errors import StudioError

State = Literal["ok", "warning", "bad"]
LEAST_FREE_BYTES = 1_000_000_000
OPTIONAL = {
    "espeakng-loader": "offline voices for typed text (GPL)",
}


@dataclass(frozen=True)
class Finding:
    """One line of the checkup."""

    what: str
    state: State
    detail: str


def checkup(data_dir: Path, assets: Path) -> tuple[Finding, ...]:
    """Look at Python, libraries, model files, engines, ffmpeg, the data folder and the disk; changes nothing."""
    cores = os.cpu_count() or 1
    found = [
        Finding("Python", "ok", f"{sys.version.split()[0]} on {platform.platform()}, {cores} cores"),
        *_libraries(),
        *(_optional(name, use) for name, use in OPTIONAL.items()),
        *_engines(assets),
        _ffmpeg(),
        *_data_folder(data_dir),
    ]
    return tuple(found)


def _libraries() -> list[Finding]:
    """Compare what is installed with the versions that were tried."""
    try:
        named, others = pins.libraries(), pins.others()
    except InvalidRequirement as exc:
        return [Finding("Libraries", "bad", f"requirements.txt or constraints.txt is damaged: {exc}")]
    if not named:
        return [Finding("Libraries", "warning", "requirements.txt is not beside the studio: nothing to compare with")]
    found = [Finding(one.name, *_judge(one)) for one in named]
    moved = [one for one in others if not one.as_tried]
    if moved:
        detail = f"not as tried: {pins.sentence(moved)}. To have the tried ones: {pins.mending()}"
        return [*found, Finding("Libraries of libraries", "warning", detail)]
    return [*found, Finding("Libraries of libraries", "ok", f"{len(others)} as tried")]


def _judge(library: pins.Library) -> tuple[State, str]:
    if library.installed is None:
        return "bad", f"not installed: {pins.mending()}"
    if not library.allowed:
        return "bad", f"{pins.sentence([library])}; this one does not fit: {pins.mending()}"
    if not library.as_tried:
        return "warning", f"{pins.sentence([library])}; it may work. To have the tried one: {pins.mending()}"
    return "ok", library.installed


def _optional(name: str, use: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "warning", f"not installed; only needed for {use}")


def _engines(assets: Path) -> list[Finding]:
    found = []
    for entry in ENGINES:
        missing = entry.missing(assets)
        state: State = "ok" if not missing else "bad" if entry.required else "warning"
        detail = f"missing: {', '.join(missing)}" if missing else f"{entry.does} Licence: {entry.licence}."
        found.append(Finding(entry.title, state, detail))
    return found


def _ffmpeg() -> Finding:
    from studio.engines.media import ffmpeg

    try:
        return Finding("ffmpeg", "ok", ffmpeg.binary())
    except StudioError as exc:
        return Finding("ffmpeg", "bad", str(exc))


def _data_folder(data_dir: Path) -> list[Finding]:
    """Look at the folder, its database and its disk."""
    from studio.store import Store

    place = data_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    disk = Finding("Free disk", "ok" if free > LEAST_FREE_BYTES else "warning", f"{free / 1e9:.1f} GB")
    if not (data_dir / "studio.db").exists():
        writable = os.access(place, os.W_OK)
        said = f"{data_dir} will be made at the first start" if writable else f"{data_dir} cannot be made here"
        return [Finding("Data folder", "ok" if writable else "bad", said), disk]
    try:
        with Store(data_dir) as store:
            complaints = store.database.check()
    except StudioError as exc:
        return [Finding("Data folder", "bad", f"{data_dir}: {exc}"), disk]
    if complaints:
        return [Finding("Data folder", "bad", f"{data_dir}: {'; '.join(complaints[:3])}"), disk]
    return [Finding("Data folder", "ok", f"{data_dir}, database sound"), disk]
