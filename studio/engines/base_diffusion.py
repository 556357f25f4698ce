"""The interfaces behind which engines of diffusion live: they learn a person, draw, and handle files of weights.

A service knows these Protocols and nothing of what is behind them; see `base`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from studio.engines.base import Image, Matte

if TYPE_CHECKING:  # plans are pydantic's, which a process that only listens to speech need not load
    from studio.domain.adapter import (
        AdapterFile,
        AdapterFormat,
        AdapterHeader,
        AdapterMetadata,
        ExportReport,
        ImportReport,
    )
    from studio.domain.base_model import BaseLocation
    from studio.domain.training import Preflight, TrainingPlan


@dataclass(frozen=True)
class TrainingExample:
    """One picture to learn from.

    Attributes:
        image: any size; the trainer scales and crops it to the plan's resolution.
        mask: the person's matte at the picture's size, None to weigh all pixels alike.
        caption: contains the trigger.
        sha256: of the photo it was cut from; names it in the run's row.
        drawn: it is a variant that the rig drew, not a photo; those have a share of their own.
    """

    image: Image
    mask: Matte | None
    caption: str
    sha256: str
    drawn: bool = False


@dataclass(frozen=True)
class SamplePicture:
    """A picture drawn while training, with a prompt and seed that never change.

    Attributes:
        kind: "person" asks for the trigger, "class" for the class alone (what it shows is drift).
    """

    prompt: str
    kind: Literal["person", "class"]
    seed: int
    image: Image


class TrainingEvents(Protocol):
    """What a trainer tells while it works; called from its own thread, in order."""

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """One optimizer step was made; steps count from 1."""
        ...

    def drawing(self, step: int, number: int, count: int) -> None:
        """Sample `number` of `count` is being drawn with the weights after `step` steps."""
        ...

    def sampled(self, step: int, pictures: tuple[SamplePicture, ...]) -> None:
        """Pictures were drawn with the weights after `step` steps; 0 is the base itself."""
        ...

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        """A checkpoint is on the disk, whole; `adapter` is its safetensors file."""
        ...

    def note(self, text: str) -> None:
        """One sentence about what is being done, or about something odd."""
        ...

    def should_stop(self) -> bool:
        """Whether to save and leave; asked after every step and between pictures."""
        ...


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended.

    Attributes:
        step: of the last checkpoint.
        finished: all steps of the plan were made.
        reason: "stopped" by the person, "diverged" when the loss became not-a-number.
        adapter: the last good weights; None when it ended before the first checkpoint.
        losses: of every step from the first of the run on, also those made before a continuation.
    """

    step: int
    finished: bool
    reason: Literal["done", "stopped", "diverged"]
    adapter: Path | None
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Wording:
    """How a base model reads a prompt.

    Attributes:
        words: how many there are.
        pieces: in so many it is read, each for itself; all of them count.
        spelled: words that the base does not know and reads letter by letter.
    """

    words: int
    pieces: int = 1
    spelled: tuple[str, ...] = ()


class HubCard(Protocol):
    """What a download needs to know of a model of the hub; cards of base models and of motion are such."""

    @property
    def title(self) -> str:
        """As people read it."""
        ...

    @property
    def repository(self) -> str | None:
        """On the hub."""
        ...

    @property
    def revision(self) -> str | None:
        """A commit; None is what is newest."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """What is downloaded."""
        ...


class BaseFiles(Protocol):
    """Reads what the files of base models are, and fetches them; loads no weights."""

    name: str

    def wording(self, location: BaseLocation, prompt: str) -> Wording | None:
        """Return how a base reads a prompt; None where that cannot be told without loading it."""
        ...

    def inspect(
        self,
        path: Path,
        *,
        name: str = "",
        title: str = "",
        sha256: str = "",
        on_read: Callable[[float], None] | None = None,
    ) -> BaseLocation:
        """Say what a base model's files are, without loading them.

        Args:
            path: a folder in the diffusers layout, or one safetensors file.
            name, title: default the file's own name.
            sha256: of the weights where it is known already; "" reads them all once.
            on_read: told how far that is, over 0 to 1.

        Raises:
            NotFoundError: nothing is there.
            UserInputError: pickled, another family, a component is missing.
            UnreadableMediaError: damaged or cut off.
        """
        ...

    def refuse_offline(self, card: HubCard, *, offline: bool) -> None:
        """Refuse a download where the studio, or the hub's own switch, is set to offline.

        Raises:
            UserInputError: it is.
        """
        ...

    def download(
        self,
        card: HubCard,
        folder: Path,
        *,
        motion: bool = False,
        token: str | None = None,
        on_progress: Callable[[int, int, float], None] | None = None,
        offline: bool = False,
    ) -> None:
        """Fetch the files of a card and note that they are complete; goes on where an earlier one ended.

        Args:
            motion: it is one network, a motion adapter, and no whole base model.
            on_progress: told bytes done, bytes in all, bytes per second; what it raises ends the download.

        Raises:
            UserInputError: offline, or access is not granted.
            NotFoundError: the hub lacks a file.
            StoreError: the disk has no room, or refused.
            EngineError: the connection broke off for good, or the bytes are wrong.
        """
        ...

    def downloaded(self, folder: Path, card: HubCard) -> str:
        """Return the sha256 of the weights of a finished download of this card; "" where there is none."""
        ...

    def weights_sha256(self, folder: Path) -> str:
        """Return the sha256 of the weights in a folder of one network.

        Raises:
            UserInputError: there are none, or only pickled ones.
        """
        ...


class IdentityTrainer(Protocol):
    """Teaches a base model one person."""

    name: str

    @property
    def version(self) -> str:
        """Versions of the libraries whose arithmetic decides the weights."""
        ...

    def preflight(self, location: BaseLocation, plan: TrainingPlan, examples: int, folder: Path) -> Preflight:
        """Return what the run will need, without loading the base.

        Args:
            examples: how many pictures there will be.
            folder: where the run will write; its disk is looked at.
        """
        ...

    def train(
        self,
        location: BaseLocation,
        plan: TrainingPlan,
        examples: Sequence[TrainingExample],
        folder: Path,
        events: TrainingEvents,
    ) -> TrainingOutcome:
        """Train, or go on where `folder` says a run was left.

        Raises:
            UserInputError: no examples.
            ConflictError: the folder holds a run of another plan, base or set of photos.
            OutOfMemoryError: with the smaller settings in its hint.
            EngineUnavailableError: the optimizer's package is not installed.
            StoreError: the disk is full; earlier checkpoints stay.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class PictureOrder:
    """What is to be drawn; the pictures and masks to start from are handed over beside it.

    Attributes:
        negative: what the pictures should not show.
        seed: of the first picture, >= 0; the i-th has seed + i.
        steps: of the sampler.
        guidance: how closely the prompt is followed; 1 follows it without emphasis.
        width, height: pixels, multiples of 8.
        denoise: how much of the source may change, over 0 to 1.
    """

    prompt: str
    negative: str = ""
    seed: int = 0
    steps: int = 20
    guidance: float = 4.0
    width: int = 64
    height: int = 64
    count: int = 1
    denoise: float = 1.0


