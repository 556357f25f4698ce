"""The adapter library at work: adapters carried out and in, merged, tested, pushed.

An adapter is a row and a file in the media store (see `shelf`). Every
file is loaded once after it was written, on the base it belongs to; what was
not loaded back is not called exported. Which arithmetic a file holds is the
engine's matter.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from studio.domain.adapter import (
    STRENGTH_RANGE,
    WRITTEN_FORMATS,
    Adapter,
    AdapterFile,
    AdapterFormat,
    AdapterMetadata,
    ExportReport,
    NewAdapter,
    refuse_older,
    written_format,
)
from studio.domain.base_model import FAMILY_TITLES, BaseLocation, BaseModelCard, Family
from studio.domain.job import Job
from studio.domain.leak import LeakReport
from studio.domain.names import legible
from studio.engines.base import Image
from studio.errors import FormatLacksPlaceError, NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.adapters.leaks import STRENGTHS, LeakDrawing
from studio.services.adapters.model_card import measured_lines, model_card
from studio.services.adapters.shelf import LONGEST_NAME, AdapterShelf, checked_name, shortened
from studio.services.people.identities import person_named
from studio.services.progress import OnProgress, Progress, told

if TYPE_CHECKING:
    from studio.engines import Engines
    from studio.jobs.queue import JobQueue
    from studio.services.bases import Bases
    from studio.services.people.likeness import Likeness
    from studio.store import OwnerStore

__all__ = ["AdapterExchange", "ImportedAdapter", "LeakReport"]


@dataclass(frozen=True)
class ImportedAdapter:
    """An adapter that came from elsewhere, and what of its file fits the base."""

    adapter: Adapter
    format: str
    kind: str
    matched: int
    unmatched: tuple[str, ...]
    base: str


class AdapterExchange:
    """Carries the adapters of one owner out and in, merges and tests them.

    Args:
        shelf: the adapters that are here.
        scratch: for files on their way into the media store.
        offline: never go to the network.
    """

    def __init__(
        self,
        store: OwnerStore,
        shelf: AdapterShelf,
        engines: Engines,
        bases: Bases,
        likeness: Likeness,
        queue: JobQueue,
        scratch: Path,
        *,
        offline: bool = False,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._engines = engines
        self._bases = bases
        self._likeness = likeness
        self._queue = queue
        self._scratch = scratch
        self._offline = offline

    # -- out and in ------------------------------------------------------------------

    def export(
        self, adapter_id: str, out: Path, format: AdapterFormat = "kohya", *, base: str | None = None
    ) -> ExportReport:
        """Write an adapter to a file and load it back at once.

        Args:
            out: a safetensors file, or a folder.
            format: of WRITTEN_FORMATS.
            base: to check on; default the one it was trained on.

        Raises:
            NotFoundError: no such adapter, the base is not here, or the folder does not exist.
            UserInputError: another ending, or the format cannot hold this adapter.
            EngineError: what was written is not what it was written from; no file is left.
        """
        written_format(format)
        adapter = self._shelf.get(adapter_id)
        self._shelf.require_consent(adapter)
        if out.is_dir():
            out = out / f"{_file_name(adapter.name)}-{format}.safetensors"
        elif out.suffix.lower() != ".safetensors":
            raise UserInputError(
                f"Adapters are safetensors files, not {out.suffix or 'files without an ending'}.",
                "End the name in .safetensors, or name a folder.",
            )
        location = self._base_of(adapter, base)
        report = self._engines.adapters().export(
            location, self._shelf.path(adapter), out, format, self._metadata(adapter, location), self._picture(adapter)
        )
        path = report.path.resolve()
        self._store.adapters.add_export(adapter.id, format, path, report.sha256, report.bytes)
        return report

    def import_file(
        self,
        path: Path,
        name: str = "",
        *,
        base: str | None = None,
        trigger: str | None = None,
        identity_id: str | None = None,
    ) -> ImportedAdapter:
        """Copy an adapter of any layout into the library; the file stays as it is.

        Args:
            path: a file, or a folder as PEFT and diffusers save adapters.
            name: default what the file says, or its own name.
            base: to check on; default the one the file names, else the first of its family that is here.
            trigger: default what the file says.
            identity_id: whose likeness it holds, by id or name.

        Raises:
            UserInputError: pickled, of another family, of other shapes, or nothing in it is known.
            UnreadableMediaError: damaged.
            NotFoundError: no such file, or no base to check on.
            ConflictError: the name is taken.
        """
        files = self._engines.adapters()
        given, path = path, files.file(path)
        header = files.inspect(path)
        person = person_named(self._store, identity_id) if identity_id else None
        location = self._base_for(path, header.base_name, header.base_sha256, header.family, base)
        refuse_older(legible(given.name), header.base_name, header.base_sha256, location)
        called = path.stem if given == path else given.name
        chosen = checked_name(name or shortened(header.title) or shortened(called) or "adapter")
        if self._store.adapters.find(chosen) is not None and not name:
            chosen = f"{shortened(chosen, LONGEST_NAME - 5)} {secrets.token_hex(2)}"
        with self._store.media.keeping():
            with self._part() as part:
                report = files.import_file(location, path, part)
                sha256 = self._store.media.put(part, ".safetensors")
            adapter = self._store.adapters.add(
                NewAdapter(
                    name=chosen, method=header.method, origin="imported", family=location.family, media_sha256=sha256,
                    trigger=header.trigger if trigger is None else trigger.strip(), rank=header.rank,
                    base_name=location.name, base_sha256=location.sha256, identity_id=person.id if person else None,
                    notes=f"Imported from {legible(given.name)}. {report.report.assumed}".strip(),
                    measures={"effect": report.effect},
                ),
            )  # fmt: skip
        found = report.report
        return ImportedAdapter(adapter, header.format, header.kind, found.matched, found.unmatched, location.name)

    def merge(
        self, items: Sequence[tuple[str, float]], name: str, *, base: str | None = None
    ) -> tuple[Adapter, ExportReport]:
        """Make one adapter of several; at strength 1 it equals them together at theirs.

        Args:
            items: adapter (id or name) and strength.

        Raises:
            UserInputError: fewer than two, of different families, or not mergeable.
            ConflictError: the name is taken.
            ConsentMissingError: somebody in them agreed to nothing.
        """
        chosen = checked_name(name)
        parents = [(self._shelf.get(id), strength) for id, strength in items]
        if len({parent.id for parent, _ in parents}) < len(parents):
            raise UserInputError("An adapter is named twice.", "Name it once, with the sum of the strengths.")
        families = {parent.family for parent, _ in parents}
        if len(families) > 1:
            words = " and ".join(sorted(FAMILY_TITLES[f] for f in families))
            raise UserInputError(f"The adapters are for {words}.", "Merge adapters of one family.")
        low, high = STRENGTH_RANGE
        for parent, strength in parents:
            self._shelf.require_consent(parent)
            if not low <= strength <= high:
                raise UserInputError(f"The strength {strength:g} is outside {low:g} .. {high:g}.", "1 is as trained.")
        if len(parents) < 2:
            raise UserInputError("Merging needs two adapters.", "Name another one as well.")
        self._shelf.refuse_taken(chosen)
        first = parents[0][0]
        location = self._base_of(first, base)
        for parent, _ in parents:
            refuse_older(parent.name, parent.base_name, parent.base_sha256, location)
        triggers = list(dict.fromkeys(p.trigger for p, _ in parents if p.trigger))
        metadata = self._metadata(first, location, title=chosen, trigger=", ".join(triggers))
        sources = [
            AdapterFile(path=str(self._shelf.path(parent)), name=f"merged_{i}", strength=strength)
            for i, (parent, strength) in enumerate(parents)
        ]
        with self._part() as part:
            files = self._engines.adapters()
            report = files.merge(location, sources, part, metadata)
            header = files.inspect(part)
            sha256 = self._store.media.put(part, ".safetensors")
        people = {parent.identity_id for parent, _ in parents}
        adapter = self._store.adapters.add(
            NewAdapter(
                name=chosen, method=header.method, origin="merged", family=location.family, media_sha256=sha256,
                thumbnail_sha256=first.thumbnail_sha256, trigger=", ".join(triggers), rank=header.rank,
                base_name=location.name, base_sha256=location.sha256,
                identity_id=people.pop() if len(people) == 1 else None,
                parents={parent.id: strength for parent, strength in parents},
                measures={"merge_difference": report.max_difference},
            ),
        )  # fmt: skip
        return adapter, report

    def push(
        self, adapter_id: str, repository: str, token: str, *, private: bool = True, endpoint: str | None = None
    ) -> str:
        """Put an adapter, in each pushed format that can hold it, with a page about it into a repository on the hub.

        Args:
            repository: "owner/name"; made if need be, private unless told otherwise.
            token: with the right to write; used once, kept nowhere.

        Returns:
            The address of the repository.

        Raises:
            UserInputError: offline, or the hub refuses the token.
            ConsentMissingError: somebody in it did not agree to "publish"; a private repository is one too.
        """
        self._engines.adapters().check_push(repository, token, offline=self._offline)
        adapter = self._shelf.get(adapter_id)
        self._shelf.require_consent(adapter, publish=True)
        location = self._base_of(adapter, None)
        metadata = self._metadata(adapter, location)
        files: dict[str, Path | bytes] = {}
        told_files: dict[str, str] = {}
        lacking: FormatLacksPlaceError | None = None
        with ExitStack() as parts:
            for format in WRITTEN_FORMATS.values():
                if format.pushed_as is None or not (format.full or adapter.method == "lora"):
                    continue
                name = f"{_file_name(adapter.name)}{format.pushed_as}.safetensors"
                place = parts.enter_context(self._part())
                try:
                    self._engines.adapters().export(
                        location, self._shelf.path(adapter), place, format.name, metadata, self._picture(adapter)
                    )
                except FormatLacksPlaceError as exc:
                    lacking = exc
                    continue
                files[name], told_files[name] = place, f"for {format.programs}"
            if not files and lacking is not None:
                raise lacking
            files["README.md"] = model_card(adapter, self._card(adapter.base_name), told_files).encode()
            url = self._engines.adapters().push(
                repository, files, token=token, private=private, message=f"Add {adapter.name}",
                endpoint=endpoint, offline=self._offline,
            )  # fmt: skip
        return url

    # -- the leak test ---------------------------------------------------------------

    def test_leak(
        self, adapter_id: str, on_progress: OnProgress | None = None, *, strengths: Sequence[float] = STRENGTHS
    ) -> LeakReport:
        """Draw strangers without and with the adapter and say how far they turn into its person.

        The report stands in the adapter's measures under "leak", the pictures in its sheet.

        Raises:
            NotFoundError: no such adapter, or its base is not here.
            ConsentMissingError: somebody in it did not agree to "publish"; a private repository is one too.
            EngineUnavailableError: torch, or the face embedder, is not installed.
        """
        from studio.engines.media.pictures import png_bytes

        adapter = self._shelf.get(adapter_id)
        self._shelf.require_consent(adapter)
        location = self._base_of(adapter, None)
        file = AdapterFile(path=str(self._shelf.path(adapter)), name="tested")
        card = self._bases.get(location.name).card
        drawing = LeakDrawing(self._engines.generator(), self._likeness, location, card, adapter, file, on_progress)
        tested = drawing.run(strengths)
        sheet = self._store.media.put(png_bytes(tested.sheet), ".png")
        self._store.adapters.change(adapter.id, measures={"leak": tested.report.values()}, sheet_sha256=sheet)
        if on_progress is not None:
            on_progress(Progress(1.0, tested.report.advice))
        return tested.report

    def submit_test_leak(self, adapter_id: str) -> Job:
        """Put a leak test into the queue.

        Raises:
            NotFoundError, ConsentMissingError: as `test_leak`.
        """
        adapter = self._shelf.get(adapter_id)
        self._shelf.require_consent(adapter)
        self._base_of(adapter, None)
        return self._queue.submit(
            "leak_test",
            {"adapter_id": adapter.id},
            title=f"Leak test: {adapter.name}",
            identity_id=adapter.identity_id,
        )

    # -- what the above share --------------------------------------------------------

    def _base_of(self, adapter: Adapter, base: str | None) -> BaseLocation:
        """Return the base to draw an adapter with.

        Raises:
            NotFoundError: it is not here.
            UserInputError: it is of another family, or has other weights now.
        """
        found = self._base_for(self._shelf.path(adapter), adapter.base_name, adapter.base_sha256, adapter.family, base)
        refuse_older(adapter.name, adapter.base_name, adapter.base_sha256, found)
        return found

    def _base_for(self, path: Path, named: str, sha256: str, family: Family | None, base: str | None) -> BaseLocation:
        """Return the base to check a file on: the one that is asked for, or named in it, or the first that it fits."""
        if base is not None:
            location = self._bases.resolve(base)
            if family is not None and location.family != family:
                raise UserInputError(
                    f"The adapter is for {FAMILY_TITLES[family]}, but {location.title} is a model of "
                    f"{FAMILY_TITLES[location.family]}.",
                    "Choose a base model of the adapter's family.",
                )
            return location
        ready = [e for e in self._bases.list() if e.state == "ready"]
        if any(e.card.name == named for e in ready):
            return self._bases.resolve(named)
        # Other programs name no base, or one under another name: any of the family shows whether it fits.
        fitting = [e for e in ready if e.card.family == family] if family is not None else ready
        same = [e for e in fitting if sha256 and e.location is not None and e.location.sha256 == sha256]
        if named and not same and any(e.card.name == named for e in self._bases.list()):
            return self._bases.resolve(named)  # says how to get it
        if not (same or fitting):
            words = FAMILY_TITLES[family] if family is not None else "any family"
            raise NotFoundError(
                f"There is no base model of {words} here to try the adapter on.",
                "`studio base list` shows the models; download or add one.",
                window="Download one on this tab, where the base model is chosen, then bring the adapter in again.",
            )
        return self._first_that_fits(path, [entry.card.name for entry in same or fitting])

    def _first_that_fits(self, path: Path, names: Sequence[str]) -> BaseLocation:
        """Return the first of some bases that a file fits.

        Raises:
            UserInputError: it fits none, and why not the first.
        """
        first: UserInputError | None = None
        for location in map(self._bases.resolve, names):
            try:
                self._engines.adapters().check(location, path)
            except UserInputError as exc:
                first = first or exc
            else:
                return location
        assert first is not None  # there is a name
        raise first

    def _card(self, name: str) -> BaseModelCard | None:
        """Return a base's card, or None when there is none of that name any more."""
        return next((e.card for e in self._bases.list() if e.card.name == name), None)

    def _metadata(
        self, adapter: Adapter, location: BaseLocation, *, title: str | None = None, trigger: str | None = None
    ) -> AdapterMetadata:
        """Return what is written about an adapter into its file."""
        return AdapterMetadata(
            family=adapter.family, method=adapter.method, title=title or adapter.name,
            trigger=adapter.trigger if trigger is None else trigger, base_name=adapter.base_name or location.name,
            base_sha256=adapter.base_sha256 or location.sha256, resolution=location.resolution,
            prediction_type=location.prediction_type, created=f"{adapter.created:%Y-%m-%dT%H:%M:%S}Z",
            description=" ".join(("Made with Likeness Studio.", *measured_lines(adapter.measures))),
        )  # fmt: skip

    def _picture(self, adapter: Adapter) -> Image | None:
        """Return the picture that other programs show."""
        from studio.engines.media.pictures import read_picture

        path = self._shelf.thumbnail(adapter)
        return None if path is None else read_picture(path).rgb

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """Yield a path for a file on its way; nothing stays there."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        part = self._scratch / f"adapter-{secrets.token_hex(6)}.safetensors"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def _file_name(name: str) -> str:
    """Return a name as every disk and repository takes it."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-").lower()[:60] or "adapter"


class LeakParams(BaseModel):
    """Which adapter to test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter_id: str = Field(min_length=1)


def run(params: LeakParams, context: JobContext) -> Mapping[str, Any]:
    """Test an adapter as a job."""
    exchange: AdapterExchange = context.service
    report = exchange.test_leak(params.adapter_id, told(context))
    context.log(report.advice)
    return {"adapter_id": params.adapter_id, "advice": report.advice, "leak": report.full.leak}


KIND = JobKind("leak_test", "Leak test", LeakParams, run, service="adapter_exchange", lane="long", icon="adapter")
