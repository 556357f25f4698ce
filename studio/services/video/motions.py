"""Which motion there is for base models: the studio's own, that of the hub, and a folder of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from studio.domain.base_model import BaseModelCard
from studio.domain.motion_model import MotionCard, MotionFiles
from studio.engines import Engines
from studio.errors import NotFoundError, UserInputError
from studio.services.bases import download_progress
from studio.services.cards import card_schema, read_card
from studio.services.progress import OnProgress

_CONFIG = "config.json"


@dataclass(frozen=True)
class MotionEntry:
    """One motion with its state on this computer."""

    card: MotionCard
    state: Literal["ready", "absent"]


def motion_schema() -> dict[str, Any]:
    """Return the JSON schema of a card, derived from the model."""
    return card_schema(MotionCard, "Motion of Likeness Studio")


def read_motion_card(path: Path) -> MotionCard:
    """Read one file of presets/motion; errors are those of `read_card`."""
    return read_card(path, MotionCard, "motion card")


class Motions:
    """Knows every motion.

    Args:
        cards: folder of cards.
        assets: where the studio's own lies.
        models: where downloads are kept, a folder each.
        offline: never go to the network.
    """

    def __init__(self, engines: Engines, *, cards: Path, assets: Path, models: Path, offline: bool = False) -> None:
        self._engines, self._cards_folder, self._assets = engines, cards, assets
        self._models, self._offline = models, offline

    @cached_property
    def _cards(self) -> dict[str, MotionCard]:
        cards = [read_motion_card(path) for path in sorted(self._cards_folder.glob("*.json"))]
        return {c.name: c for c in sorted(cards, key=lambda c: (c.source != "embedded", c.family, c.name))}

    def list(self, family: str = "") -> tuple[MotionEntry, ...]:
        """Return every motion, or those that fit a family of base models; reads no weights."""
        cards = (card for card in self._cards.values() if family in ("", card.family))
        return tuple(MotionEntry(card, "ready" if self._is_here(card) else "absent") for card in cards)

    def ready_for(self, base: BaseModelCard) -> tuple[MotionCard, ...]:
        """Return the motions on this computer that move a base; the studio's own fits the studio's own base alone."""
        own = base.source == "embedded"
        here = (e.card for e in self.list(base.family) if e.state == "ready")
        return tuple(card for card in here if (card.source == "embedded") == own)

    def resolve(self, name: str, family: str) -> MotionFiles:
        """Return the files of a motion.

        Args:
            name: of a card, or a folder with a MotionAdapter as diffusers writes it; one with the folders `motion` and
                `control`, as `base build --motion` writes it, brings its control.
            family: of the base model that shall move.

        Raises:
            NotFoundError: there is no such motion, or its files are not here.
            UserInputError: it is for another family.
        """
        card = self._cards.get(name)
        if card is None:
            return self._own(Path(name))
        if card.family != family:
            raise UserInputError(
                f"{card.title} moves models of the family {card.family}, not {family}.",
                "Choose motion that was made for this base.",
            )
        sha256 = self._weights_of(card)
        if not sha256:
            raise NotFoundError(
                f"{card.title} is not on this computer.",
                f"Run `studio motion download {card.name}`."
                if card.source == "hub"
                else "Make it with `python -m studio base build --motion`.",
                window="It is got on the command line; until then each frame is drawn by itself.",
            )
        folder = self._folder(card)
        control = self._assets / card.control if card.control else None
        return MotionFiles(
            name=name, folder=folder, control=control if control and (control / _CONFIG).is_file() else None,
            frames=card.frames, sha256=sha256,
        )  # fmt: skip

    def download(self, name: str, *, on_progress: OnProgress | None = None) -> MotionEntry:
        """Fetch motion of the hub here and now; what is there already is not fetched again.

        Raises:
            NotFoundError: no such motion, or the hub lacks a file.
            UserInputError: it is not on the hub, the studio is offline, or access is not granted.
            StoreError: the disk has no room, or refused.
            EngineError: the connection broke off for good, or the bytes are wrong.
        """
        card = self._cards.get(name)
        if card is None:
            raise NotFoundError(f"There is no motion {name!r}.", f"Motions: {', '.join(self._cards)}.")
        if card.source != "hub":
            raise UserInputError(
                f"{card.title} is not downloaded.",
                "Make it with `python -m studio base build --motion`.",
                window="It is made on the command line.",
            )
        if not self._is_here(card):

            def tell(done: int, total: int, speed: float) -> None:
                if on_progress is not None:
                    on_progress(download_progress(done, total, speed))

            self._engines.base_files().download(
                card, self._folder(card), motion=True, token=os.environ.get("HF_TOKEN") or None, on_progress=tell,
                offline=self._offline,
            )  # fmt: skip
        return MotionEntry(card, "ready")

    def _folder(self, card: MotionCard) -> Path:
        return self._assets / card.folder if card.source == "embedded" else self._models / f"motion-{card.name}"

    def _is_here(self, card: MotionCard) -> bool:
        folder = self._folder(card)
        if card.source == "embedded":
            return (folder / _CONFIG).is_file()
        return bool(self._engines.base_files().downloaded(folder, card))

    def _weights_of(self, card: MotionCard) -> str:
        """Return the sha256 of a card's weights, of a download as its receipt says; "" where they are not here."""
        if not self._is_here(card):
            return ""
        files, folder = self._engines.base_files(), self._folder(card)
        return files.weights_sha256(folder) if card.source == "embedded" else files.downloaded(folder, card)

    def _own(self, folder: Path) -> MotionFiles:
        """Return the files of a person's own folder."""
        inner = folder / "motion"
        found = inner if (inner / _CONFIG).is_file() else folder
        if not (found / _CONFIG).is_file():
            names = ", ".join(self._cards)
            raise NotFoundError(f"There is no motion {folder.name!r}.", f"Name a folder, or one of {names}.")
        control = folder / "control"
        return MotionFiles(
            name=folder.name, folder=found, control=control if (control / _CONFIG).is_file() else None,
            sha256=self._engines.base_files().weights_sha256(found),
        )  # fmt: skip
