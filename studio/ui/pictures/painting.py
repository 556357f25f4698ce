"""What a page may send as a painting: as large as the canvas it was given, and no more.

Gradio's editor unpacks whatever it is sent, of any format and size. Here its
headers are read first, for all editors of this process.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any

import gradio as gr

CANVAS_SIDE = 2048
"""Pixels of the longer side of what is painted on."""
MOST_LAYERS = 4
_FORMATS = ("PNG", "WEBP", "JPEG")
"""What a browser's canvas writes."""


def bound_paintings() -> None:
    """Let Gradio's editor refuse what no canvas of ours sends; may be called again."""
    unbound = gr.ImageEditor.preprocess
    if hasattr(unbound, "__wrapped__"):
        return

    @functools.wraps(unbound)
    def preprocess(self: gr.ImageEditor, payload: Any) -> Any:
        for picture in _sent(self, payload):
            _check(picture)
        return unbound(self, payload)

    gr.ImageEditor.preprocess = preprocess  # type: ignore[method-assign]


def _sent(editor: gr.ImageEditor, payload: Any) -> Iterator[bytes | str]:
    """Yield the pictures of a painting, as bytes or as the place of a file.

    Raises:
        gr.Error: more layers than MOST_LAYERS.
    """
    kept = payload if payload is None or payload.id is None else editor.blob_storage.get(payload.id)
    if kept is None:
        return
    layers = list(kept.layers or ())
    if len(layers) > MOST_LAYERS:
        raise gr.Error(f"The painting has {len(layers)} layers, more than {MOST_LAYERS}.", print_exception=False)
    for picture in (kept.background, kept.composite, *layers):
        if picture is not None:
            yield picture if isinstance(picture, bytes) else picture.path


def _check(picture: bytes | str) -> None:
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
