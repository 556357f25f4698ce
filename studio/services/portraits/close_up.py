"""A small picture of a face and little around it: what an expression does, at the size of a stamp."""

from __future__ import annotations

from studio.domain.expression import ExpressionEdit, resolve
from studio.services.portraits.prepared import PreparedPortrait

STAMP_PIXELS = 160
_AIR = 1.7
"""Side of the stamp in face sizes."""


def stamp(prepared: PreparedPortrait, edit: ExpressionEdit) -> bytes:
    """Draw an edit of a portrait and return the face as a square JPEG of STAMP_PIXELS."""
    from studio.engines.media.pictures import thumbnail_jpeg

    with prepared.lock:
        image = prepared.portrait.render(resolve(edit, prepared.portrait.own_weights))
    x0, y0, x1, y1 = prepared.face.box
    height, width = image.shape[:2]
    side = min(round(_AIR * max(x1 - x0, y1 - y0)), height, width)
    left = min(max(round((x0 + x1) / 2 - side / 2), 0), width - side)
    top = min(max(round((y0 + y1) / 2 - side / 2), 0), height - side)
    return thumbnail_jpeg(image[top : top + side, left : left + side], STAMP_PIXELS)
