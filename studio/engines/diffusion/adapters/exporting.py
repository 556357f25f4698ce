"""Adapters out of the studio and into it; what is written is read back before it gets its name.

An export is loaded onto the base again: keys without a place are counted, and
one fixed seed is drawn with the adapter as it was and as it was written. Where
the pictures differ by more than the format's rounding, or nothing fits, the
file is not kept. An import becomes the studio's own layout, whatever it was.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import AdapterFile, AdapterFormat
from studio.domain.base_model import BaseLocation, Family
from studio.engines.base import Image
from studio.engines.diffusion.adapters import kohya
from studio.engines.diffusion.adapters.files import (
    CONFIGS_KEY,
    NOTES_KEY,
    AdapterMetadata,
    inspect_adapter,
)
from studio.engines.diffusion.adapters.keys import AdapterHeader, Part
from studio.engines.diffusion.adapters.parity import draw_probe, largest_difference
from studio.engines.diffusion.adapters.reading import AdapterWeights, LoadReport, read_adapter, short_name
from studio.engines.diffusion.adapters.tensor_file import write_tensors
from studio.engines.diffusion.adapters.update import ModuleUpdate
from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters
from studio.engines.media.atomic import check_place, part_path, settle
from studio.errors import EngineError, UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase

EXACT = 1e-4
"""Of the range of a picture: what equal weights may differ by, since sums are rounded in another order."""
HALF_PRECISION = 0.02
"""Of the adapter's effect: what 16-bit floats may change. Measured on random stacks: below .001."""
_KOHYA_VERSIONS: dict[Family, str] = {"sd15": "sd_v1", "sdxl": "sdxl_base_v1-0"}
_THUMBNAIL_PIXELS = 256
_SLOT_KEYS = {
    "down": "lora_A.weight", "up": "lora_B.weight", "mid": "lora_mid.weight", "magnitude": "lora_magnitude_vector",
    "weight_change": "diff", "bias_change": "diff_b",
}  # fmt: skip


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
    """What an imported file was, and what of it fits the base."""

    path: Path
    header: AdapterHeader
    report: LoadReport
    sha256: str


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
    """Write an adapter for diffusers ("peft") or for kohya, ComfyUI and A1111 ("kohya"), and read it back.

    Args:
        format: "kohya32" is kohya's in 32-bit floats: twice the bytes, nothing rounded.
        source: in any layout.
        thumbnail: a small picture for the programs that show one.  # (H, W, 3)
        loaded: the base, where it is in memory already; what it wears comes off.

    Raises:
        UserInputError: the adapter does not fit the base, or the format cannot hold it.
        EngineError: the file draws another picture than the adapter; nothing is kept.
        StoreError: disk full or read-only.
    """
    check_place(out, source)
    base = loaded_base(location, loaded)
    weights = read_adapter(base, source)
    tensors, noted = _written(base, weights, format, metadata, thumbnail)
    hashes = {"modelspec.hash_sha256": "0x"} | ({"sshs_model_hash": ""} if format != "peft" else {})
    with checked_file(out) as part:
        sha256 = write_tensors(part, tensors, noted, hashes=hashes)
        before = [AdapterFile(path=str(source), name="before")]
        report, difference, effect = compare(base, before, part, metadata.trigger)
        allowed = EXACT + (HALF_PRECISION * effect if format == "kohya" else 0.0)
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
    base = loaded_base(location, loaded)
    weights = read_adapter(base, path)
    metadata = AdapterMetadata(
        family=location.family, method=header.method, title=header.title or path.stem, trigger=header.trigger,
        base_name=header.base_name, base_sha256=header.base_sha256,
    )  # fmt: skip
    tensors, noted = own_layout(weights.updates, weights.words, metadata)
    with checked_file(out) as part:
        sha256 = write_tensors(part, tensors, noted, hashes={"modelspec.hash_sha256": "0x"})
        before = [AdapterFile(path=str(path), name="before")]
        report, difference, effect = compare(base, before, part, metadata.trigger)
        require_same(report, difference, EXACT + EXACT * effect, out)
    return ImportReport(out, header, weights.report, sha256)


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


