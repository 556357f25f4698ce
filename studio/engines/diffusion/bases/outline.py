"""The networks of a base without their numbers: built from its configs on torch's meta device, in a moment.

What only asks for layers and shapes asks here, and no weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from studio.domain.base_model import FAMILY, BaseLocation, Family
from studio.engines.diffusion.bases.inspecting import read_config
from studio.engines.diffusion.bases.single_file import CONFIGS


@dataclass(frozen=True)
class Outline:
    """What of a `LoadedBase` is known without its weights."""

    location: BaseLocation
    unet: Any = field(repr=False)
    text_encoders: tuple[Any, ...] = field(repr=False)

    @property
    def parts(self) -> dict[str, Any]:
        """See `LoadedBase`."""
        return dict(zip(FAMILY[self.location.family].parts, (self.unet, *self.text_encoders), strict=True))


def outline(location: BaseLocation) -> Outline:
    """Return the networks that adapters can change, all of whose tensors have a shape and no numbers.

    Raises:
        UserInputError, UnreadableMediaError: a config of its folder is missing or damaged.
    """
    unet, encoders = networks(location.path, location.is_file, location.family)
    return Outline(location, unet, encoders)


def config_folder(path: str, is_file: bool, family: Family) -> Path:
    """Return where the configs of a base lie: in its folder, or for a single file those of its family."""
    return CONFIGS / family if is_file else Path(path)


@lru_cache(maxsize=4)
def networks(path: str, is_file: bool, family: Family) -> tuple[Any, tuple[Any, ...]]:
    """Return the UNet and the text encoders of a base, shared by all who ask: nobody changes them."""
    import torch
    import transformers
    from diffusers import UNet2DConditionModel

    folder = config_folder(path, is_file, family)

    def encoder(part: str, model: str) -> Any:
        return getattr(transformers, model)(transformers.CLIPTextConfig.from_dict(read_config(folder, part)))

    with torch.device("meta"):
        unet = cast("Any", UNet2DConditionModel).from_config(read_config(folder, "unet"))
        return unet, tuple(encoder(text.part, text.model) for text in FAMILY[family].text)
