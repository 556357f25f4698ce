"""Checkpoints in one file, in the layout of the original Stable Diffusion code.

Such a file holds weights only. Shapes in its header tell the family; what the
weights belong to (configs) and how words become numbers (CLIP's vocabulary,
MIT licence) comes with the studio, so that no network is needed. Renaming the
weights is diffusers' own code. Known are text-to-image checkpoints of the
families of `domain.base_model`; for others the answer is one sentence.
"""

from __future__ import annotations

import gzip
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import FAMILIES, FAMILY, FAMILY_WORDS, BaseFamily, BaseLocation, Family, PredictionType
from studio.engines.diffusion.bases.header import WeightsHeader
from studio.errors import UserInputError

if TYPE_CHECKING:
    import torch

CONFIGS = Path(__file__).parent / "configs"
_UNET = "model.diffusion_model."
_FIRST = _UNET + "input_blocks.0.0.weight"
_VAE, _VAE_TITLE = "first_stage_model.", "the autoencoder"
_OTHERS = {1024: "Stable Diffusion 2", 1280: "the XL refiner"}
"""Width of the words that the UNet of a family attends to which the studio does not know -> its name."""
_HINT = f"The studio works with {FAMILY_WORDS} checkpoints for text to image."
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
    alike = [family for family in FAMILIES if family.text_width in widths]
    if not alike:
        known = next((_OTHERS[w] for w in widths if w in _OTHERS), "another family")
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


def load_file(location: BaseLocation, dtype: torch.dtype) -> dict[str, Any]:
    """Load every component of a checkpoint.

    Returns:
        tokenizers, text_encoders, unet, vae, schedule, zero_empty_prompt, as `loading` wants them.

    Raises:
        UserInputError: as `family_of`.
    """
    import diffusers
    import torch

    from studio.engines.diffusion.bases.header import read_header
    from studio.engines.diffusion.bases.schedule import sampler_config

    path, family = Path(location.path), FAMILY[location.family]
    header = read_header(path)
    family_of(header, path.name)
    library: Any = diffusers
    folder = CONFIGS / family.name
    tokenizers = tuple(clip_tokenizer(encoder.padding) for encoder in family.text)
    vae = library.AutoencoderKL.from_single_file(
        str(path), config=str(folder), subfolder="vae", torch_dtype=torch.float32, local_files_only=True
    )
    kind = getattr(library, family.pipeline)
    given = dict(zip((encoder.tokenizer for encoder in family.text), tokenizers, strict=True))
    pipeline = kind.from_single_file(
        str(path), config=str(folder), vae=vae, torch_dtype=dtype, local_files_only=True,
        **given, **taken(kind, {"safety_checker": None}),
    )  # fmt: skip
    vae.to(torch.float32)
    schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    schedule |= {"prediction_type": location.prediction_type, "rescale_betas_zero_snr": "ztsnr" in header.shapes}
    return {
        "tokenizers": tokenizers,
        "text_encoders": tuple(getattr(pipeline, encoder.part) for encoder in family.text),
        "unet": pipeline.unet,
        "vae": vae,
        "schedule": sampler_config(schedule),
        "zero_empty_prompt": family.zero_empty_prompt,
    }


def taken(pipeline: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some options that the constructor of a diffusers pipeline takes."""
    known = inspect.signature(pipeline.__init__).parameters
    return {name: value for name, value in options.items() if name in known}


def clip_tokenizer(pad: str) -> Any:
    """Return CLIP's tokenizer; its vocabulary is written out from the merges.

    Args:
        pad: the token that fills up.
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
