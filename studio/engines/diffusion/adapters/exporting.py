"""Adapters out of the studio and into it; what is written is read back before it gets its name.

An export is loaded onto the base again: keys without a place are counted, and
one fixed seed is drawn with the adapter as it was and as it was written. Where
the pictures differ by more than the format's rounding, or nothing fits, the
file is not kept. An import becomes the studio's own layout, whatever it was.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.adapter import (
    AdapterFile,
    AdapterFormat,
    AdapterMetadata,
    ExportReport,
    FileFormat,
    ImportReport,
    LoadReport,
    written_format,
)
from studio.domain.base_model import BaseLocation
from studio.engines.base import Image
from studio.engines.diffusion.adapters import peft
from studio.engines.diffusion.adapters.inspecting import inspect_adapter
from studio.engines.diffusion.adapters.layouts import LAYOUTS
from studio.engines.diffusion.adapters.parity import draw_probe, largest_difference
from studio.engines.diffusion.adapters.reading import AdapterWeights, check_adapter, read_adapter
from studio.engines.diffusion.adapters.tensor_file import write_tensors
from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters
from studio.engines.media.atomic import check_place, part_path, settle
from studio.errors import EngineError, FormatLacksPlaceError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase

EXACT = 1e-4
"""Of the range of a picture: what equal weights may differ by, since sums are rounded in another order."""
HALF_PRECISION = 0.02
"""Of the adapter's effect: what 16-bit floats may change. Measured on random stacks: below .001."""
_THUMBNAIL_PIXELS = 256


def export_adapter(
    location: BaseLocation,
    source: Path,
    out: Path,
    format: AdapterFormat,
    metadata: AdapterMetadata,
    *,
    thumbnail: Image | None = None,
    loaded: LoadedBase | None = None,
) -> ExportReport:
    """Write an adapter for other programs, and read it back.

    Args:
        format: of WRITTEN_FORMATS.
        source: in any layout.
        thumbnail: a small picture for the programs that show one.  # (H, W, 3)
        loaded: the base, where it is in memory already; what it wears comes off.

    Raises:
        UserInputError: the adapter does not fit the base, or the format cannot hold it.
        EngineError: the file draws another picture than the adapter; nothing is kept.
        StoreError: disk full or read-only.
    """
    check_place(out, source)
    chosen = written_format(format)
    layout = LAYOUTS[chosen.layout]
    base = loaded_base(location, loaded)
    weights = read_adapter(base, source)
    _check_holds(chosen, weights, metadata)
    tensors, noted = layout.written(weights.updates, weights.words, metadata, chosen, base.unet.config)
    if thumbnail is not None:
        noted |= {"modelspec.thumbnail": data_uri(thumbnail)}
    with checked_file(out) as part:
        sha256 = write_tensors(part, tensors, noted, hashes=layout.HASHES)
        before = [AdapterFile(path=str(source), name="before")]
        report, difference, effect = compare(base, before, part, metadata.trigger)
        allowed = EXACT + (HALF_PRECISION * effect if chosen.half else 0.0)
        require_same(report, difference, allowed, out)
    return ExportReport(
        out, format, report.matched, report.unmatched, difference, effect, sha256, out.stat().st_size
    )  # fmt: skip


def import_adapter(location: BaseLocation, path: Path, out: Path, *, loaded: LoadedBase | None = None) -> ImportReport:
    """Read a LoRA, DoRA, LoHa, LoKr or DreamBooth file of any layout and write it in the studio's own.

    Args:
        path: stays as it is.
        out: where the studio's own file goes.

    Raises:
        UserInputError: pickled, of another family or model, or nothing in it is known.
        UnreadableMediaError: no whole file.
        EngineError: it could not be carried over unchanged.
    """
    header = inspect_adapter(path)
    check_adapter(location, path)  # before a minute goes into loading the base
    base = loaded_base(location, loaded)
    weights = read_adapter(base, path)
    metadata = AdapterMetadata(
        family=location.family, method=header.method, title=header.title or path.stem, trigger=header.trigger,
        base_name=header.base_name, base_sha256=header.base_sha256,
    )  # fmt: skip
    tensors, noted = peft.own_layout(weights.updates, weights.words, metadata)
    with checked_file(out) as part:
        sha256 = write_tensors(part, tensors, noted, hashes=peft.HASHES)
        before = [AdapterFile(path=str(path), name="before")]
        report, difference, effect = compare(base, before, part, metadata.trigger)
        require_same(report, difference, EXACT + EXACT * effect, out)
    return ImportReport(out, header, weights.report, sha256, effect)


