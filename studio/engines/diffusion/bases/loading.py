"""Loading base models: every component built from classes that the family's row names.

Files never say what code is run. What files are, and whether they are whole,
is told in `inspecting`; checkpoints of one file are read in `single_file_loading`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import FAMILY, BaseFamily, BaseLocation
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.inspecting import check_folder, component_weights, read_config, variant_of
from studio.engines.diffusion.bases.schedule import sampler_config
from studio.engines.diffusion.bases.single_file_loading import load_file, taken
from studio.errors import EngineError, NotFoundError, StudioError

if TYPE_CHECKING:
    import torch


@dataclass
class LoadedBase:
    """A base model in memory: fresh modules in eval mode whose parameters ask for no gradient.

    Attributes:
        tokenizers, text_encoders: in the order of the family's row.
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
    def family(self) -> BaseFamily:
        """The row of the model's family."""
        return FAMILY[self.location.family]

    @property
    def parts(self) -> dict[str, Any]:
        """The networks that adapters can change, by their names in files."""
        return dict(zip(self.family.parts, (self.unet, *self.text_encoders), strict=True))

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
            parts = load_file(location, dtype) if location.is_file else _load_folder(path, dtype)
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


def _load_folder(path: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Load every component of a diffusers folder."""
    import torch
    import transformers
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTokenizer

    from studio.engines.diffusion.bases.autoencoder import autoencoder_class

    family = check_folder(path)

    def read(kind: Any, part: str, **options: Any) -> Any:
        variant = variant_of(component_weights(path / part)[0]) or None
        return kind.from_pretrained(
            path / part, variant=variant, use_safetensors=True, local_files_only=True, **options
        )

    zeros = read_config(path, "", "model_index.json").get("force_zeros_for_empty_prompt", True)
    return {
        "tokenizers": tuple(
            CLIPTokenizer.from_pretrained(path / encoder.tokenizer, local_files_only=True) for encoder in family.text
        ),
        "text_encoders": tuple(
            read(getattr(transformers, encoder.model), encoder.part, dtype=dtype) for encoder in family.text
        ),
        "unet": read(UNet2DConditionModel, "unet", torch_dtype=dtype),
        "vae": read(autoencoder_class(read_config(path, "vae")), "vae", torch_dtype=torch.float32),
        "schedule": sampler_config(read_config(path, "scheduler", "scheduler_config.json")),
        "zero_empty_prompt": bool(family.zero_empty_prompt and zeros),
    }


def text_to_image(loaded: LoadedBase) -> Any:
    """Return a diffusers pipeline over the loaded components: nothing is copied, no safety checker.

    The studio draws with `sampling.draw`; this is for whoever needs a
    pipeline's own functions, such as its adapter loaders.

    Returns:
        The pipeline of the base's family, its progress bar off.
    """
    runtime.prepare()
    import diffusers

    library: Any = diffusers
    kind: Any = getattr(library, loaded.family.pipeline)
    components = {"vae": loaded.vae, "unet": loaded.unet}
    components["scheduler"] = library.DPMSolverMultistepScheduler.from_config(loaded.sampler_config)
    for row, tokenizer, encoder in zip(loaded.family.text, loaded.tokenizers, loaded.text_encoders, strict=True):
        components |= {row.tokenizer: tokenizer, row.part: encoder}
    options = {
        "feature_extractor": None, "safety_checker": None, "requires_safety_checker": False,
        "add_watermarker": False, "force_zeros_for_empty_prompt": loaded.zero_empty_prompt,
    }  # fmt: skip
    pipeline: Any = kind(**components, **taken(kind, options))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
