"""A base with motion modules: diffusers' MotionAdapter put into the UNet that is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.engines.diffusion.bases.inspecting import component_weights, variant_of
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase


def with_motion(loaded: LoadedBase, adapter: Any) -> LoadedBase:
    """Return the base with a UNet that draws clips; weights are copied, the base that is given stays as it is.

    Args:
        loaded: a base that wears no adapters: those are put on afterwards.
        adapter: diffusers' MotionAdapter.

    Raises:
        UserInputError: the base wears adapters, or the motion was made for another network.
    """
    from diffusers import UNetMotionModel

    library: Any = UNetMotionModel
    if getattr(loaded.unet, "peft_config", None):
        raise UserInputError("Motion cannot be put into a base that wears adapters.", "Take them off first.")
    wanted, given = tuple(loaded.unet.config.block_out_channels), tuple(adapter.config.block_out_channels)
    if wanted != given:
        raise UserInputError(
            f"This motion is for a network of widths {_listed(given)}, the base has {_listed(wanted)}.",
            "Choose motion that was made for this family of models.",
        )
    try:
        unet = library.from_unet2d(loaded.unet, adapter)
    except ValueError as exc:
        raise UserInputError(
            f"This motion does not fit the base {loaded.location.title}: {exc}",
            "Choose motion that was made for this family of models.",
        ) from exc
    unet = unet.to(loaded.device, loaded.dtype).eval().requires_grad_(False)
    return replace(loaded, unet=unet)


def read_motion(folder: Path) -> Any:
    """Return diffusers' MotionAdapter of a folder.

    Raises:
        NotFoundError: there is none.
        UnreadableMediaError: its files are damaged.
    """
    from diffusers import MotionAdapter
    from safetensors import SafetensorError

    if not (folder / "config.json").is_file():
        raise NotFoundError(
            f"There are no motion weights in {folder.name}.", "Choose a folder with config.json and weights."
        )
    library: Any = MotionAdapter
    try:
        (weights, *_) = component_weights(folder)
        variant = variant_of(weights) or None  # such as fp16, where the full ones were not fetched
        return library.from_pretrained(folder, local_files_only=True, use_safetensors=True, variant=variant)
    except (OSError, ValueError, SafetensorError) as exc:
        raise UnreadableMediaError(
            f"The motion weights in {folder.name} cannot be read.", "Fetch them again; pickled files are not read."
        ) from exc


def has_motion(loaded: LoadedBase) -> bool:
    """Say whether a base draws clips, or each frame as a picture of its own."""
    return "motion_max_seq_length" in loaded.unet.config


def longest_window(loaded: LoadedBase) -> int:
    """Return the most frames that a base's motion modules can see together."""
    return int(loaded.unet.config.motion_max_seq_length)


def _listed(widths: tuple[int, ...]) -> str:
    return ", ".join(map(str, widths))
