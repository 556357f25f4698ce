"""Base models by name: the one that comes along, those on the hub, a person's own.

A card says what a model is before any of it is here; `resolve` gives engines
the files, or says what to do when they are absent. Nothing is fetched unless
somebody asks for it by name, and a person's own files stay where they are.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from studio.domain.base_model import BaseLocation, BaseModelCard
from studio.domain.job import Job
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.cards import card_schema, read_card
from studio.services.progress import OnProgress, Progress, told

if TYPE_CHECKING:
    from studio.engines import Engines
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

__all__ = ["BaseEntry", "Bases", "base_schema", "download_progress", "read_base_card"]

State = Literal["ready", "absent", "partial"]
EMBEDDED_FOLDER = "base"
"""Under the assets: the base model that comes with the studio."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@dataclass(frozen=True)
class BaseEntry:
    """One base model as a list shows it.

    Attributes:
        state: "ready" is here, "partial" was begun to download, "absent" is not here.
        bytes_here: what of it lies on the disk.
        location: None unless it is ready; its sha256 may be "" (`resolve` fills it in).
    """

    card: BaseModelCard
    state: State
    bytes_here: int
    location: BaseLocation | None = None

    @property
    def own(self) -> bool:
        """Whether it is the person's own files, which the studio only points at."""
        return self.card.source in {"folder", "file"}


def download_progress(done_bytes: int, total_bytes: int, bytes_per_second: float) -> Progress:
    """Return how far a download is, such as "1.2 of 6.9 GB, 12.3 MB/s, 8 min left"."""
    unit, name = (1e9, "GB") if total_bytes >= 1e9 else (1e6, "MB")
    words = f"{done_bytes / unit:.1f} of {total_bytes / unit:.1f} {name}"
    fraction = min(1.0, done_bytes / max(1, total_bytes))
    if bytes_per_second <= 0:
        return Progress(fraction, words)
    left = max(0, total_bytes - done_bytes) / bytes_per_second
    time = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return Progress(fraction, f"{words}, {bytes_per_second / 1e6:.1f} MB/s, {time} left", left)


def base_schema() -> dict[str, Any]:
    """Return the JSON schema of a card, derived from the model."""
    return card_schema(BaseModelCard, "Base model of Likeness Studio")


def read_base_card(path: Path) -> BaseModelCard:
    """Read one file of presets/bases; errors are those of `read_card`."""
    return read_card(path, BaseModelCard, "base model card")


