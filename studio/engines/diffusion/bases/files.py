"""The files of base models as one engine: what they are, and fetching them; nothing of it needs torch."""

from __future__ import annotations

from pathlib import Path

from studio.engines.base_diffusion import HubCard
from studio.engines.diffusion.bases import downloads
from studio.engines.diffusion.bases.header import weights_sha256
from studio.engines.diffusion.bases.inspecting import component_weights, inspect_base
from studio.engines.diffusion.bases.wording import wording


class DiffusersFiles:
    """Implements `studio.engines.base_diffusion.BaseFiles` for diffusers folders and single checkpoints."""

    name = "base-files"

    inspect = staticmethod(inspect_base)
    wording = staticmethod(wording)
    refuse_offline = staticmethod(downloads.refuse_offline)

    def download(
        self,
        card: HubCard,
        folder: Path,
        *,
        motion: bool = False,
        token: str | None = None,
        on_progress: downloads.OnBytes | None = None,
        offline: bool = False,
    ) -> None:
        """See `downloads.download`; the receipt that it is complete is written last, once the files are looked at."""
        downloads.download(card, folder, token=token, on_progress=on_progress, offline=offline)
        sha256 = self.weights_sha256(folder) if motion else inspect_base(folder, title=card.title).sha256
        downloads.write_receipt(folder, card, sha256)

    def weights_sha256(self, folder: Path) -> str:
        """Return the sha256 of the weights in a folder of one network."""
        return weights_sha256(component_weights(folder)[0])

    def downloaded(self, folder: Path, card: HubCard) -> str:
        """Return the sha256 of the weights of a finished download of this card; "" where there is none."""
        receipt = downloads.read_receipt(folder, card)
        return "" if receipt is None else str(receipt["sha256"])
