"""Several adapters made into one file that does at strength 1 what they did together.

Low-rank updates are laid side by side: the sum of products of thin matrices is
a product of less thin ones, exactly; ranks add up. What is not low-rank is
added up in full, as a change of the layer's weights. The merged file is drawn
against its sources worn together before it gets its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.adapter import AdapterFile, Method
from studio.domain.base_model import BaseLocation
from studio.engines.diffusion.adapters.changes import change_of
from studio.engines.diffusion.adapters.exporting import (
    EXACT,
    ExportReport,
    checked_file,
    compare,
    loaded_base,
    own_layout,
    require_same,
)
from studio.engines.diffusion.adapters.files import AdapterMetadata
from studio.engines.diffusion.adapters.keys import Part
from studio.engines.diffusion.adapters.reading import parts_of, read_adapter
from studio.engines.diffusion.adapters.tensor_file import write_tensors
from studio.engines.diffusion.adapters.update import ModuleUpdate
from studio.engines.media.atomic import check_place
from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase

_Worn = tuple[ModuleUpdate, float]


def merge_adapters(
    location: BaseLocation,
    sources: Sequence[AdapterFile],
    out: Path,
    metadata: AdapterMetadata,
    *,
    loaded: LoadedBase | None = None,
) -> ExportReport:
    """Write one adapter that equals several worn together at their strengths.

    Args:
        sources: two or more; strengths count, 0 leaves one out.
        metadata: of the merged file.

    Raises:
        UserInputError: fewer than two with a strength, they teach the same word differently, or do not fit the base.
        EngineError: the merged file draws another picture than its sources together.
    """
    used = [source for source in sources if source.strength != 0.0]
    if len(used) < 2:
        raise UserInputError("Merging needs two adapters with a strength other than 0.", "Choose another one as well.")
    check_place(out, *(Path(source.path) for source in used))
    base = loaded_base(location, loaded)
    together: dict[tuple[Part, str], list[_Worn]] = defaultdict(list)
    words: dict[str, Tensor] = {}
    for source in used:
        weights = read_adapter(base, Path(source.path), source.name)
        for update in weights.updates:
            together[update.part, update.module].append((update, source.strength))
        for key, row in weights.words.items():
            if key in words and not bool((words[key] == row).all()):
                raise UserInputError(
                    f"Two of the adapters mean different things by {key.partition('.')[2]!r}.",
                    "Use them together in one picture only if their trigger words differ.",
                )
            words[key] = row
    merged = [_merged(base, updates) for updates in together.values()]
    method: Method = "lora" if all(update.low_rank for update in merged) else "dreambooth"
    tensors, noted = own_layout(merged, words, replace(metadata, method=method))
    with checked_file(out) as part:
        sha256 = write_tensors(part, tensors, noted, hashes={"modelspec.hash_sha256": "0x"})
        report, difference, effect = compare(base, used, part, metadata.trigger)
        require_same(report, difference, EXACT + EXACT * effect, out)
    return ExportReport(out, "peft", report.matched, report.unmatched, difference, effect, sha256, out.stat().st_size)


def _merged(base: LoadedBase, updates: Sequence[_Worn]) -> ModuleUpdate:
    """Add the updates of one layer up."""
    import torch

    first = updates[0][0]
    if all(update.low_rank for update, _ in updates):
        down = [update.tensors["down"].float() for update, _ in updates]
        # The scale goes into one of the matrices, so that the merged one needs none of its own.
        up = [update.tensors["up"].float() * (update.scale * strength) for update, strength in updates]
        ranks = sum(matrix.shape[0] for matrix in down)
        merged = {"down": torch.cat(_alike(down), 0), "up": torch.cat(_alike(up), 1)}
        return ModuleUpdate(first.part, first.module, merged, float(ranks))
    layer = parts_of(base)[first.part].get_submodule(first.module)
    sums: dict[str, Tensor] = {}
    for update, strength in updates:
        for slot, change in change_of(update, layer).items():
            sums[f"{slot}_change"] = sums.get(f"{slot}_change", torch.zeros_like(change)) + strength * change
    return ModuleUpdate(first.part, first.module, {slot: change.cpu() for slot, change in sums.items()})


def _alike(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Bring matrices of one layer to the same number of axes: some programs write 1 x 1 convolutions without them."""
    axes = max(matrix.dim() for matrix in matrices)
    return [matrix.reshape(*matrix.shape, *(1,) * (axes - matrix.dim())) for matrix in matrices]
