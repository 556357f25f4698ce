"""Putting a checkpoint of one file into memory.

What the weights belong to (configs) and how words become numbers (CLIP's
vocabulary, MIT licence) comes with the studio, so that no network is needed.
Renaming the weights is diffusers' own code.
"""

from __future__ import annotations

import gzip
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import FAMILY, BaseLocation
from studio.engines.diffusion.bases.header import read_header
from studio.engines.diffusion.bases.schedule import sampler_config
from studio.engines.diffusion.bases.single_file import CONFIGS, family_of
from studio.outside import json_of

if TYPE_CHECKING:
    import torch

_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def load_file(location: BaseLocation, dtype: torch.dtype) -> dict[str, Any]:
    """Load every component of a checkpoint.

    Returns:
        tokenizers, text_encoders, unet, vae, schedule, zero_empty_prompt, as `loading` wants them.

    Raises:
        UserInputError: as `family_of`.
    """
    import diffusers
    import torch

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
    schedule = json_of((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
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
