"""Base models: what a family is, what a card says, and where the files are.

A card (presets/bases/<name>.json) describes a model before any of it is on
the disk: its licence and size are shown first. A `BaseLocation` is what
engines are given: files that are here. Nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Family = Literal["sd15", "sdxl"]
PredictionType = Literal["epsilon", "v_prediction"]
BaseSource = Literal["embedded", "hub", "folder", "file"]
FAMILY_TITLES: dict[Family, str] = {"sd15": "Stable Diffusion 1.x", "sdxl": "Stable Diffusion XL"}


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
