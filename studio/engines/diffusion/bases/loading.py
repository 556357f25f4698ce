"""Base models: looking at files that are here, and loading them.

`inspect_base` reads configs and headers only, so that a wrong, damaged or
pickled file is named in a moment and without torch. `load_base` builds the
components one by one from classes named here; the files never say what code
is run. A folder is in the layout of diffusers, a single file in the layout of
the original Stable Diffusion checkpoints (see `single_file`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from studio.domain.base_model import BaseLocation, Family, PredictionType
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.header import PICKLED, OnRead, read_header, refuse_pickles, weights_sha256
from studio.engines.diffusion.bases.schedule import sampler_config
from studio.engines.diffusion.bases.single_file import family_of, load_file, prediction_of
from studio.errors import EngineError, NotFoundError, StudioError, UnreadableMediaError, UserInputError

if TYPE_CHECKING:
    import torch

_TEXT_PARTS: dict[Family, tuple[str, ...]] = {
    "sd15": ("text_encoder",),
    "sdxl": ("text_encoder", "text_encoder_2"),
}
_TOKENIZERS: dict[Family, tuple[str, ...]] = {"sd15": ("tokenizer",), "sdxl": ("tokenizer", "tokenizer_2")}
_FOLDER_HINT = "Choose a folder in the diffusers layout: model_index.json with unet, vae, text_encoder, tokenizer."
_PREVIEW_SAMPLE = 64
"""Latent cells of a side that `sample_size` has when a UNet's config does not say it."""


@dataclass
class LoadedBase:
    """A base model in memory: fresh modules in eval mode whose parameters ask for no gradient.

    Attributes:
        tokenizers, text_encoders: one for sd15, two for sdxl.
        unet: in `dtype`, as the text encoders.
        vae: always fp32; the XL autoencoder overflows in fp16, and its share of the memory is small.
        noise_scheduler: the schedule the model was trained with (DDPMScheduler), for training.
        sampler_config: the schedule for samplers; `from_config` of any diffusers scheduler takes it.
        zero_empty_prompt: the model was trained with zeros where a prompt is empty.
    """

    location: BaseLocation
    tokenizers: tuple[Any, ...] = field(repr=False)
    text_encoders: tuple[Any, ...] = field(repr=False)
    unet: Any = field(repr=False)
    vae: Any = field(repr=False)
    noise_scheduler: Any = field(repr=False)
    sampler_config: dict[str, Any] = field(repr=False)
    device: str
    dtype: torch.dtype
    zero_empty_prompt: bool = False

    @property
    def family(self) -> Family:
        """The family of the model."""
        return self.location.family

    @property
    def latent_channels(self) -> int:
        """Channels of a latent picture."""
        return int(self.unet.config.in_channels)

    @property
    def latent_factor(self) -> int:
        """Pixels of a side that one latent cell stands for."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def modules(self) -> tuple[Any, ...]:
        """Every network of the base."""
        return (self.unet, self.vae, *self.text_encoders)


# -- looking ------------------------------------------------------------------------------


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
    if not path.exists():
        raise NotFoundError(f"There is no base model at {path.name!r}.", "Check the path.")
    name, title = name or _slug(path.stem if path.is_file() else path.name), title or path.stem
    if path.is_file():
        return _inspect_file(path, name, title, sha256, on_read)
    return _inspect_folder(path, name, title, sha256, on_read)


def _inspect_file(path: Path, name: str, title: str, sha256: str, on_read: OnRead | None) -> BaseLocation:
    """Look at a single checkpoint file."""
    refuse_pickles(path)
    header = read_header(path)
    family = family_of(header, path.name)
    return BaseLocation(
        name=name, title=title, family=family, path=str(path), is_file=True,
        resolution=1024 if family == "sdxl" else 512,
        prediction_type=prediction_of(header),
        sha256=sha256 or weights_sha256(path, on_read),
    )  # fmt: skip


def _inspect_folder(path: Path, name: str, title: str, sha256: str, on_read: OnRead | None = None) -> BaseLocation:
    """Look at a diffusers folder."""
    index = _json(path / "model_index.json", _FOLDER_HINT)
    unet = _json(path / "unet" / "config.json", _FOLDER_HINT)
    family = _family_of_unet(unet, path.name, str(index.get("_class_name", "")))
    for part in ("unet", "vae", *_TEXT_PARTS[family]):
        _json(path / part / "config.json", _FOLDER_HINT)
        for weights in component_weights(path / part):
            read_header(weights)
    for part in _TOKENIZERS[family]:
        if not any((path / part / file).is_file() for file in ("tokenizer.json", "vocab.json")):
            raise UserInputError(f"The base model {path.name} has no {part}.", _FOLDER_HINT)
    schedule = _json(path / "scheduler" / "scheduler_config.json", _FOLDER_HINT)
    vae = _json(path / "vae" / "config.json", _FOLDER_HINT)
    factor = 2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1)
    return BaseLocation(
        name=name, title=title, family=family, path=str(path),
        embedded=vae.get("_class_name") == "PatchAutoencoder",
        resolution=int(unet.get("sample_size") or _PREVIEW_SAMPLE) * factor,
        prediction_type=cast("PredictionType", schedule.get("prediction_type", "epsilon")),
        sha256=sha256 or weights_sha256(component_weights(path / "unet")[0], on_read),
    )  # fmt: skip


def component_weights(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of one component: the full ones, else the fp16 variant.

    Raises:
        UserInputError: there are none, or only pickled ones.
    """
    whole = sorted(folder.glob("*.safetensors"))
    plain = tuple(p for p in whole if not _variant(p))
    found = plain or tuple(p for p in whole if _variant(p) == "fp16")
    if found:
        return found
    for other in sorted(folder.glob("*")):
        if other.suffix.lower() in PICKLED:
            refuse_pickles(other)
    raise UserInputError(f"The base model {folder.parent.name} has no weights for {folder.name}.", _FOLDER_HINT)


