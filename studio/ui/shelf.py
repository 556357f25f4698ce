"""The shelf: copies of media that the page may fetch, in a folder of their own.

The page can read every file in Gradio's cache folder and nothing else. So the
data folder stays closed, and whatever is to be shown is put here first, under
a name made by the studio. Copies are hard links where the disk can do that.
The shelf knows nothing of identities or renders; when a person is deleted the
whole shelf is cleared, since any copy may show them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from studio.errors import StoreError

KEEP_SECONDS = 24 * 3600.0
JPEG_QUALITY = 93
"""Above this the file grows and the eye sees nothing more (checked at 1024 px on skin)."""


def file_name(text: str, extension: str) -> str:
    """Return a harmless file name that still tells what the file is."""
    stem = re.sub(r"[^\w\- ]+", "", text, flags=re.UNICODE).strip()[:60].strip().replace(" ", "-")
    return (stem or "likeness") + extension


class Shelf:
    """A folder of files that the page may fetch."""

    def __init__(self, folder: Path) -> None:
        """Open the shelf and sweep what is older than a day.

        Raises:
            StoreError: the folder cannot be made.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError("The window's folder cannot be written.", f"Check the rights of {folder}.") from exc
        self.sweep(KEEP_SECONDS)

    def put(self, path: Path, name: str | None = None) -> Path:
        """Copy a file onto the shelf.

        Args:
            path: an existing file; its bytes must not change afterwards.
            name: what the person sees on download; default the file's own name.

        Raises:
            StoreError: the file is gone or the disk is full.
        """
        try:
            stat = path.stat()
            key = hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:20]
            out = self.folder / "shelf" / key / file_name(Path(name or path.name).stem, Path(name or path.name).suffix)
            if not out.exists():
                out.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, out)
                except FileExistsError:
                    pass  # another visitor's page laid it here a moment ago
                except OSError:  # another disk, or one without links
                    shutil.copyfile(path, out)
            os.utime(out.parent)
        except OSError as exc:
            raise StoreError(
                "A file of the studio could not be read.", "Run “Check all files” in the Library."
            ) from exc
        return out

    def picture(self, image: NDArray[np.uint8], most: int | None = None) -> Path:
        """Write a picture as JPEG for showing.

        Args:
            image: (H, W, 3) RGB.
            most: pixels of the longer side; larger ones are made smaller.
        """
        from PIL import Image

        if most is not None and max(image.shape[:2]) > most:
            small = Image.fromarray(image)
            small.thumbnail((most, most))
            image = np.asarray(small)

        key = hashlib.blake2b(
            np.ascontiguousarray(image).data, digest_size=10, key=str(image.shape).encode()
        ).hexdigest()
        out = self.folder / "shelf" / f"{key}.jpg"
        if out.exists():
            os.utime(out)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_name(f"{key}.{time.monotonic_ns()}.part")
            Image.fromarray(image).save(part, "JPEG", quality=JPEG_QUALITY)
            part.replace(out)
        return out

    def enlarged(self, path: Path, side: int) -> Path:
        """Write a picture anew with `side` pixels on its longer side.

        Raises:
            StoreError: the picture cannot be read.
        """
        from PIL import Image

        out = self.place(path.stem + ".png")
        try:
            with Image.open(path, formats=["PNG", "JPEG"]) as picture:
                scale = side / max(picture.size)
                size = (round(picture.width * scale), round(picture.height * scale))
                picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(out)
        except OSError as exc:
            raise StoreError("A picture of the studio could not be read.", "Run “Check all files”.") from exc
        return out

    def matte(self, mask: NDArray[np.uint8]) -> Path:
        """Write a mask without loss.

        Args:
            mask: 0..255.  # (H, W)
        """
        from PIL import Image

        out = self.place("mask.png")
        Image.fromarray(mask).save(out)
        return out

    def kept(self, key: str, make: Callable[[], bytes]) -> Path:
        """Lay a small JPEG on the shelf under a key that names its content; it is made only when it is not there.

        Args:
            key: letters, digits and dashes.
        """
        out = self.folder / "shelf" / f"{key}.jpg"
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_name(f"{key}.{time.monotonic_ns()}.part")
            part.write_bytes(make())
            part.replace(out)
        return out

    def once(self, key: str, name: str, write: Callable[[Path], object]) -> Path:
        """Return a file that is written only when it is not there, with whatever `write` lays beside it.

        Args:
            key: letters and digits that name its content.
            name: what the person sees on download.
            write: gets the path.
        """
        out = self.folder / "shelf" / key / file_name(Path(name).stem, Path(name).suffix)
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            write(out)
        os.utime(out.parent)
        return out

    def place(self, name: str) -> Path:
        """Return a fresh path on the shelf for something about to be written."""
        folder = self.folder / "shelf" / f"new-{time.time_ns():x}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / file_name(Path(name).stem, Path(name).suffix)

    def holds(self, path: object) -> bool:
        """Say whether a path that a page sends is a file in the folder that it may fetch from."""
        if not isinstance(path, str) or not path or "\0" in path:
            return False
        place = Path(path)
        return place.is_file() and place.resolve().is_relative_to(self.folder.resolve())

    def url(self, path: Path) -> str:
        """Return the address of a file on the shelf, relative to the page."""
        return "gradio_api/file=" + quote(path.as_posix(), safe="/:")

    def sweep(self, older_than_seconds: float = 0.0) -> int:
        """Delete what has not been used for so long; return the bytes set free."""
        freed = 0
        limit = time.time() - older_than_seconds
        for entry in self.folder.iterdir():
            for item in list(entry.iterdir()) if entry.is_dir() else [entry]:
                if item.stat().st_mtime > limit:
                    continue
                inside = [f for f in item.rglob("*") if f.is_file()] if item.is_dir() else [item]
                freed += sum(f.stat().st_size for f in inside)
                if item.is_dir():
                    shutil.rmtree(item, ignore_errors=True)
                else:
                    item.unlink(missing_ok=True)
        return freed
