"""Checkpoints of trainings that make the preview base: one file, written whole, continued under its own plan only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from studio.errors import ConflictError, NotFoundError

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"


def save_state(state: dict[str, Any], file: Path) -> None:
    """Write tensors and numbers; a crash leaves the file before."""
    part = file.with_suffix(f".{os.getpid()}.part")
    torch.save(state, part)
    os.replace(part, file)


def read_state(folder: Path, plan: str) -> dict[str, Any]:
    """Return what the checkpoint of a work folder holds.

    Args:
        plan: what must agree, as it stands in the checkpoint's "plan".

    Raises:
        ConflictError: it was made under another plan.
    """
    state: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
    if state["plan"] != plan:
        raise ConflictError("The work folder holds a run under another plan.", "Name another folder.")
    return state


def require_checkpoint(folder: Path) -> None:
    """Refuse a work folder in which no training has saved yet.

    Raises:
        NotFoundError: there is no checkpoint.
    """
    if not (folder / CHECKPOINT).is_file():
        raise NotFoundError("There is no checkpoint yet.", "Start the training first; it saves every few minutes.")


def note(folder: Path, line: dict[str, Any]) -> None:
    """Add figures of a step to the curve."""
    with open(folder / CURVE, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
