"""Control of a clip by the 3D face: maps of the fitted head become features in front of the motion modules.

The network is the one of FAAC's precursor: pixels folded into channels, then a
stage of residual blocks per level of the UNet, which is diffusers' T2IAdapter.
Each level's features are added in front of every motion module of that level on
the way down, the same for both halves of a guided batch. A 1 x 1 convolution of
zeros behind each level keeps it silent until it is trained (as in ControlNet).
The maps are two: the head's coarse and detailed shading, gray on black.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ModelMixin, T2IAdapter
from diffusers.configuration_utils import ConfigMixin, register_to_config

from studio.engines.diffusion.video.anchoring import motion_modules
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase

MAPS = 2
"""Coarse and detailed shading."""
_ON_THE_WAY_DOWN = re.compile(r"down_blocks\.(\d+)\.")


class FaceControl(ModelMixin, ConfigMixin):
    """Turns maps of a head into features of every level of a UNet's way down."""

    config: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        in_channels: int = MAPS,
        channels: Sequence[int] = (64, 96, 128),
        num_res_blocks: int = 2,
        downscale_factor: int = 8,
    ) -> None:
        """Make an untrained control, which changes nothing.

        Args:
            in_channels: maps.
            channels: of the UNet's levels.
            num_res_blocks: residual blocks of a level.
            downscale_factor: pixels of a side per latent cell.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        network: Any = T2IAdapter
        self.adapter = network(in_channels, list(channels), num_res_blocks, downscale_factor)
        self.silent = torch.nn.ModuleList(torch.nn.Conv2d(width, width, 1) for width in channels)
        for layer in self.silent:
            for parameter in layer.parameters():
                torch.nn.init.zeros_(parameter)

    def forward(self, maps: torch.Tensor) -> list[torch.Tensor]:
        """Return features of every level.  # (F, M, H, W) in 0..1 -> levels of (F, C, H / d, W / d), halved per level

        Raises:
            UserInputError: the sides cannot be halved as often as the network needs.
        """
        every = int(self.adapter.total_downscale_factor)
        if maps.shape[-1] % every or maps.shape[-2] % every:
            raise UserInputError(
                f"A clip of {maps.shape[-1]} x {maps.shape[-2]} pixels cannot be steered by this control.",
                f"Choose sides that are multiples of {every}.",
            )
        return [layer(feature) for layer, feature in zip(self.silent, self.adapter(maps), strict=True)]


def control_for(loaded: LoadedBase) -> FaceControl:
    """Return an untrained control that fits a base with motion."""
    make: Any = FaceControl
    control: FaceControl = make(
        channels=tuple(loaded.unet.config.block_out_channels), downscale_factor=loaded.latent_factor
    )
    return control


def read_control(folder: Path) -> FaceControl:
    """Return the control of a folder.

    Raises:
        NotFoundError: there is none.
        UnreadableMediaError: its files are damaged.
    """
    from safetensors import SafetensorError

    if not (folder / "config.json").is_file():
        raise NotFoundError(f"There is no control in {folder.name}.", "Choose a folder with config.json and weights.")
    library: Any = FaceControl
    try:
        control = library.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as exc:
        raise UnreadableMediaError(
            f"The control in {folder.name} cannot be read.", "Fetch it again; pickled files are not read."
        ) from exc
    frozen: FaceControl = control.eval().requires_grad_(False)
    return frozen


def control_features(
    loaded: LoadedBase, control: FaceControl, maps: torch.Tensor, strength: float = 1.0
) -> dict[str, torch.Tensor]:
    """Return what to add in front of which motion module, as `ClipRequest.features` takes it.

    Args:
        loaded: a base with motion.
        control: made for it.
        maps: of each frame, at the clip's size.  # (F, M, H, W) in 0..1
        strength: factor on the features; 0 is a clip without control.

    Raises:
        UserInputError: the control was made for another network, or for another number of maps.
    """
    modules = {name: m for name, m in motion_modules(loaded.unet).items() if _ON_THE_WAY_DOWN.match(name)}
    wanted, made = tuple(loaded.unet.config.block_out_channels), tuple(control.config.channels)
    if (wanted, loaded.latent_factor) != (made, control.config.downscale_factor):
        raise UserInputError(
            f"This control is for a network of widths {made}, the base has {wanted}.",
            "Choose the control that was trained for this base.",
        )
    if maps.shape[1] != control.config.in_channels:
        raise UserInputError(
            f"This control reads {control.config.in_channels} maps, and {maps.shape[1]} were given.",
            "Render the maps that it was trained with.",
        )
    if strength == 0:
        return {}
    network: Any = control
    levels = network(maps)
    out: dict[str, torch.Tensor] = {}
    for name in modules:
        found = _ON_THE_WAY_DOWN.match(name)
        assert found is not None  # only such names were kept
        out[name] = levels[int(found[1])] * strength
    return out
