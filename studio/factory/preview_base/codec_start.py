"""First weights of the autoencoder: the best linear code of 8 x 8 pixels, written into its foldings.

A random start takes thousands of steps to reach what a principal component
analysis gives at once, so the analysis is where training begins. Center taps of
the convolutions carry the 192 values of a place through the foldings, the last
convolution of the encoder and the first of the decoder hold the components.
All other taps begin small and random, so that training finds a use for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

WIDTHS = (24, 48, 96, 192)
"""The widths that hold it: values of 2 x 2, 4 x 4 and 8 x 8 pixels in the last three."""
_SMALL = 0.05  # of the other taps, relative to the library's random start
_STEADY = 3.0  # channels of this value keep the decoder's last normalization nearly constant; pixels are in -1..1


def start_linear(model: Any, pictures: torch.Tensor) -> None:
    """Make an untrained autoencoder the linear code that fits pictures best.

    Args:
        model: diffusers' AutoencoderDC of WIDTHS without shortcuts at its latents, its residual blocks silent; changed
            in place.
        pictures: what to fit.  # (N, 3, H, W) -1..1, sides a multiple of 8
    """
    components, mean, spread = _components(pictures, model.config.latent_channels)
    # Not whitened: coarse components stay larger than fine ones, and a diffusion model finds them first.
    gain = np.sqrt(spread * spread.mean())[:, None]
    with torch.no_grad():
        convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
        random = [c.weight.clone() for c in convolutions]
        for module in convolutions:
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
        _write_encoder(model.encoder, components / gain, mean)
        _write_decoder(model.decoder, (components * gain).T, mean)
        blocks = {id(c) for m in model.modules() if type(m).__name__ == "ResBlock" for c in m.modules()}
        for module, weight in zip(convolutions, random, strict=True):
            module.weight.add_(weight if id(module) in blocks else _SMALL * weight)


def folded(pictures: torch.Tensor) -> torch.Tensor:
    """Return the 192 values of each place, in the order in which the foldings stack them.  # (N, 192, H/8, W/8)"""
    for _ in range(3):
        pictures = F.pixel_unshuffle(pictures, 2)
    return pictures


def _components(pictures: torch.Tensor, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the largest principal components, the mean, and the components' spreads.

    Returns:
        (count, 192), (192,), (count,)
    """
    values = folded(pictures).movedim(1, -1).reshape(-1, WIDTHS[-1]).double().numpy()
    variances, vectors = np.linalg.eigh(np.cov(values.T))
    return vectors[:, ::-1][:, :count].T, values.mean(0), np.sqrt(variances[::-1][:count])


def _write_encoder(encoder: Any, code: NDArray[Any], mean: NDArray[Any]) -> None:
    """Carry the values up to the last convolution, undo there what the shortcuts mixed in, and apply the code."""
    _carry(encoder.conv_in.conv, range(3), range(3))
    _carry(encoder.down_blocks[1][-1].conv, range(12), range(12, 24))  # the shortcut fills the first half
    _carry(encoder.down_blocks[2][-1].conv, range(48, 96), range(48))
    impulses = torch.eye(WIDTHS[-1])[:, :, None, None]
    for _ in range(3):
        impulses = F.pixel_shuffle(impulses, 2)
    features = impulses
    for block in (encoder.conv_in, *encoder.down_blocks):
        features = block(features)
    mixed = features[:, :, 0, 0].T.double().numpy()  # (feature, value)
    encoder.conv_out.weight[:, :, 1, 1] = torch.from_numpy(code @ np.linalg.inv(mixed)).float()
    encoder.conv_out.bias.copy_(torch.from_numpy(-code @ mean).float())


def _write_decoder(decoder: Any, code: NDArray[Any], mean: NDArray[Any]) -> None:
    """Apply the code at the first convolution, carry the values up, with both signs through the last rectifier."""
    decoder.conv_in.weight[:, :, 1, 1] = torch.from_numpy(code.copy()).float()
    decoder.conv_in.bias.copy_(torch.from_numpy(mean).float())
    first, second = decoder.up_blocks[2][0], decoder.up_blocks[1][0]
    for block in (first, second):
        rows = block.conv.weight.shape[0] if block is second else WIDTHS[-1]
        for row in range(rows):
            block.conv.weight[row, row // block.repeats, 1, 1] = -1  # the shortcut is taken back
    _carry(first.conv, range(192), range(192))
    _carry(second.conv, range(48), range(48))
    _carry(second.conv, range(48), range(48, 96), -1.0)
    second.conv.bias[96:] = _STEADY
    decoder.norm_out.weight.fill_(float(np.sqrt(_STEADY**2 / 2 + 0.1)))
    _carry(decoder.conv_out.conv, range(12), range(12))
    _carry(decoder.conv_out.conv, range(12, 24), range(12), -1.0)


def _carry(convolution: Any, channels: Sequence[int], rows: Sequence[int], sign: float = 1.0) -> None:
    for channel, row in zip(channels, rows, strict=True):
        convolution.weight[row, channel, 1, 1] += sign
