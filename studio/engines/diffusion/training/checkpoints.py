"""Checkpoints of a training: whole or absent, and enough to go on bit for bit.

    <folder>/plan.json                      what is being trained, on which base and photos
    <folder>/checkpoints/step-000250/       adapter.safetensors   the weights as they are used
                                            state.safetensors     optimizer, random numbers, losses
                                            state.json            the rest, as text
    <folder>/latest                         name of the newest, for people and scripts

A checkpoint is written beside its place, synced and renamed, so a kill at any
moment leaves the one before; the highest step is the newest, whatever `latest`
says. Older states are thinned, adapters stay. Nothing is pickled. What the
tensors mean is known to `trainer` alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import TrainingExample
from studio.engines.media.atomic import PART_PREFIX, atomic_file, disk_error, disk_full
from studio.errors import ConflictError, StoreError
from studio.outside import json_of

if TYPE_CHECKING:
    import torch

ADAPTER, STATE, FACTS = "adapter.safetensors", "state.safetensors", "state.json"
MAY_CHANGE = frozenset(
    {
        "steps",
        "learning_rate",
        "text_learning_rate",
        "checkpoint_every",
        "keep_checkpoints",
        "sample_every",
        "sample_prompts",
        "class_prompts",
        "sample_seeds",
        "sample_steps",
        "guidance",
    }
)
"""What a continued run may do differently; all else would no longer be the same run."""
_NAME = re.compile(r"step-(\d{6,})")
_NO_ROOM = re.compile(r"os error (28|112)\b")  # ENOSPC; ERROR_DISK_FULL of Windows


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on the disk.

    Attributes:
        has_state: training can go on from here.
    """

    step: int
    folder: Path
    has_state: bool

    @property
    def adapter(self) -> Path:
        """The weights' file."""
        return self.folder / ADAPTER


def claim(folder: Path, location: BaseLocation, plan: TrainingPlan, examples: Sequence[TrainingExample]) -> None:
    """Write down what is trained in this folder, or check that it is the same as before.

    Raises:
        ConflictError: another base, other pictures, or a plan that is no mere continuation.
        StoreError: the disk refused, or plan.json is damaged.
    """
    file = folder / "plan.json"
    now = {
        "plan": plan.model_dump(mode="json"),
        "base": {"name": location.name, "sha256": location.sha256},
        "examples": [fingerprint(example) for example in examples],
    }
    if file.exists():
        try:
            _check_same(json_of(file.read_text(encoding="utf-8")), now)
        except (ValueError, KeyError, TypeError) as exc:
            raise StoreError("The run's plan.json is damaged.", "Start a new run with the same photos.") from exc
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise disk_error(exc, folder) from exc
    with atomic_file(file) as part:
        part.write_text(json.dumps(now, indent=1), encoding="utf-8")


def fingerprint(example: TrainingExample) -> str:
    """Name everything of an example that training sees."""
    digest = sha256(f"{example.caption}\n{example.image.shape}\n".encode())
    digest.update(example.image.tobytes())
    if example.mask is not None:
        digest.update(example.mask.tobytes())
    return digest.hexdigest()


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    again = "Start a new run instead; this one stays as it is."
    if before["base"]["sha256"] != now["base"]["sha256"]:
        raise ConflictError(f"This run was begun on another base model ({before['base']['name']}).", again)
    if before["examples"] != now["examples"]:
        raise ConflictError("This run was begun with other photos, masks or captions.", again)
    # A run of an earlier release knows fewer settings; those it lacks stood at their defaults.
    began = TrainingPlan.model_validate(before["plan"]).model_dump(mode="json")
    changed = sorted(k for k, v in now["plan"].items() if began[k] != v and k not in MAY_CHANGE)
    if changed:
        raise ConflictError(f"This run was begun with another {', '.join(changed).replace('_', ' ')}.", again)


def save(
    folder: Path,
    step: int,
    write_adapter: Callable[[Path], object],
    tensors: Mapping[str, torch.Tensor],
    facts: Mapping[str, Any],
    *,
    keep: int,
) -> SavedCheckpoint:
    """Write one checkpoint; states beyond the newest `keep` are removed, after it is safe.

    Args:
        write_adapter: writes the weights at the path it is given.
        tensors: state to be restored bit for bit.
        facts: state that JSON holds exactly.

    Raises:
        StoreError: the disk refused; earlier checkpoints stay as they were.
    """
    from safetensors.torch import save_file

    place = folder / "checkpoints" / f"step-{step:06d}"
    part = place.with_name(f"{PART_PREFIX}{place.name}")
    with _disk(place):
        clear_parts(folder)
        part.mkdir(parents=True)
        write_adapter(part / ADAPTER)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part / STATE)
        (part / FACTS).write_text(json.dumps({"step": step, **facts}), encoding="utf-8")
        for file in (ADAPTER, STATE, FACTS):
            _sync(part / file)
        if place.exists():  # its state was thinned away, and the steps were made again
            shutil.rmtree(place)
        part.rename(place)
        _sync(place.parent)
    with atomic_file(folder / "latest") as latest:
        latest.write_text(place.name, encoding="utf-8")
    _thin(folder, keep)
    return SavedCheckpoint(step, place, True)


def found(folder: Path) -> tuple[SavedCheckpoint, ...]:
    """Return the run's checkpoints, by step."""
    places = (folder / "checkpoints").glob("step-*") if (folder / "checkpoints").is_dir() else ()
    saved = [
        SavedCheckpoint(int(match[1]), place, (place / FACTS).exists() and (place / STATE).exists())
        for place in places
        if (match := _NAME.fullmatch(place.name)) and (place / ADAPTER).exists()
    ]
    return tuple(sorted(saved, key=lambda s: s.step))


def newest(folder: Path) -> SavedCheckpoint | None:
    """Return the newest checkpoint from which training can go on; None when there is none."""
    return next((s for s in reversed(found(folder)) if s.has_state), None)


def read(saved: SavedCheckpoint) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint: adapter tensors, state tensors, facts.

    Raises:
        StoreError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        facts = json_of((saved.folder / FACTS).read_text(encoding="utf-8"))
        return load_file(saved.adapter), load_file(saved.folder / STATE), facts
    except (OSError, ValueError, SafetensorError) as exc:
        raise StoreError(
            f"The checkpoint of step {saved.step} is damaged.",
            f"Delete the folder {saved.folder.name} of the run to go on from the checkpoint before it.",
        ) from exc


def clear_parts(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for part in (folder / "checkpoints").glob(f"{PART_PREFIX}*"):
        shutil.rmtree(part)


def _thin(folder: Path, keep: int) -> None:
    with_state = [s for s in found(folder) if s.has_state]
    for old in with_state[:-keep]:
        (old.folder / FACTS).unlink(missing_ok=True)  # first what says that there is a state
        (old.folder / STATE).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs no folders
    with_write = os.O_RDONLY if path.is_dir() else os.O_RDWR | getattr(os, "O_BINARY", 0)
    number = os.open(path, with_write)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Put what the disk says into one sentence, and leave nothing half written."""
    from safetensors import SafetensorError

    part = place.with_name(f"{PART_PREFIX}{place.name}")
    try:
        yield
    except OSError as exc:
        shutil.rmtree(part, ignore_errors=True)
        raise disk_error(exc, place) from exc
    except SafetensorError as exc:
        shutil.rmtree(part, ignore_errors=True)
        if _NO_ROOM.search(str(exc)):
            raise disk_full(place) from exc
        raise StoreError(f"{place.name} could not be written: {exc}.", "Check the disk.") from exc
    except StoreError:
        shutil.rmtree(part, ignore_errors=True)
        raise