def compare(base: LoadedBase, before: list[AdapterFile], after: Path, trigger: str) -> tuple[LoadReport, float, float]:
    """Draw one seed with some adapters and with one written file.

    Returns:
        What of the file was used; the largest difference of the pictures; the adapters' own effect; all 0..1.
    """
    prompt = f"a photo of {trigger}" if trigger else "a photo of a person"
    unload_adapters(base)
    plain = draw_probe(base, prompt)
    try:
        load_adapters(base, before)
        wanted = draw_probe(base, prompt)
        (report,) = load_adapters(base, [AdapterFile(path=str(after), name="after")])
        got = draw_probe(base, prompt)
    finally:
        unload_adapters(base)
    return report, largest_difference(wanted, got), largest_difference(wanted, plain)


def _check_holds(format: FileFormat, weights: AdapterWeights, metadata: AdapterMetadata) -> None:
    """Refuse a format that has no place for what an adapter is made of.

    Raises:
        FormatLacksPlaceError: it holds no full weights, no LyCORIS form, or no learned words.
    """
    full = metadata.method == "dreambooth" or any(u.tensors.keys() & {"weight", "bias"} for u in weights.updates)
    if full and not format.full:
        raise FormatLacksPlaceError(
            "Full DreamBooth weights have no place in the LoRA files of other programs.",
            "Export for diffusers, or train a LoRA.",
        )
    if any(u.lycoris for u in weights.updates) and not format.lycoris:
        raise FormatLacksPlaceError(
            "This adapter is of a LyCORIS form, which diffusers does not read.", "Export for ComfyUI and A1111 (kohya)."
        )
    if weights.words and not format.words:
        raise FormatLacksPlaceError(
            "This adapter taught the base a word of its own, which the LoRA files of other programs cannot hold.",
            "Export for diffusers, or train without textual inversion.",
        )


def data_uri(picture: Image) -> str:
    """Return a picture as text that a program can show: a small JPEG."""
    from PIL import Image as PillowImage

    small = PillowImage.fromarray(picture)
    small.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def loaded_base(location: BaseLocation, loaded: LoadedBase | None) -> LoadedBase:
    """Return the base, bare: the one in memory, or load it.

    Loaded for checks it is on the CPU and in 32-bit floats: half precision
    would hide a file's rounding in its own, and a GPU may be full or busy.
    """
    import torch

    from studio.engines.diffusion.bases.loading import load_base

    if loaded is None:
        return load_base(location, device="cpu", dtype=torch.float32)
    unload_adapters(loaded)
    return loaded


@contextmanager
def checked_file(out: Path) -> Iterator[Path]:
    """Yield a part path; it becomes `out` when the block ends well, else nothing stays."""
    part = part_path(out)
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    settle(part, out)


def require_same(report: LoadReport, difference: float, allowed: float, out: Path) -> None:
    """Refuse a file that is not what it was written from.

    Raises:
        EngineError: keys got lost, or the picture differs.
    """
    if report.unmatched:
        raise EngineError(
            f"{out.name} was not kept: {len(report.unmatched)} of its keys found no place when it was read back.",
            "This is a fault of the studio; please report it with the adapter's layout.",
        )
    if difference > allowed:
        raise EngineError(
            f"{out.name} was not kept: it draws another picture than the adapter (difference {difference:.4f}, "
            f"allowed {allowed:.4f}).",
            "Export for diffusers, which rounds nothing.",
        )