class Bases:
    """Knows every base model.

    Args:
        cards: folder of cards.
        assets: where the embedded base lies.
        models: where downloads are kept, a folder each.
        offline: never go to the network.
    """

    def __init__(
        self,
        store: OwnerStore,
        queue: JobQueue,
        engines: Engines,
        *,
        cards: Path,
        assets: Path,
        models: Path,
        offline: bool = False,
    ) -> None:
        self._store = store
        self._queue = queue
        self._engines = engines
        self._cards_folder = cards
        self._assets = assets
        self._models = models
        self._offline = offline

    @cached_property
    def _cards(self) -> dict[str, BaseModelCard]:
        cards = [read_base_card(path) for path in sorted(self._cards_folder.glob("*.json"))]
        order = {"embedded": 0, "hub": 1}
        return {c.name: c for c in sorted(cards, key=lambda c: (order.get(c.source, 2), c.download_bytes, c.name))}

    # -- finding ---------------------------------------------------------------------

    def list(self) -> tuple[BaseEntry, ...]:
        """Return every base: the embedded one, those of the hub, the person's own; reads no weights."""
        known = [self._of_card(card) for card in self._cards.values()]
        return (*known, *(self._of_row(row) for row in self._store.bases.list()))

    def get(self, name: str) -> BaseEntry:
        """Return one base by name.

        Raises:
            NotFoundError: nothing has that name.
        """
        if name in self._cards:
            return self._of_card(self._cards[name])
        row = self._store.bases.find(name)
        if row is None:
            names = ", ".join(e.card.name for e in self.list())
            raise NotFoundError(f"There is no base model {name!r}.", f"Base models: {names}.")
        return self._of_row(row)

    def resolve(self, name: str) -> BaseLocation:
        """Return the files of a base, looked through and named by their sha256.

        Raises:
            NotFoundError: no such base, or its files are not here.
            UserInputError, UnreadableMediaError: the files cannot be used.
            ConflictError: a person's own weights are others than when they were added.
        """
        entry = self.get(name)
        if entry.location is None:
            raise _absent(entry)
        known = "" if entry.own else entry.location.sha256
        path = Path(entry.location.path)
        found = self._engines.base_files().inspect(path, name=entry.card.name, title=entry.card.title, sha256=known)
        if entry.own and found.sha256 != entry.location.sha256:
            raise ConflictError(
                f"The weights of {entry.card.title} are others than when it was added.",
                f"Run `studio base remove {name}` and add it again; adapters trained on it may not fit.",
                window="Bring the old weights back, or choose another base.",
            )
        return replace(found, resolution=entry.card.resolution)

    def _of_card(self, card: BaseModelCard) -> BaseEntry:
        folder = self._assets / EMBEDDED_FOLDER if card.source == "embedded" else self._models / card.name
        here = _bytes_in(folder)
        embedded = card.source == "embedded"
        sha256 = "" if embedded else self._engines.base_files().downloaded(folder, card)
        if not sha256 and not (embedded and (folder / "model_index.json").is_file()):
            return BaseEntry(card, "partial" if here and card.source == "hub" else "absent", here)
        location = BaseLocation(
            name=card.name, title=card.title, family=card.family, path=str(folder), resolution=card.resolution,
            embedded=embedded, prediction_type=card.prediction_type,
            sha256=sha256,
        )  # fmt: skip
        return BaseEntry(card, "ready", here, location)

    def _of_row(self, row: BaseLocation) -> BaseEntry:
        path = Path(row.path)
        card = BaseModelCard(
            name=row.name, title=row.title, family=row.family, source="file" if row.is_file else "folder",
            licence="as the author of the files says", resolution=row.resolution,
            prediction_type=row.prediction_type, about=f"Your own files: {path.name}.",
        )  # fmt: skip
        if not path.exists():
            return BaseEntry(card, "absent", 0)
        return BaseEntry(card, "ready", path.stat().st_size if row.is_file else _bytes_in(path), row)

    # -- a person's own ----------------------------------------------------------------

    def add(
        self, path: Path, name: str = "", title: str = "", *, on_read: Callable[[float], None] | None = None
    ) -> BaseEntry:
        """Point at a diffusers folder or a safetensors file of the person's own; nothing is copied.

        Args:
            on_read: told how much of the weights has been read, over 0 to 1; their sha256 names them from now on.

        Raises:
            NotFoundError: nothing is there.
            UserInputError: pickled, another family, a component is missing, or a name that cannot be.
            UnreadableMediaError: damaged or cut off.
            ConflictError: the name is taken.
        """
        path = path.expanduser().absolute()
        files = self._engines.base_files()
        found = files.inspect(path, name=name.strip().lower(), title=title.strip(), on_read=on_read)
        if not _NAME.fullmatch(found.name):
            raise UserInputError(
                f"{found.name!r} cannot be the name of a base model.", "Use lower-case letters, digits and dashes."
            )
        if found.name in self._cards:
            raise ConflictError(f"There is already a base model {found.name!r}.", "Choose another name.")
        return self._of_row(self._store.bases.add(found))

    def remove(self, name: str) -> int:
        """Forget a base of the person's own, or delete a download; return the bytes set free.

        Raises:
            NotFoundError: no such base.
            UserInputError: it comes with the studio.
        """
        entry = self.get(name)
        if entry.own:
            self._store.bases.delete(name)
            return 0
        if entry.card.source == "embedded":
            raise UserInputError(f"{entry.card.title} comes with the studio.", "It takes little room; leave it.")
        shutil.rmtree(self._models / name, ignore_errors=True)
        return entry.bytes_here

    # -- downloads -----------------------------------------------------------------------

    def download(self, name: str, *, on_progress: OnProgress | None = None) -> BaseEntry:
        """Fetch a base of the hub here and now; what is there already is not fetched again.

        A token for gated models is read from the environment (HF_TOKEN) and kept nowhere.

        Args:
            on_progress: what it raises ends the download; what was fetched stays for the next time.

        Raises:
            NotFoundError: no such base.
            UserInputError: it is not on the hub, the studio is offline, or access is not granted.
            StoreError: the disk has no room, or refused.
            EngineError: the connection broke off for good, or the bytes are wrong.
        """
        entry = self.get(name)
        if entry.card.source != "hub":
            raise UserInputError(f"{entry.card.title} is not downloaded.", "It is here already, or it is your own.")
        if entry.state == "ready":
            return entry

        def tell(done: int, total: int, speed: float) -> None:
            if on_progress is not None:
                on_progress(download_progress(done, total, speed))

        self._engines.base_files().download(
            entry.card,
            self._models / name,
            token=os.environ.get("HF_TOKEN") or None,
            on_progress=tell,
            offline=self._offline,
        )
        return self.get(name)

    def submit_download(self, name: str) -> Job:
        """Put a download into the queue.

        Raises:
            NotFoundError, UserInputError: as `download`.
            ConflictError: it is here already.
        """
        entry = self.get(name)
        if entry.state == "ready":
            raise ConflictError(f"{entry.card.title} is here already.", "Choose it as the base model.")
        if entry.card.source != "hub":
            raise _absent(entry)
        self._engines.base_files().refuse_offline(entry.card, offline=self._offline)
        return self._queue.submit("download", {"name": name}, title=f"Download {entry.card.title}")


def _absent(entry: BaseEntry) -> NotFoundError:
    """Say how to get a base that is not here."""
    card = entry.card
    if card.source == "hub":
        begun = " completely" if entry.state == "partial" else ""
        return NotFoundError(
            f"{card.title} is not downloaded{begun}.",
            f"Run `studio base download {card.name}` ({card.download_bytes / 1e9:.1f} GB, licence {card.licence}).",
            window=f"“Download” below its name on Train or Generate fetches it ({card.download_bytes / 1e9:.1f} GB).",
        )
    if card.source == "embedded":
        return NotFoundError(
            f"{card.title} is missing from the assets.", "Run `studio base build`.", window="Install the studio again."
        )
    return NotFoundError(
        f"The files of {card.title} are gone.",
        f"Bring them back, or `studio base remove {card.name}`.",
        window="Bring them back, or choose another base.",
    )


def _bytes_in(folder: Path) -> int:
    """Return the size of all files beneath a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0


class DownloadParams(BaseModel):
    """Which base to download."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str


def run(params: DownloadParams, context: JobContext) -> Mapping[str, Any]:
    """Download a base as a job; stopping keeps what is there for the next time."""
    bases: Bases = context.service
    entry = bases.download(params.name, on_progress=told(context))
    return {"name": entry.card.name, "bytes": entry.bytes_here}


KIND = JobKind(
    "download",
    "Download a base model",
    DownloadParams,
    run,
    service="bases",
    lane="long",
    icon="generate",
    cancel_grace_seconds=5.0,
)
