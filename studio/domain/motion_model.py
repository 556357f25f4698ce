"""Motion for base models: what a card says before any of it is on the disk, and where the files are.

A card (presets/motion/<name>.json) describes one MotionAdapter of diffusers. The studio's own comes plain, and as what
went on from it around an anchor frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from studio.domain.base_model import Family

MotionSource = Literal["embedded", "hub"]


class MotionCard(BaseModel):
    """One motion adapter as presets/motion/<name>.json describes it.

    Attributes:
        name: unique; letters, digits and dashes.
        family: of base models that it fits.
        source: "embedded" comes with the studio once `base build --motion` made it, "hub" is downloaded when asked.
        folder: of the embedded one, under assets.
        control: folder of a control by the 3D face that fits it, under assets; "" where there is none.
        repository, revision, files, download_bytes: as of base models.
        frames: most that it sees together.
        frame_rate_hz: of the clips it was taught with.
        ran_here: whether somebody has made a clip with it in this studio; else it is said.
        about: what it is and is not, in one or two plain sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    title: Annotated[str, Field(min_length=1, max_length=80)]
    family: Family
    source: MotionSource
    folder: str = ""
    control: str = ""
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    download_bytes: Annotated[int, Field(ge=0)] = 0
    gated: bool = False
    licence: str
    licence_url: str = ""
    frames: Annotated[int, Field(ge=1, le=256)]
    frame_rate_hz: Annotated[float, Field(gt=0, le=60)]
    ran_here: bool = False
    about: str = ""

    @model_validator(mode="after")
    def _complete(self) -> MotionCard:
        if self.source == "hub" and not (self.repository and self.files and self.download_bytes):
            raise ValueError("motion of the hub needs repository, files and download_bytes")
        if self.source == "embedded" and not self.folder:
            raise ValueError("motion that comes with the studio needs its folder")
        if any(not f.endswith((".safetensors", ".json")) for f in self.files):
            raise ValueError("only safetensors and JSON files are ever loaded")
        return self


@dataclass(frozen=True, kw_only=True)
class MotionFiles:
    """Motion whose files are on this computer.

    Attributes:
        name: of the card, or of the person's own folder.
        folder: of a MotionAdapter.
        control: folder of a FaceControl that fits it; None where there is none.
        frames: most that it sees together; None where no card says it.
        sha256: of the motion's weights; names them in recipes.
    """

    name: str
    folder: Path
    control: Path | None = None
    frames: int | None = None
    sha256: str = ""
