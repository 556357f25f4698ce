"""Checkpoints in one file, in the layout of the original Stable Diffusion code.

Such a file holds weights only; shapes in its header tell the family. Known are
text-to-image checkpoints of the families of `domain.base_model`; for others the
answer is one sentence. Putting one into memory is `single_file_loading`.
"""

from __future__ import annotations

from pathlib import Path

from studio.domain.base_model import (
    FAMILIES,
    FAMILY_WORDS,
    OTHER_TEXT_WIDTHS,
    BaseFamily,
    Family,
    PredictionType,
)
from studio.engines.diffusion.bases.header import WeightsHeader
from studio.errors import UserInputError

CONFIGS = Path(__file__).parent / "configs"
_UNET = "model.diffusion_model."
_FIRST = _UNET + "input_blocks.0.0.weight"
_VAE, _VAE_TITLE = "first_stage_model.", "the autoencoder"
_HINT = f"The studio works with {FAMILY_WORDS} checkpoints for text to image."


def family_of(header: WeightsHeader, name: str) -> Family:
    """Tell the family of a checkpoint from its header.

    Raises:
        UserInputError: an adapter, another family, another task, or a component is missing.
    """
    keys = header.shapes
    if any("lora_" in key or ".lora" in key for key in keys):
        raise UserInputError(
            f"{name} is an adapter, not a base model.",
            "Bring it in with `studio adapter import`, or on the Train tab.",
            window="Bring it in on the Train tab, under Adapters.",
        )
    if _FIRST not in keys:
        raise UserInputError(f"{name} is no checkpoint that the studio knows.", _HINT)
    widths = {keys[k][1] for k in keys if k.startswith(_UNET) and k.endswith("attn2.to_k.weight")}
    alike = [family for family in FAMILIES if family.text_width in widths]
    if not alike:
        known = next((OTHER_TEXT_WIDTHS[w] for w in widths if w in OTHER_TEXT_WIDTHS), "another family")
        raise UserInputError(f"{name} is a checkpoint of {known}.", _HINT)
    lacking = {
        family.name: [
            title
            for title, prefix in [(_VAE_TITLE, _VAE), *((e.title, e.checkpoint_prefix) for e in family.text)]
            if not any(key.startswith(prefix) for key in keys)
        ]
        for family in alike
    }
    # Of families of one width, the one whose components are there.
    found = min(alike, key=lambda family: len(lacking[family.name]))
    if keys[_FIRST][1] != found.latent_channels:
        raise UserInputError(f"{name} is made for inpainting or editing, not for text to image.", _HINT)
    if lacking[found.name]:
        raise UserInputError(
            f"{name} lacks {lacking[found.name][0]}.",
            "Get the whole checkpoint; files with the UNet alone cannot be used.",
        )
    return found.name


def prediction_of(header: WeightsHeader, family: BaseFamily) -> PredictionType:
    """Tell what the model predicts: v-prediction checkpoints of XL carry a key, others say it in their notes."""
    noted = header.metadata.get("modelspec.prediction_type", "").lower()
    if "v_pred" in header.shapes or noted in {"v", "v_prediction"}:
        return "v_prediction"
    return "epsilon" if noted == "epsilon" else family.prediction
