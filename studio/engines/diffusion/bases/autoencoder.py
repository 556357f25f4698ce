"""The autoencoders of the embedded base, with the interface of diffusers' AutoencoderKL, which pipelines ask for.

`PatchAutoencoder` is linear: 4 x 4 patches of a picture become principal components.
Latent diffusion wants few, well-scaled numbers in place of pixels. For the
small pictures of the embedded base a principal component analysis gives them
in closed form: no training, 5 kB, orthogonal, 35 dB on rendered faces. It has
the interface of diffusers' AutoencoderKL, so pipelines take it as their `vae`.
For natural photographs its patch edges show. `FoldingAutoencoder` is diffusers'
own AutoencoderDC, 8 times down, which carries photographs too; it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import AutoencoderDC, AutoencoderKL, ModelMixin
from diffusers.configuration_utils import ConfigMixin, FrozenDict, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput

_DeepCompression: Any = AutoencoderDC


class _Exact:
    """A latent distribution without spread."""

    def __init__(self, mean: torch.Tensor) -> None:
        self.mean = self.parameters = mean

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.mean

    def mode(self) -> torch.Tensor:
        return self.mean


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Principal components of patches with the interface of AutoencoderKL."""

    config: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        patch: int = 4,
        latent_channels: int = 12,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, ...] = (1, 1, 1),
        in_channels: int = 3,
        out_channels: int = 3,
        sample_size: int = 64,
        shift_factor: float | None = None,
        force_upcast: bool = False,
        latents_mean: Any = None,
        latents_std: Any = None,
    ) -> None:
        """Make an autoencoder of zeros; `fit` makes a useful one.

        Args:
            patch: side of a patch in pixels; a power of 2.
            latent_channels: components kept.
            scaling_factor: latents times this have standard deviation 1.
            block_out_channels: only its length counts: pipelines take 2 ** (length - 1) as the patch size.
            in_channels, out_channels: 3, named for pipelines.
            sample_size: picture side the components were fitted on.
            shift_factor, force_upcast, latents_mean, latents_std: asked for by pipelines; unused.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.weight = torch.nn.Parameter(torch.zeros(latent_channels, 3, patch, patch))
        self.inverse = torch.nn.Parameter(torch.zeros(latent_channels, 3, patch, patch))
        self.mean = torch.nn.Parameter(torch.zeros(3))

    def encode(self, x: torch.Tensor, return_dict: bool = True) -> Any:
        """Return the latents of pictures in -1..1.  # (N, 3, H, W) -> (N, C, H / patch, W / patch)"""
        centred = x - self.mean.view(1, 3, 1, 1)
        latents = torch.nn.functional.conv2d(centred, self.weight, stride=self.config.patch)
        return AutoencoderKLOutput(latent_dist=_Exact(latents)) if return_dict else (_Exact(latents),)

    def decode(self, z: torch.Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """Return pictures in about -1..1.  # (N, C, h, w) -> (N, 3, h * patch, w * patch)"""
        out = torch.nn.functional.conv_transpose2d(z, self.inverse, stride=self.config.patch)
        out = out + self.mean.view(1, 3, 1, 1)
        return DecoderOutput(sample=out) if return_dict else (out,)

    def enable_slicing(self) -> None:
        """Do nothing: memory never matters here. Pipelines call it."""

    disable_slicing = enable_tiling = disable_tiling = enable_slicing


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
    own = {"PatchAutoencoder": PatchAutoencoder, "AutoencoderDC": FoldingAutoencoder}
    return own.get(str(config.get("_class_name")), AutoencoderKL)


def fit(pictures: torch.Tensor, patch: int = 4, latent_channels: int = 12, power: float = 0.5) -> PatchAutoencoder:
    """Fit the autoencoder to pictures in closed form.

    Args:
        pictures: in -1..1.  # (N, 3, H, W)
        patch: side of a patch in pixels.
        latent_channels: components kept.
        power: how far the components' spreads are made equal: 0 not at all, 1 fully. At 0.5 fine detail
            is neither drowned in noise nor as loud as the layout.

    Returns:
        The fitted autoencoder, frozen.
    """
    mean = pictures.mean((0, 2, 3))
    centred = pictures - mean.view(1, 3, 1, 1)
    patches = torch.nn.functional.unfold(centred, patch, stride=patch).transpose(1, 2).reshape(-1, 3 * patch * patch)
    spread, directions = torch.linalg.eigh(patches.double().T @ patches.double() / len(patches))
    top = directions.flip(1)[:, :latent_channels].T
    top = top * torch.where(top.sum(1, keepdim=True) < 0, -1.0, 1.0)  # the sign of an eigenvector is a convention
    gain = spread.flip(0)[:latent_channels].clamp_min(1e-8) ** (-power / 2)
    model: PatchAutoencoder = PatchAutoencoder(patch, latent_channels, sample_size=pictures.shape[-1])
    model.requires_grad_(False)
    shape = (latent_channels, 3, patch, patch)
    model.weight.copy_((top * gain[:, None]).reshape(shape))
    model.inverse.copy_((top / gain[:, None]).reshape(shape))
    model.mean.copy_(mean)
    spread_of_latents = model.encode(pictures).latent_dist.mean.std()
    model.register_to_config(scaling_factor=float(1 / spread_of_latents))  # type: ignore[no-untyped-call]
    return model
