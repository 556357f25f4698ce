"""The files of base models as one engine: what they are, and fetching them; nothing of it needs torch."""

from __future__ import annotations

from pathlib import Path

from studio.domain.base_model import BaseModelCard
from studio.engines.diffusion.bases import downloads
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.wording import wording


class DiffusersFiles:
    """Implements `studio.engines.base_diffusion.BaseFiles` for diffusers folders and single checkpoints."""

    name = "base-files"

    inspect = staticmethod(inspect_base)
    wording = staticmethod(wording)
    refuse_offline = staticmethod(downloads.refuse_offline)

    def download(
        self,
        card: BaseModelCard,
        folder: Path,
        *,
        token: str | None = None,
        on_progress: downloads.OnBytes | None = None,
        offline: bool = False,
    ) -> None:
        """See `downloads.download`; the receipt that it is complete is written last."""
        downloads.download(card, folder, token=token, on_progress=on_progress, offline=offline)
        found = inspect_base(folder, name=card.name, title=card.title)
        downloads.write_receipt(folder, card, found.sha256)

    def downloaded(self, folder: Path, card: BaseModelCard) -> str:
        """Return the sha256 of the weights of a finished download of this card; "" where there is none."""
        receipt = downloads.read_receipt(folder, card)
        return "" if receipt is None else str(receipt["sha256"])
