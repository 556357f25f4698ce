"""Looking at base models that are here: what they are, and whether they are whole.

`inspect_base` reads configs and headers only, so that a wrong, damaged or
pickled file is named in a moment and without torch. A folder is in the layout
of diffusers, a single file in that of the original Stable Diffusion
checkpoints (see `single_file`). Putting weights into memory is `loading`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from studio.domain.base_model import FAMILIES, FAMILY, FAMILY_WORDS, BaseFamily, BaseLocation, PredictionType
from studio.engines.diffusion.bases.header import PICKLED, OnRead, read_header, refuse_pickles, weights_sha256
from studio.engines.diffusion.bases.single_file import family_of, prediction_of
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError
from studio.outside import exists, json_of, text_of

_FOLDER_HINT = "Choose a folder in the diffusers layout: model_index.json with unet, vae, text_encoder, tokenizer."
RECORD = "base.json"
"""What a model that was made here says of itself; other models have none."""
EMBEDDED_AUTOENCODER = "AutoencoderDC"
"""Class of the base's own autoencoder, as its config names it."""
_PREVIEW_SAMPLE = 64
"""Latent cells of a side that `sample_size` has when a UNet's config does not say it."""


def inspect_base(
    path: Path, *, name: str = "", title: str = "", sha256: str = "", on_read: OnRead | None = None
) -> BaseLocation:
    """Say what a base model's files are, without loading them.

    Args:
        path: a folder in the diffusers layout, or one safetensors file.
        name, title: default the file's own name.
        sha256: of the weights where it is known already; "" reads them all once.
        on_read: told how far that is.

    Raises:
        NotFoundError: nothing is there.
        UserInputError: pickled, another family, a component is missing.
        UnreadableMediaError: damaged or cut off.
    """
    if not exists(path):
        raise NotFoundError(f"There is no base model at {path.name!r}.", "Check the path.")
    name, title = name or _slug(path.stem if path.is_file() else path.name), title or path.stem
    if path.is_file():
        return _inspect_file(path, name, title, sha256, on_read)
    return _inspect_folder(path, name, title, sha256, on_read)


def _inspect_file(path: Path, name: str, title: str, sha256: str, on_read: OnRead | None) -> BaseLocation:
    """Look at a single checkpoint file."""
    refuse_pickles(path)
    header = read_header(path)
    family = FAMILY[family_of(header, path.name)]
    return BaseLocation(
        name=name, title=title, family=family.name, path=str(path), is_file=True,
        resolution=family.resolution,
        prediction_type=prediction_of(header, family),
        sha256=sha256 or weights_sha256(path, on_read),
    )  # fmt: skip


def _inspect_folder(path: Path, name: str, title: str, sha256: str, on_read: OnRead | None) -> BaseLocation:
    """Look at a diffusers folder."""
    family, vae = check_folder(path), read_config(path, "vae")
    unet, schedule = read_config(path, "unet"), read_config(path, "scheduler", "scheduler_config.json")
    widths = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or (0,) * 4
    factor = 2 ** (len(widths) - 1)
    return BaseLocation(
        name=name, title=title, family=family.name, path=str(path),
        embedded=vae.get("_class_name") == EMBEDDED_AUTOENCODER,
        resolution=int(unet.get("sample_size") or _PREVIEW_SAMPLE) * factor,
        prediction_type=cast("PredictionType", schedule.get("prediction_type", "epsilon")),
        sha256=sha256 or weights_sha256(component_weights(path / "unet")[0], on_read),
    )  # fmt: skip


def check_folder(path: Path) -> BaseFamily:
    """Check that a diffusers folder has every component of its family, whole; return the family.

    Raises:
        UserInputError, UnreadableMediaError: as `inspect_base`.
    """
    index = read_config(path, "", "model_index.json")
    unet = read_config(path, "unet")
    said = read_config(path, "", RECORD).get("family") if (path / RECORD).is_file() else None
    family = _family_of_unet(unet, path.name, str(index.get("_class_name", "")), said)
    for part in (*family.parts, "vae"):
        read_config(path, part)
        for weights in component_weights(path / part):
            read_header(weights)
    for encoder in family.text:
        if not any((path / encoder.tokenizer / file).is_file() for file in ("tokenizer.json", "vocab.json")):
            raise UserInputError(f"The base model {path.name} has no {encoder.tokenizer}.", _FOLDER_HINT)
    read_config(path, "scheduler", "scheduler_config.json")
    return family


def component_weights(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of one component: the full ones, else the fp16 variant.

    Raises:
        UserInputError: there are none, or only pickled ones.
    """
    whole = sorted(folder.glob("*.safetensors"))
    plain = tuple(p for p in whole if not variant_of(p))
    found = plain or tuple(p for p in whole if variant_of(p) == "fp16")
    if found:
        return found
    for other in sorted(folder.glob("*")):
        if other.suffix.lower() in PICKLED:
            refuse_pickles(other)
    raise UserInputError(f"The base model {folder.parent.name} has no weights for {folder.name}.", _FOLDER_HINT)


def variant_of(path: Path) -> str:
    """Return the word between name and ending ("fp16", "non_ema", ""), as diffusers writes it."""
    parts = path.name.split(".")
    return parts[1].split("-")[0] if len(parts) > 2 else ""


def _family_of_unet(config: dict[str, Any], name: str, pipeline: str, said: Any = None) -> BaseFamily:
    """Tell the family from a UNet's config.

    Of families whose UNets are told the same besides words, the width decides,
    or what the folder says; models of one's own may have a width of their own.

    Args:
        said: the family that the folder's record names, if it has one.

    Raises:
        UserInputError: no model of a family that the studio knows.
    """
    if config.get("_class_name") == "UNet2DConditionModel":
        added = config.get("addition_embed_type") or ""
        whole = bool(config.get("projection_class_embeddings_input_dim")) and "Refiner" not in pipeline
        usable = whole if added else config.get("in_channels") == config.get("out_channels")
        alike = [family for family in FAMILIES if usable and family.added == added]
        width = config.get("cross_attention_dim")
        exact = [f for f in alike if f.text_width == width] or [f for f in alike if f.name == said]
        if alike:
            return (exact or alike)[0]
    raise UserInputError(
        f"{name} is a model of another family ({pipeline or config.get('_class_name', 'unknown')}).",
        f"The studio works with {FAMILY_WORDS} models for text to image.",
    )


def read_config(folder: Path, part: str, name: str = "config.json") -> dict[str, Any]:
    """Read one config of a diffusers folder.

    Args:
        part: folder of the component; "" for the base itself.

    Raises:
        UserInputError: it is missing.
        UnreadableMediaError: it is no JSON object.
    """
    path = folder / part / name
    shown = f"{path.parent.name}/{path.name}"
    try:
        value = json_of(text_of(path))
    except NotFoundError as exc:
        raise UserInputError(f"The base model lacks {shown}.", _FOLDER_HINT) from exc
    except (UserInputError, ValueError) as exc:
        raise UnreadableMediaError(f"{shown} of the base model cannot be read.", "Copy or download it again.") from exc
    if not isinstance(value, dict):
        raise UnreadableMediaError(f"{shown} of the base model is no config.", "Copy or download it again.")
    return value


def _slug(text: str) -> str:
    """Return a name with letters, digits and dashes only."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return "-".join(words)[:40] or "base"
