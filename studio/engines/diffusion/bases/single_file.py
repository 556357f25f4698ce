"""Checkpoints in one file, in the layout of the original Stable Diffusion code.

Such a file holds weights only. Shapes in its header tell the family; what the
weights belong to (configs) and how words become numbers (CLIP's vocabulary,
MIT licence) comes with the studio, so that no network is needed. Renaming the
weights is diffusers' own code. Known are text-to-image checkpoints of Stable
Diffusion 1.x and XL; for others the answer is one sentence.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import Family, PredictionType
from studio.engines.diffusion.bases.header import WeightsHeader
from studio.errors import UserInputError

if TYPE_CHECKING:
    import torch

CONFIGS = Path(__file__).parent / "configs"
_UNET = "model.diffusion_model."
_FIRST = _UNET + "input_blocks.0.0.weight"
_TEXT = {
    "sd15": ("cond_stage_model.transformer.text_model.",),
    "sdxl": ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."),
}
_VAE = "first_stage_model."
_WIDTHS: dict[int, Family] = {768: "sd15", 2048: "sdxl"}
"""Width of the words that the UNet attends to -> family."""
_OTHERS = {1024: "Stable Diffusion 2", 1280: "the XL refiner"}
_HINT = "The studio works with Stable Diffusion 1.x and XL checkpoints for text to image."
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def family_of(header: WeightsHeader, name: str) -> Family:
    """Tell the family of a checkpoint from its header.

    Raises:
        UserInputError: an adapter, another family, another task, or a component is missing.
    """
    keys = header.shapes
    if any("lora_" in key or ".lora" in key for key in keys):
        raise UserInputError(
            f"{name} is an adapter, not a base model.", "Bring it in with `studio adapter import`, or on the Train tab."
        )
    if _FIRST not in keys:
        raise UserInputError(f"{name} is no checkpoint that the studio knows.", _HINT)
    widths = {keys[k][1] for k in keys if k.startswith(_UNET) and k.endswith("attn2.to_k.weight")}
    family = next((_WIDTHS[w] for w in widths if w in _WIDTHS), None)
    if family is None:
        known = next((_OTHERS[w] for w in widths if w in _OTHERS), "another family")
        raise UserInputError(f"{name} is a checkpoint of {known}.", _HINT)
    if keys[_FIRST][1] != 4:
        raise UserInputError(f"{name} is made for inpainting or editing, not for text to image.", _HINT)
    texts = ("the text encoder", "the second text encoder")
    parts = {"the autoencoder": _VAE} | dict(zip(texts, _TEXT[family], strict=False))
    for title, prefix in parts.items():
        if not any(key.startswith(prefix) for key in keys):
            raise UserInputError(
                f"{name} lacks {title}.", "Get the whole checkpoint; files with the UNet alone cannot be used."
            )
    return family


def prediction_of(header: WeightsHeader) -> PredictionType:
    """Tell what the model predicts: v-prediction checkpoints of XL carry a key, others say it in their notes."""
    noted = header.metadata.get("modelspec.prediction_type", "").lower()
    return "v_prediction" if "v_pred" in header.shapes or noted in {"v", "v_prediction"} else "epsilon"


def load_file(path: Path, family: Family, prediction_type: PredictionType, dtype: torch.dtype) -> dict[str, Any]:
    """Load every component of a checkpoint.

    Returns:
        tokenizers, text_encoders, unet, vae, schedule, zero_empty_prompt, as `bases` wants them.

    Raises:
        UserInputError: as `family_of`.
    """
    import diffusers
    import torch

    from studio.engines.diffusion.bases.header import read_header
    from studio.engines.diffusion.bases.schedule import sampler_config

    header = read_header(path)
    family_of(header, path.name)
    library: Any = diffusers
    xl = family == "sdxl"
    folder = str(CONFIGS / family)
    tokenizers = tuple(clip_tokenizer(pad) for pad in ((_EOS, "!") if xl else (_EOS,)))
    given = {"tokenizer": tokenizers[0]} | ({"tokenizer_2": tokenizers[1]} if xl else {"safety_checker": None})
    vae = library.AutoencoderKL.from_single_file(
        str(path), config=folder, subfolder="vae", torch_dtype=torch.float32, local_files_only=True
    )
    kind = library.StableDiffusionXLPipeline if xl else library.StableDiffusionPipeline
    pipeline = kind.from_single_file(
        str(path), config=folder, vae=vae, torch_dtype=dtype, local_files_only=True, **given
    )
    vae.to(torch.float32)
    schedule = json.loads((CONFIGS / family / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    schedule |= {"prediction_type": prediction_type, "rescale_betas_zero_snr": "ztsnr" in header.shapes}
    return {
        "tokenizers": tokenizers,
        "text_encoders": (pipeline.text_encoder, pipeline.text_encoder_2) if xl else (pipeline.text_encoder,),
        "unet": pipeline.unet,
        "vae": vae,
        "schedule": sampler_config(schedule),
        "zero_empty_prompt": xl,
    }


def clip_tokenizer(pad: str) -> Any:
    """Return CLIP's tokenizer; its vocabulary is written out from the merges.

    Args:
        pad: the token that fills up: the end token, or "!" for XL's second encoder.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    with gzip.open(CONFIGS / "clip" / "merges.txt.gz", "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file]
    letters = _byte_letters(set(ByteLevel.alphabet()))
    tokens = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in merges), _BOS, _EOS]
    numbered = {token: number for number, token in enumerate(tokens)}
    kind: Any = CLIPTokenizer
    return kind(vocab=numbered, merges=merges, model_max_length=77, pad_token=pad)


def _byte_letters(alphabet: set[str]) -> list[str]:
    """Return the letters that stand for bytes in CLIP's order: printable ones first, then those moved up."""
    printable = [chr(b) for b in (*range(33, 127), *range(161, 173), *range(174, 256))]
    return printable + sorted(alphabet - set(printable))
