"""What a page may send as a painting: as large as the canvas it was given, and no more.

Gradio's editor unpacks whatever it is sent, of any format and size, and keeps
what a page laid down and never asked to be drawn for as long as the studio
runs. Here headers are read first, and of what waits only the newest stays: as
much as all pages together may hold. What had to go is said to be gone, never
taken for a painting without a stroke.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any

import gradio as gr

CANVAS_SIDE = 1024
"""Pixels of the longer side of what is painted on; the page sends all of it after every stroke."""
MOST_LAYERS = 4
MOST_WAITING_BYTES = 400_000_000
"""Of paintings that were laid down and not asked for yet, of all pages together. A page lays down one of some hundred
kilobytes and asks at once, so that hundreds may do so at the same moment."""
LARGEST_BYTES = 4 * CANVAS_SIDE**2 + 100_000
"""Of one picture of a painting: a canvas that does not compress at all."""
_FORMATS = ("PNG", "WEBP", "JPEG")
"""What a browser's canvas writes."""


def bound_paintings() -> None:
    """Let Gradio's editors refuse what no canvas sends, and forget what nobody asked for; may be called again."""
    unbound = gr.ImageEditor.preprocess
    if hasattr(unbound, "__wrapped__"):
        return

    @functools.wraps(unbound)
    def preprocess(self: gr.ImageEditor, payload: Any) -> Any:
        for picture in _sent(self, payload):
            check(picture)
        return unbound(self, payload)

    lay_down = gr.ImageEditor.accept_blobs

    @functools.wraps(lay_down)
    def accept_blobs(self: gr.ImageEditor, data: Any) -> None:
        if any(len(sent) > LARGEST_BYTES for _, sent in data.files):
            raise gr.Error("The painting is larger than a canvas.", print_exception=False)
        lay_down(self, data)
        while len(self.blob_storage) > 1 and sum(map(_bytes, self.blob_storage.values())) > MOST_WAITING_BYTES:
            self.blob_storage.pop(next(iter(self.blob_storage)), None)

    gr.ImageEditor.preprocess = preprocess  # type: ignore[method-assign]
    gr.ImageEditor.accept_blobs = accept_blobs  # type: ignore[method-assign]


def _bytes(waiting: Any) -> int:
    """Return the bytes that a waiting painting holds."""
    pictures = (waiting.background, waiting.composite, *(waiting.layers or ()))
    return sum(len(picture) for picture in pictures if isinstance(picture, bytes))


def _sent(editor: gr.ImageEditor, payload: Any) -> Iterator[bytes | str]:
    """Yield the pictures of a painting, as bytes or as the place of a file.

    Raises:
        gr.Error: more layers than MOST_LAYERS, or it waited and is there no longer.
    """
    if payload is None:
        return
    kept = payload if payload.id is None else editor.blob_storage.get(payload.id)
    if kept is None:
        raise gr.Error("The painting had to make room for others; ask for it once more.", print_exception=False)
    layers = list(kept.layers or ())
    if len(layers) > MOST_LAYERS:
        raise gr.Error(f"The painting has {len(layers)} layers, more than {MOST_LAYERS}.", print_exception=False)
    for picture in (kept.background, kept.composite, *layers):
        if picture is not None:
            yield picture if isinstance(picture, bytes) else picture.path


def check(picture: bytes | str) -> None:
    """Read a header, and unpack nothing.

    Raises:
        gr.Error: another format, damaged, or larger than any canvas.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMATS) as opened:
            width, height = opened.size
    except Exception as exc:  # decoders raise anything on hostile bytes: this is the wall
        raise gr.Error("The painting is no picture that a page draws.", print_exception=False) from exc
    if max(width, height) > CANVAS_SIDE:
        raise gr.Error(
            f"The painting has {width} x {height} pixels, more than {CANVAS_SIDE} on a side.", print_exception=False
        )