def _variant(path: Path) -> str:
    """Return the word between name and ending ("fp16", "non_ema", ""), as diffusers writes it."""
    parts = path.name.split(".")
    return parts[1].split("-")[0] if len(parts) > 2 else ""


def _family_of_unet(config: dict[str, Any], name: str, pipeline: str) -> Family:
    """Tell the family from a UNet's config.

    Raises:
        UserInputError: no model of a family that the studio knows.
    """
    if config.get("_class_name") == "UNet2DConditionModel":
        added = config.get("addition_embed_type")
        if added == "text_time" and "Refiner" not in pipeline and config.get("projection_class_embeddings_input_dim"):
            return "sdxl"
        if added is None and config.get("in_channels") == config.get("out_channels"):
            return "sd15"
    raise UserInputError(
        f"{name} is a model of another family ({pipeline or config.get('_class_name', 'unknown')}).",
        "The studio works with Stable Diffusion 1.x and XL models for text to image.",
    )


def _json(path: Path, hint: str) -> dict[str, Any]:
    """Read a config.

    Raises:
        UserInputError: it is missing.
        UnreadableMediaError: it is no JSON object.
    """
    shown = f"{path.parent.name}/{path.name}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise UserInputError(f"The base model lacks {shown}.", hint) from exc
    except (OSError, ValueError) as exc:
        raise UnreadableMediaError(f"{shown} of the base model cannot be read.", "Copy or download it again.") from exc
    if not isinstance(value, dict):
        raise UnreadableMediaError(f"{shown} of the base model is no config.", "Copy or download it again.")
    return value