class ImageGenerator(Protocol):
    """Draws pictures from words with a base model and adapters."""

    name: str
    version: str

    def libraries(self) -> dict[str, str]:
        """Return name -> version of the libraries that decide a picture's pixels."""
        ...

    def generate(
        self,
        location: BaseLocation,
        order: PictureOrder,
        adapters: Sequence[AdapterFile] = (),
        *,
        source: Image | None = None,
        mask: Matte | None = None,
        on_step: Callable[[int, int, Image | None], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Image]:
        """Draw one picture after the other.

        Args:
            source, mask: a picture to start from, and where it is drawn anew (255); of one size.
            on_step: called after each step with (step, of how many in all, preview or None).
            should_stop: asked after each step; True ends the iterator without a further picture.

        Yields:
            `order.count` pictures.  # (height, width, 3) uint8 RGB

        Raises:
            UserInputError: numbers that cannot be, or an adapter that does not fit the base.
            EngineError: the picture is black or no picture.
            OutOfMemoryError: it does not fit into memory.
        """
        ...


class AdapterConverter(Protocol):
    """Reads and writes files of adapters, for other programs and from them."""

    name: str
    version: str

    def file(self, path: Path) -> Path:
        """Return the file that is meant: itself, or the one adapter in a folder."""
        ...

    def check(self, location: BaseLocation, path: Path) -> None:
        """Refuse a file that does not fit a base, by shapes alone: no weights are read.

        Raises:
            UserInputError: another family, another shape, or half of it is missing.
        """
        ...

    def inspect(self, path: Path) -> AdapterHeader:
        """Say what an adapter file is, from its header alone.

        Raises:
            NotFoundError: no such file.
            UserInputError: pickled, or no adapter for a known family.
            UnreadableMediaError: no whole file.
        """
        ...

    def export(
        self,
        location: BaseLocation,
        source: Path,
        out: Path,
        format: AdapterFormat,
        metadata: AdapterMetadata,
        thumbnail: Image | None = None,
    ) -> ExportReport:
        """Write an adapter for other programs and read it back.

        Args:
            thumbnail: a small picture for the programs that show one.

        Raises:
            UserInputError: the adapter does not fit the base, or the format cannot hold it.
            EngineError: the file draws another picture than the adapter; nothing is kept.
            StoreError: disk full or read-only.
        """
        ...

    def import_file(self, location: BaseLocation, path: Path, out: Path) -> ImportReport:
        """Read a file of any layout and write it in the studio's own; `path` stays as it is.

        Raises:
            UserInputError: pickled, of another family or model, or nothing in it is known.
            UnreadableMediaError: no whole file.
            EngineError: it could not be carried over unchanged.
        """
        ...

    def check_push(self, repository: str, token: str, *, offline: bool = False) -> None:
        """Refuse what no push can do, before anything is made ready for it.

        Raises:
            UserInputError: offline, no token, or no such name.
        """
        ...

    def push(
        self,
        repository: str,
        files: Mapping[str, Path | bytes],
        *,
        token: str,
        private: bool = True,
        message: str = "Add adapter",
        endpoint: str | None = None,
        offline: bool = False,
    ) -> str:
        """Create the repository if need be and put the files into it, in one commit; return its address.

        Args:
            repository: "owner/name".
            files: name in the repository -> file or bytes.
            token: with the right to write; kept nowhere.
            private: of a new repository; an existing one stays as it is.
            endpoint: base address; default the hub's.

        Raises:
            UserInputError: as `check_push`, or the hub refuses the token.
            EngineError: the hub cannot be reached or refuses.
            EngineUnavailableError: the hub's library is not installed.
        """
        ...

    def merge(
        self, location: BaseLocation, sources: Sequence[AdapterFile], out: Path, metadata: AdapterMetadata
    ) -> ExportReport:
        """Write one adapter that equals several worn together at their strengths.

        Raises:
            UserInputError: fewer than two with a strength, or they do not go together.
            EngineError: the file draws another picture than its sources together.
        """
        ...
