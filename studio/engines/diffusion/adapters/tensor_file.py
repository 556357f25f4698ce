"""Safetensors files written in pieces, with the hash of their weights in their own header.

Tensors stand in the order of their names and the header is sorted, so that
the same tensors give the same bytes. A file takes its name only when all of
it is on the disk. What keys mean is not known here.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from studio.engines.diffusion.bases.header import refuse_pickles
from studio.engines.media.atomic import atomic_file
from studio.errors import UnreadableMediaError
from studio.outside import plain_file

if TYPE_CHECKING:
    from torch import Tensor

_ALIGNMENT = 8


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    hashes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Write a safetensors file, whole or not at all.

    Args:
        tensors: any device and format of numbers.
        hashes: metadata key -> what stands in front of the sha256 of everything behind the header.

    Returns:
        sha256 of the file.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only; nothing is left behind.
    """
    noted = dict(metadata)
    if hashes:
        digest = hashlib.sha256()
        for piece in _pieces(tensors):
            digest.update(piece)
        noted |= {key: prefix + digest.hexdigest() for key, prefix in hashes.items()}
    table: dict[str, object] = {"__metadata__": dict(sorted(noted.items()))}
    place = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        table[name] = {
            "dtype": _dtype_tag(tensor), "shape": list(tensor.shape), "data_offsets": [place, place + size],
        }  # fmt: skip
        place += size
    header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    whole = hashlib.sha256()
    with atomic_file(path) as part, part.open("wb") as file:
        for piece in (struct.pack("<Q", len(header)), header, *_pieces(tensors)):
            whole.update(piece)
            file.write(piece)
    return whole.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file into ordinary memory.

    Raises:
        NotFoundError: no such file.
        UserInputError: a pickled file.
        UnreadableMediaError: no whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_pickles(path)
    plain_file(path)
    try:
        return dict(load_file(str(path)))
    except (SafetensorError, OSError, ValueError, KeyError) as exc:
        raise UnreadableMediaError(
            f"{path.name} is not a whole safetensors file.", "Copy or download it again."
        ) from exc


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    """Yield each tensor's bytes, in the order of the names."""
    import torch

    for name in sorted(tensors):
        flat = tensors[name].detach().contiguous().cpu().reshape(-1)
        data: np.ndarray = flat.view(torch.uint8).numpy()
        yield data.tobytes()


def _dtype_tag(tensor: Tensor) -> str:
    import torch

    tags = {
        torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
        torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
        torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    }  # fmt: skip
    return tags[tensor.dtype]
