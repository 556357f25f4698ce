"""What stands in a safetensors file's header, read without torch and without its weights.

The header is a length (8 bytes, little endian) and JSON: name -> dtype, shape
and place. That is enough to know the family of a model, and whether the file
was cut off. Pickled files run code when they are opened; they are never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from studio.errors import UnreadableMediaError, UserInputError
from studio.outside import json_of, plain_file

PICKLED = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"})
_LARGEST_HEADER_BYTES = 100_000_000  # the format's own limit
_CHUNK_BYTES = 1 << 24

OnRead = Callable[[float], None]
"""Told how much of a file has been read, over 0 to 1."""

_HASHES: dict[tuple[str, int, int], str] = {}
"""Path, size and time of change of files -> sha256."""


@dataclass(frozen=True)
class WeightsHeader:
    """A safetensors header.

    Attributes:
        shapes: tensor name -> shape.
        dtypes: tensor name -> "F32", "F16", "BF16", ...
        metadata: what the writer noted; text only.
        bytes: size of the whole file.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    dtypes: Mapping[str, str] = field(repr=False)
    metadata: Mapping[str, str]
    bytes: int


def refuse_pickles(path: Path) -> None:
    """Refuse a file that would run code when opened.

    Raises:
        UserInputError: by its name, it is a pickled checkpoint.
    """
    if path.suffix.lower() in PICKLED:
        raise UserInputError(
            f"{path.name} is a pickled checkpoint, which can run any code when it is opened.",
            "Get the .safetensors file of the same model; most authors offer one.",
        )


def read_header(path: Path) -> WeightsHeader:
    """Read the header of a safetensors file and check that the file is whole.

    Raises:
        NotFoundError: no such file.
        UserInputError: a pickled file.
        UnreadableMediaError: no safetensors file, or cut off.
    """
    refuse_pickles(path)
    plain_file(path)
    damaged = UnreadableMediaError(f"{path.name} is not a whole safetensors file.", "Copy or download it again.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEADER_BYTES, size - 8):
                raise damaged
            table = json_of(file.read(length))
        metadata = {str(k): str(v) for k, v in (table.pop("__metadata__", None) or {}).items()}
        shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in table.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in table.items()}
        end = max((int(entry["data_offsets"][1]) for entry in table.values()), default=0)
    except OSError as exc:
        raise UnreadableMediaError(
            f"{path.name} cannot be opened: {exc.strerror or type(exc).__name__}.", "Check that you may read the file."
        ) from exc
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as exc:
        raise damaged from exc
    if 8 + length + end > size:
        missing = 8 + length + end - size
        raise UnreadableMediaError(
            f"{path.name} breaks off: {missing / 1e6:.1f} MB are missing at its end.", "Copy or download it again."
        )
    return WeightsHeader(shapes, dtypes, metadata, size)


def weights_sha256(path: Path, on_read: OnRead | None = None) -> str:
    """Return the sha256 of a file; remembered while size and time of change stay the same."""
    about = path.stat()
    key = (str(path), about.st_size, about.st_mtime_ns)
    if key not in _HASHES:
        _HASHES[key] = _sha256(path, about.st_size, on_read or (lambda share: None))
    return _HASHES[key]


def _sha256(path: Path, size: int, on_read: OnRead) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            on_read(min(1.0, done / size))
    return digest.hexdigest()
