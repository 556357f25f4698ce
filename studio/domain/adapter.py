"""Adapters: what was learned of a person, as a small file that a base model wears.

Lineage runs photos -> run -> checkpoint -> adapter -> file; every step is a
row. Strength 0 is the base itself, 1 what was trained. How files of adapters
are written by the programs that use them is the table ADAPTER_FORMATS; what
stands in them is known to engines alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from studio.domain.base_model import FAMILY, BaseLocation, Family, PredictionType
from studio.domain.names import as_read
from studio.errors import UserInputError

Method = Literal["lora", "dreambooth"]
Origin = Literal["trained", "imported", "merged"]
Kind = Literal["lora", "dora", "loha", "lokr", "full"]
STRENGTH_RANGE = (-2.0, 2.0)
AdapterFormat = str
"""The name of a row of ADAPTER_FORMATS."""


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """One way in which adapter files are written.

    Attributes:
        title: as a choice shows it.
        programs: who reads such files, in words that follow "for".
        help: the same for the command line, with what is particular about it.
        layout: module of `engines/diffusion/adapters` that reads and writes its keys.
        written: whether adapters can be exported so; else it is only read.
        full: whether it can hold full DreamBooth weights.
        words: whether it can hold learned words.
        lycoris: whether it can hold LoHa, LoKr and what else LyCORIS alone writes.
        half: whether numbers are rounded to 16 bits.
        pushed_as: ending of a file's name in a repository on the hub; None where it is not put there.
    """

    name: AdapterFormat
    title: str
    programs: str
    help: str = ""
    layout: str
    written: bool = True
    full: bool = False
    words: bool = False
    lycoris: bool = False
    half: bool = False
    pushed_as: str | None = None


ADAPTER_FORMATS: tuple[FileFormat, ...] = (
    FileFormat(
        name="peft", title="diffusers / PEFT", programs="diffusers", help="diffusers",
        layout="peft", full=True, words=True, pushed_as="",
    ),
    FileFormat(name="comfyui", title="ComfyUI's saver", programs="ComfyUI", layout="kohya", written=False),
    FileFormat(name="diffusers", title="older diffusers", programs="older diffusers", layout="peft", written=False),
    FileFormat(
        name="kohya", title="kohya (ComfyUI, A1111)", programs="ComfyUI and A1111 (kohya)",
        help="ComfyUI, A1111, kohya's scripts", layout="kohya", lycoris=True, half=True, pushed_as="-kohya",
    ),
    FileFormat(
        name="kohya32", title="kohya, 32 bit", programs="ComfyUI and A1111 (kohya, 32 bit)",
        help="the same as kohya, unrounded", layout="kohya", lycoris=True,
    ),
)  # fmt: skip
"""Where a file fits several rows, the last of them names it."""
WRITTEN_FORMATS: dict[AdapterFormat, FileFormat] = {f.name: f for f in ADAPTER_FORMATS if f.written}


def written_format(name: AdapterFormat) -> FileFormat:
    """Return the row of a format for export.

    Raises:
        UserInputError: there is none of that name.
    """
    if name not in WRITTEN_FORMATS:
        raise UserInputError(f"Adapters cannot be written as {name!r}.", f"Formats: {', '.join(WRITTEN_FORMATS)}.")
    return WRITTEN_FORMATS[name]


@dataclass(frozen=True, kw_only=True)
class NewAdapter:
    """An adapter that is about to be stored.

    Attributes:
        media_sha256: its weights in the media store (the studio's own layout: raw PEFT keys, safetensors).
        sheet_sha256: the pictures of its leak test; None while untested.
        trigger: the word that calls the person, such as "sks person"; "" when unknown.
        rank: largest rank in the file; None for full weights.
        base_name, base_sha256: the base it was trained on; "" when the file does not say.
        run_id, checkpoint_id: where it was trained.
        parents: id -> strength of the adapters it was merged from.
        measures: likeness, drift, leak and so on, as measured.
    """

    name: str
    method: Method = "lora"
    origin: Origin = "trained"
    family: Family
    media_sha256: str
    thumbnail_sha256: str | None = None
    sheet_sha256: str | None = None
    trigger: str = ""
    rank: int | None = None
    base_name: str = ""
    base_sha256: str = ""
    identity_id: str | None = None
    run_id: str | None = None
    checkpoint_id: str | None = None
    parents: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Adapter(NewAdapter):
    """A stored adapter; `created` is aware UTC."""

    id: str
    owner: str
    created: datetime


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """An adapter as an engine is given it.

    Attributes:
        path: safetensors in any layout the engine reads.
        name: letters, digits and underscores; unique in one picture.
        strength: STRENGTH_RANGE; 0 changes nothing.
    """

    path: str
    name: str
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AdapterExport:
    """A file that an adapter was written to, outside the studio; `created` is aware UTC."""

    id: str
    adapter_id: str
    format: AdapterFormat
    path: str
    sha256: str
    bytes: int
    created: datetime


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number behind it where it is taken."""
    number = 1
    while (name if number == 1 else f"{name} ({number})") in taken:
        number += 1
    return name if number == 1 else f"{name} ({number})"


def says_trigger(prompt: str, trigger: str) -> bool:
    """Say whether a prompt calls an adapter; one without a word of its own needs no calling."""
    return as_read(trigger) in as_read(prompt)


def with_trigger(prompt: str, trigger: str) -> str:
    """Return the prompt with an adapter's word in it: in place of "a person" where that stands, else in front."""
    for plain in ("a person", "a woman", "a man"):
        if plain in prompt:
            return prompt.replace(plain, trigger, 1)
    return f"{trigger}, {prompt}" if prompt.strip() else f"a photo of {trigger}"


# -- what files say, and what became of them ------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AdapterHeader:
    """What an adapter file says of itself; None and "" where it does not say.

    Attributes:
        format: how its keys are written.
        kind: how its update is written: low-rank, with a learned magnitude, as products, or full weights.
        family: from the metadata, else from the widths of the cross-attention.
        alpha: of the UNet where parts differ; None when the file leaves it out (then it equals the rank).
        modules: layers it changes.
        keys: all keys; `unknown` those of another kind of model.
        parts: the networks it changes, as the family's row names them.
    """

    format: AdapterFormat
    kind: Kind
    method: Method
    family: Family | None
    rank: int | None
    alpha: float | None
    trigger: str
    base_name: str
    base_sha256: str
    title: str
    modules: int
    keys: int
    unknown: int
    parts: tuple[str, ...]
    metadata: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AdapterMetadata:
    """What is written about an adapter into its file.

    Attributes:
        trigger: the word that calls the person.
        base_name, base_sha256: the base it was trained on.
        resolution: pixels of a side of the training pictures; 0 is not said.
        created: ISO 8601; "" leaves the date out, so that equal weights make equal files.
        description: one or two sentences for people.
    """

    family: Family
    method: Method = "lora"
    title: str = ""
    trigger: str = ""
    base_name: str = ""
    base_sha256: str = ""
    resolution: int = 0
    prediction_type: PredictionType = "epsilon"
    created: str = ""
    description: str = ""
    author: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Return the studio's own notes, as JSON values."""
        return {
            "family": self.family, "method": self.method, "title": self.title, "trigger": self.trigger,
            "base_name": self.base_name, "base_sha256": self.base_sha256, "resolution": self.resolution,
            "prediction_type": self.prediction_type,
        }  # fmt: skip

    def model_spec(self) -> dict[str, str]:
        """Return what other programs show about a file (sai_model_spec 1.0.0), without its hash and picture."""
        said = {
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": FAMILY[self.family].architecture + ("/lora" if self.method == "lora" else ""),
            "modelspec.implementation": "diffusers",
            "modelspec.title": self.title or self.trigger or "adapter",
            "modelspec.trigger_phrase": self.trigger,
            "modelspec.resolution": f"{self.resolution}x{self.resolution}" if self.resolution else "",
            "modelspec.prediction_type": {"epsilon": "epsilon", "v_prediction": "v"}[self.prediction_type],
            "modelspec.date": self.created,
            "modelspec.description": self.description,
            "modelspec.author": self.author,
        }
        return {key: value for key, value in said.items() if value} | dict(self.extra)


@dataclass(frozen=True)
class LoadReport:
    """What of a file found its place on the base.

    Attributes:
        matched: keys used.
        unmatched: keys for which the base has no place, sorted.
        assumed: what the file does not say and was taken for granted, as a sentence; empty when it says all.
    """

    name: str
    matched: int
    unmatched: tuple[str, ...]
    assumed: str = ""


@dataclass(frozen=True)
class ExportReport:
    """What became of a written adapter file when it was read back.

    Attributes:
        matched, unmatched: keys that found, and did not find, their place on the base.
        max_difference: largest difference of the fixed picture, before against after, 0..1.
        effect: largest difference that the adapter itself makes in that picture, 0..1.
    """

    path: Path
    format: AdapterFormat
    matched: int
    unmatched: tuple[str, ...]
    max_difference: float
    effect: float
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ImportReport:
    """What an imported file was, and what of it fits the base.

    Attributes:
        effect: largest difference that it makes in one fixed picture, 0..1.
    """

    path: Path
    header: AdapterHeader
    report: LoadReport
    sha256: str
    effect: float = 0.0


def is_for(base_name: str, base_sha256: str, location: BaseLocation) -> bool:
    """Say whether what was trained on some weights can be worn by a base's present ones.

    Only the studio's own base is so particular: it changes with the studio, and to one built anew an older adapter
    means nothing, where other models of a family are near relatives.
    """
    older = base_name == location.name and base_sha256 not in ("", location.sha256)
    return not (location.embedded and older)


def refuse_older(name: str, base_name: str, base_sha256: str, location: BaseLocation) -> None:
    """Refuse an adapter of an earlier build of the studio's own base.

    Raises:
        UserInputError: it is one.
    """
    if not is_for(base_name, base_sha256, location):
        raise UserInputError(
            f"{name} was trained on an earlier {location.title} and means nothing to the one of this studio.",
            "It stays in the library; train the person again, the photos and the plan are still there.",
        )