def own_layout(
    updates: Iterable[ModuleUpdate], words: Mapping[str, Tensor], metadata: AdapterMetadata, *, portable: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return keys and metadata in the studio's own layout.

    Args:
        portable: text layers get the "text_model." that other programs expect; diffusers takes both.
    """
    import torch

    tensors: dict[str, Tensor] = dict(words)
    thin = [u for u in updates if "down" in u.tensors]
    for update in updates:
        module = update.module
        if portable and update.part != "unet":
            module = "text_model." + short_name(update.part, module)
        for slot, tensor in update.tensors.items():
            if slot == "magnitude":  # PEFT's shapes
                tensor = tensor.reshape((-1,) if update.tensors["up"].dim() == 2 else (1, -1, 1, 1))
            tensors[f"{update.part}.{module}.{_SLOT_KEYS.get(slot, slot)}"] = tensor
        if "down" not in update.tensors and update.alpha is not None:
            tensors[f"{update.part}.{module}.alpha"] = torch.tensor(update.alpha)
    noted = {"format": "pt", NOTES_KEY: json.dumps(metadata.notes(), sort_keys=True), **metadata.model_spec()}
    if thin:
        noted[CONFIGS_KEY] = json.dumps(_configs(thin), sort_keys=True)
    return tensors, noted


def _configs(updates: Iterable[ModuleUpdate]) -> dict[str, Any]:
    """Return LoRA configs, part by part, as diffusers reads them: ranks and alphas of every layer."""
    packed: dict[str, Any] = {}
    by_part: dict[Part, list[ModuleUpdate]] = {}
    for update in updates:
        by_part.setdefault(update.part, []).append(update)
    for part, mine in by_part.items():
        ranks = {u.module: int(u.tensors["down"].shape[0]) for u in mine}
        # As if plainly scaled by alpha / rank, whatever the file's own rule was.
        alphas = {u.module: u.scale * ranks[u.module] for u in mine}
        rank = Counter(ranks.values()).most_common(1)[0][0]
        alpha = Counter(alphas.values()).most_common(1)[0][0]
        fields = {
            "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": sorted(ranks),
            "rank_pattern": {m: r for m, r in ranks.items() if r != rank},
            "alpha_pattern": {m: a for m, a in alphas.items() if a != alpha},
            "use_dora": any("magnitude" in u.tensors for u in mine), "bias": "none",
        }  # fmt: skip
        packed |= {f"{part}.{name}": value for name, value in fields.items()}
    return packed


def _written(
    base: LoadedBase, weights: AdapterWeights, format: AdapterFormat, metadata: AdapterMetadata, thumbnail: Image | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return what an exported file holds: tensors and metadata."""
    picture = {} if thumbnail is None else {"modelspec.thumbnail": data_uri(thumbnail)}
    if format == "peft":
        tensors, noted = own_layout(weights.updates, weights.words, metadata, portable=True)
        return tensors, noted | picture
    if metadata.method == "dreambooth" or any(u.tensors.keys() & {"weight", "bias"} for u in weights.updates):
        raise UserInputError(
            "Full DreamBooth weights have no place in the LoRA files of other programs.",
            "Export for diffusers, or train a LoRA.",
        )
    if weights.words:
        raise UserInputError(
            "This adapter taught the base a word of its own, which the LoRA files of other programs cannot hold.",
            "Export for diffusers, or train without textual inversion.",
        )
    short = [
        ModuleUpdate(u.part, short_name(u.part, u.module), u.tensors, u.alpha, u.rank_scaling) for u in weights.updates
    ]
    blocks = kohya.checkpoint_blocks(base.unet.config)
    noted = kohya_metadata(short, metadata)
    return kohya.kohya_tensors(short, metadata.family, blocks, half=format == "kohya"), noted | picture


def kohya_metadata(updates: list[ModuleUpdate], metadata: AdapterMetadata) -> dict[str, str]:
    """Return what kohya's scripts write beside the weights, as far as it is known here."""
    thin = [u for u in updates if "down" in u.tensors and u.part == "unet"] or [
        u for u in updates if "down" in u.tensors
    ]
    ranks = Counter(int(u.tensors["down"].shape[0]) for u in thin)
    alphas = Counter(u.scale * u.tensors["down"].shape[0] for u in thin)
    lycoris = any(slot.startswith(("hada_", "lokr_")) for u in updates for slot in u.tensors)
    said = {
        "ss_network_module": "lycoris.kohya" if lycoris else "networks.lora",
        "ss_network_dim": str(ranks.most_common(1)[0][0]) if ranks else "",
        "ss_network_alpha": f"{alphas.most_common(1)[0][0]:g}" if alphas else "",
        "ss_base_model_version": _KOHYA_VERSIONS[metadata.family],
        "ss_v2": "False",
        "ss_output_name": metadata.title,
        "ss_sd_model_name": metadata.base_name,
        "ss_new_sd_model_hash": metadata.base_sha256,
        "ss_resolution": f"({metadata.resolution}, {metadata.resolution})" if metadata.resolution else "",
        "ss_training_comment": metadata.description,
    }
    return {key: value for key, value in said.items() if value} | metadata.model_spec()


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
