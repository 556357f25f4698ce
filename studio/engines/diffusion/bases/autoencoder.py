"""The autoencoder of the embedded base, with the interface of diffusers' AutoencoderKL, which pipelines ask for.

`FoldingAutoencoder` is diffusers' own AutoencoderDC without attention: 8 times down, small enough for one core,
and trained so that it carries photographs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from diffusers.configuration_utils import FrozenDict
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from studio.engines.diffusion.bases.inspecting import EMBEDDED_AUTOENCODER

_DeepCompression: Any = AutoencoderDC


class _Exact:
    """A latent distribution without spread."""

    def __init__(self, mean: torch.Tensor) -> None:
        self.mean = self.parameters = mean

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.mean

    def mode(self) -> torch.Tensor:
        return self.mean


class FoldingAutoencoder(_DeepCompression):  # type: ignore[misc]
    """AutoencoderDC with the interface of AutoencoderKL; its folder is one that AutoencoderDC loads."""

    @property
    def config(self) -> Any:
        """The saved configuration, and the name by which pipelines count the halvings."""
        kept, frozen = dict(self._internal_dict), cast("Any", FrozenDict)
        return frozen({**kept, "block_out_channels": tuple(kept["encoder_block_out_channels"])})

    def encode(self, x: torch.Tensor, return_dict: bool = True) -> Any:
        """Return the latents of pictures in -1..1.  # (N, 3, H, W) -> (N, C, H / 8, W / 8)"""
        latents = _Exact(super().encode(x).latent)
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    def decode(self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """Return pictures in about -1..1.  # (N, C, h, w) -> (N, 3, 8 h, 8 w)"""
        return super().decode(z, return_dict=return_dict)


def autoencoder_class(config: Mapping[str, Any]) -> Any:
    """Return the class that reads an autoencoder's folder, by its config.json."""
    return FoldingAutoencoder if config.get("_class_name") == EMBEDDED_AUTOENCODER else AutoencoderKL