def _slug(text: str) -> str:
    """Return a name with letters, digits and dashes only."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return "-".join(words)[:40] or "base"


# -- loading ------------------------------------------------------------------------------


def load_base(location: BaseLocation, *, device: str | None = None, dtype: torch.dtype | None = None) -> LoadedBase:
    """Load a base model: fresh modules, eval mode, no gradients.

    Args:
        device: default the best one here.
        dtype: of UNet and text encoders; default `runtime.choose_dtype`.

    Raises:
        UserInputError, UnreadableMediaError, NotFoundError: as `inspect_base`.
        OutOfMemoryError: it does not fit.
        EngineError: the files do not belong together.
    """
    runtime.prepare()
    device = device or runtime.choose_device()
    dtype = dtype or runtime.choose_dtype(device)
    path = Path(location.path)
    if not path.exists():
        raise NotFoundError(f"The files of the base model {location.title} are gone.", "Add or download it again.")
    hint = "Close other programs, or choose a smaller base model."
    try:
        with runtime.memory_guard(f"Loading {location.title}", hint):
            parts = _load_file(location, dtype) if location.is_file else _load_folder(path, location.family, dtype)
            for tokenizer, encoder in zip(parts["tokenizers"], parts["text_encoders"], strict=True):
                # Old folders do not say how long a prompt may be; the encoder's positions do.
                places = encoder.config.max_position_embeddings
                tokenizer.model_max_length = min(tokenizer.model_max_length, places)
            for module in (parts["unet"], parts["vae"], *parts["text_encoders"]):
                module.requires_grad_(False)
                module.eval()
                module.to(device)
    except StudioError:
        raise
    except Exception as exc:  # loaders raise anything on files that do not fit together: this is the wall
        reason = str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__
        raise EngineError(
            f"The base model {location.title} could not be loaded: {reason}", "Copy or download it again."
        ) from exc
    from diffusers import DDPMScheduler

    training_schedule: Any = DDPMScheduler
    schedule = parts["schedule"]
    return LoadedBase(
        location=location,
        tokenizers=parts["tokenizers"],
        text_encoders=parts["text_encoders"],
        unet=parts["unet"],
        vae=parts["vae"],
        noise_scheduler=training_schedule.from_config(schedule),
        sampler_config=schedule,
        device=device,
        dtype=dtype,
        zero_empty_prompt=parts["zero_empty_prompt"],
    )


def _load_folder(path: Path, family: Family, dtype: torch.dtype) -> dict[str, Any]:
    """Load every component of a diffusers folder."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    _inspect_folder(path, "base", "base", "unread")
    vae_class: Any = AutoencoderKL
    if _json(path / "vae" / "config.json", _FOLDER_HINT).get("_class_name") == "PatchAutoencoder":
        from studio.engines.diffusion.bases.autoencoder import PatchAutoencoder

        vae_class = PatchAutoencoder

    def read(kind: Any, part: str, **options: Any) -> Any:
        variant = _variant(component_weights(path / part)[0]) or None
        return kind.from_pretrained(
            path / part, variant=variant, use_safetensors=True, local_files_only=True, **options
        )

    encoders: tuple[Any, ...] = (CLIPTextModel, CLIPTextModelWithProjection)
    return {
        "tokenizers": tuple(
            CLIPTokenizer.from_pretrained(path / part, local_files_only=True) for part in _TOKENIZERS[family]
        ),
        "text_encoders": tuple(
            read(kind, part, dtype=dtype) for kind, part in zip(encoders, _TEXT_PARTS[family], strict=False)
        ),
        "unet": read(UNet2DConditionModel, "unet", torch_dtype=dtype),
        "vae": read(vae_class, "vae", torch_dtype=torch.float32),
        "schedule": sampler_config(_json(path / "scheduler" / "scheduler_config.json", _FOLDER_HINT)),
        "zero_empty_prompt": bool(
            family == "sdxl"
            and _json(path / "model_index.json", _FOLDER_HINT).get("force_zeros_for_empty_prompt", True)
        ),
    }


def _load_file(location: BaseLocation, dtype: torch.dtype) -> dict[str, Any]:
    """Load a single checkpoint file."""
    parts: dict[str, Any] = load_file(Path(location.path), location.family, location.prediction_type, dtype)
    return parts


def text_to_image(loaded: LoadedBase) -> Any:
    """Return a diffusers pipeline over the loaded components: nothing is copied, no safety checker.

    The studio draws with `sampling.draw`; this is for whoever needs a
    pipeline's own functions, such as its adapter loaders.

    Returns:
        StableDiffusionPipeline or StableDiffusionXLPipeline, its progress bar off.
    """
    runtime.prepare()
    import diffusers

    library: Any = diffusers
    shared: dict[str, Any] = {
        "vae": loaded.vae,
        "text_encoder": loaded.text_encoders[0],
        "tokenizer": loaded.tokenizers[0],
        "unet": loaded.unet,
        "scheduler": library.DPMSolverMultistepScheduler.from_config(loaded.sampler_config),
        "feature_extractor": None,
    }
    pipeline: Any
    if loaded.family == "sdxl":
        pipeline = library.StableDiffusionXLPipeline(
            **shared,
            text_encoder_2=loaded.text_encoders[1],
            tokenizer_2=loaded.tokenizers[1],
            force_zeros_for_empty_prompt=loaded.zero_empty_prompt,
            add_watermarker=False,
        )
    else:
        pipeline = library.StableDiffusionPipeline(**shared, safety_checker=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
