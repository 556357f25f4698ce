"""Base models: what a family is, what a card says, and where the files are.

A family is one row of FAMILIES: every fact in which models of different
families differ, as text and numbers; engines read the row and ask for no name.
A card (presets/bases/<name>.json) describes a model before any of it is on
the disk: its licence and size are shown first. A `BaseLocation` is what
engines are given: files that are here. Nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

PredictionType = Literal["epsilon", "v_prediction"]
BaseSource = Literal["embedded", "hub", "folder", "file"]


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """One text encoder of a family.

    Attributes:
        part: its folder in the diffusers layout, and its name in adapter files.
        title: as sentences name it.
        tokenizer: folder of its tokenizer, which is CLIP's.
        padding: token that fills a prompt up.
        model: class of transformers.
        layer: of the hidden states that the UNet attends to; -1 is the last, with the final norm behind it.
        pooled: whether the UNet is also given its projection of the whole prompt.
        checkpoint_prefix: what its weights begin with in a checkpoint of one file.
        kohya_prefix: what its layers begin with in kohya's adapter files.
        comfy_name: what ComfyUI's own adapter files call it.
    """

    part: str
    title: str
    tokenizer: str
    padding: str
    model: str
    layer: int
    pooled: bool
    checkpoint_prefix: str
    kohya_prefix: str
    comfy_name: str

    @property
    def embedding_prefix(self) -> str:
        """What the rows of learned words begin with in adapter files: "embedding.", "embedding_2.", ..."""
        return f"embedding{self.part.removeprefix('text_encoder')}."


@dataclass(frozen=True, kw_only=True)
class BaseFamily:
    """What all models of one family share; its configs lie in `engines/diffusion/bases/configs/<name>`.

    Attributes:
        name: as cards, presets and adapters name it.
        title: as people read it.
        pipeline: class of diffusers that is made for it.
        text: its text encoders, in the order in which their results stand side by side.
        text_width: numbers per token that the UNet's cross-attention takes.
        latent_channels: of the original models; a model of one's own may have others.
        resolution: pixels of a side, where a checkpoint does not say it.
        prediction: what its models predict, where a checkpoint does not say it.
        added: what the UNet is told besides words, as its config names it; "text_time" is the pooled prompt
            and the picture's sizes.
        zero_empty_prompt: trained with zeros where a prompt is empty.
        known_as: what names the family in other programs' metadata, in small letters.
        architecture: its name in modelspec metadata.
        kohya_version: its name in the metadata of kohya's scripts.
        kohya_blocks: whose names of the UNet's blocks kohya's adapter files use.
    """

    name: str
    title: str
    pipeline: str
    text: tuple[TextEncoder, ...]
    text_width: int
    latent_channels: int = 4
    resolution: int
    prediction: PredictionType = "epsilon"
    added: Literal["", "text_time"] = ""
    zero_empty_prompt: bool = False
    known_as: tuple[str, ...]
    architecture: str
    kohya_version: str
    kohya_blocks: Literal["diffusers", "checkpoint"]

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the networks that adapters can change, by their names in files."""
        return ("unet", *(encoder.part for encoder in self.text))


FAMILIES: tuple[BaseFamily, ...] = (
    BaseFamily(
        name="sd15",
        title="Stable Diffusion 1.x",
        pipeline="StableDiffusionPipeline",
        text=(
            TextEncoder(
                part="text_encoder", title="the text encoder", tokenizer="tokenizer", padding="<|endoftext|>",
                model="CLIPTextModel", layer=-1, pooled=False,
                checkpoint_prefix="cond_stage_model.transformer.text_model.", kohya_prefix="lora_te_",
                comfy_name="clip_l",
            ),
        ),
        text_width=768,
        resolution=512,
        known_as=("sd15", "sd_v1", "stable-diffusion-v1"),
        architecture="stable-diffusion-v1",
        kohya_version="sd_v1",
        kohya_blocks="diffusers",
    ),
    BaseFamily(
        name="sdxl",
        title="Stable Diffusion XL",
        pipeline="StableDiffusionXLPipeline",
        text=(
            TextEncoder(
                part="text_encoder", title="the text encoder", tokenizer="tokenizer", padding="<|endoftext|>",
                model="CLIPTextModel", layer=-2, pooled=False,
                checkpoint_prefix="conditioner.embedders.0.transformer.text_model.", kohya_prefix="lora_te1_",
                comfy_name="clip_l",
            ),
            TextEncoder(
                part="text_encoder_2", title="the second text encoder", tokenizer="tokenizer_2", padding="!",
                model="CLIPTextModelWithProjection", layer=-2, pooled=True,
                checkpoint_prefix="conditioner.embedders.1.model.", kohya_prefix="lora_te2_",
                comfy_name="clip_g",
            ),
        ),
        text_width=2048,
        resolution=1024,
        added="text_time",
        zero_empty_prompt=True,
        known_as=("sdxl", "stable-diffusion-xl"),
        architecture="stable-diffusion-xl-v1-base",
        kohya_version="sdxl_base_v1-0",
        kohya_blocks="checkpoint",
    ),
)  # fmt: skip
OTHER_FAMILIES: tuple[tuple[str, str], ...] = (
    ("a language model", r"(^|[._])model[._]layers[._]\d+[._](self_attn|mlp)"),
    ("Flux", r"(double|single)_blocks[._]\d|single_transformer_blocks[._]\d"),
    ("Qwen-Image", r"transformer_blocks[._]\d+[._](img|txt)_(mlp|mod)"),
    ("Stable Diffusion 3", r"joint_blocks[._]\d|transformer_blocks[._]\d+[._]attn[._]add_[qkv]_proj"),
    ("Wan", r"blocks[._]\d+[._](self|cross)_attn[._](q|k|v|o)\b|^lora_unet_blocks_\d+_(self|cross)_attn"),
    ("PixArt or LTX-Video", r"^(transformer|diffusion_model|lora_unet|lora_transformer)[._]transformer_blocks[._]\d"),
    ("Lumina or Z-Image", r"^(diffusion_model|transformer|lora_unet)[._]layers[._]\d+[._](attention|feed_forward)"),
)
"""Families the studio does not train -> how a key of theirs, and of no family here, looks; the first match names it.

Their text encoders may be those of a family here: the rest of a file tells.
"""
OTHER_TEXT_WIDTHS: dict[int, str] = {1024: "Stable Diffusion 2", 1280: "the refiner of Stable Diffusion XL"}
"""Width of the words that the UNet of a family attends to which has our keys and is none of ours -> its name."""
OTHER_NOTES: tuple[tuple[str, str], ...] = (
    (OTHER_TEXT_WIDTHS[1024], r"stable-diffusion-v2|\bsd_v2"),
    (OTHER_TEXT_WIDTHS[1280], r"\b(sd)?xl[_\w-]*refiner|stable-diffusion-xl-v1-refiner"),
)
"""The same -> how metadata of other programs name it."""
FAMILY: dict[str, BaseFamily] = {family.name: family for family in FAMILIES}
FAMILY_TITLES: dict[str, str] = {family.name: family.title for family in FAMILIES}
FAMILY_WORDS = " and ".join(FAMILY_TITLES.values())
"""All families, as a sentence names them."""


def _known_family(name: str) -> str:
    if name not in FAMILY:
        raise ValueError(f"no known family; families are {', '.join(FAMILY)}")
    return name


Family = Annotated[str, AfterValidator(_known_family), WithJsonSchema({"enum": [*FAMILY], "type": "string"})]
"""The name of a row of FAMILIES."""


class BaseModelCard(BaseModel):
    """One base model as presets/bases/<name>.json describes it.

    Attributes:
        name: unique; letters, digits and dashes.
        source: "embedded" comes with the studio, "hub" is downloaded when asked;
            "folder" and "file" are a person's own.
        repository, revision: on the hub; a revision is a commit, so that a download is always the same.
        files: names of what is downloaded; safetensors, JSON and tokenizer files only.
        download_bytes: size of all files together.
        gated: the owner of the files asks for an agreement and a token first.
        resolution: pixels of a side the model was made for.
        steps, guidance: of the sampler when nobody says otherwise.
        about: what it is and is not, in one or two plain sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    title: Annotated[str, Field(min_length=1, max_length=80)]
    family: Family
    source: BaseSource
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    download_bytes: Annotated[int, Field(ge=0)] = 0
    licence: str
    licence_url: str = ""
    gated: bool = False
    resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)]
    prediction_type: PredictionType = "epsilon"
    steps: Annotated[int, Field(ge=1, le=150)] = 25
    guidance: Annotated[float, Field(ge=1.0, le=30.0)] = 6.0
    about: str = ""

    @model_validator(mode="after")
    def _complete(self) -> BaseModelCard:
        if self.source == "hub" and not (self.repository and self.files and self.download_bytes):
            raise ValueError("a model of the hub needs repository, files and download_bytes")
        if any(not f.endswith((".safetensors", ".json", ".txt", ".model")) for f in self.files):
            raise ValueError("only safetensors, JSON and tokenizer files are ever loaded")
        return self


@dataclass(frozen=True, kw_only=True)
class BaseLocation:
    """A base model whose files are on this computer.

    Attributes:
        path: a diffusers folder, or one safetensors file (`is_file`).
        sha256: of the UNet's weights file (folder) or of the file; names the model in recipes and adapters.
        embedded: the studio's own preview base, which brings an autoencoder of its own kind.
    """

    name: str
    title: str
    family: Family
    path: str
    is_file: bool = False
    embedded: bool = False
    resolution: int = 512
    prediction_type: PredictionType = "epsilon"
    sha256: str = ""
