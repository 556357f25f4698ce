"""How deep the outline of a cheek lies.

The fitted head is least sure where it turns away: along the outline of a cheek its depth
goes up and down by a fifth of the eye distance. Unmoved nobody sees that; turned, every
dip stays behind and is a pouch beside a dent. An outline that is drawn turned lies on one
even curve from the temple to the chin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.asset import HeadAsset
from studio.engines.rig.fill import smoothstep

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

CHEEK = (-0.95, 0.1)  # heights in decimetres of the average head: from the chin's side to the eyes
FADED = 0.12  # decimetres of height over which the curve lets go at either end
NARROW, WIDE = 0.06, 0.3  # of the eye distance: within, it is outline; further inside, the head's own depth
FEWEST = 8  # points of an outline that make a curve


def even_depth(asset: HeadAsset, mesh: Array, drawn: Array, inside: Array, eye_distance: float) -> FloatArray:
    """Return by how much to lift vertices so that both cheeks' outlines are even.

    Args:
        mesh: the photo's own head in the picture, pixels.  # (V, 3)
        drawn: triangles that the face pass draws.  # (T, 3)
        inside: how far each vertex lies inside the outline of the drawn face, of the eye distance.  # (V,)
        eye_distance: pixels between the outer eye corners.

    Returns:
        Pixels towards the viewer.  # (V,)
    """
    rows = np.unique(drawn)
    height = asset.mean[rows, 1]
    rows = rows[(height > CHEEK[0]) & (height < CHEEK[1])]
    lift = np.zeros(len(mesh), np.float32)
    for side in (-1, 1):
        of_side = rows[asset.mean[rows, 0] * side > 0]
        outline = of_side[inside[of_side] < NARROW]
        if len(outline) < FEWEST:
            continue
        height = asset.mean[:, 1]
        curve = np.polynomial.Polynomial.fit(height[outline], mesh[outline, 2], 2)
        share = 1 - smoothstep(inside[of_side], NARROW, WIDE)
        share *= smoothstep(height[of_side], CHEEK[0], CHEEK[0] + FADED)
        share *= 1 - smoothstep(height[of_side], CHEEK[1] - FADED, CHEEK[1])
        lift[of_side] = (curve(height[of_side]) - _outline_depth(mesh, outline, height, of_side)) * share
    return lift


def _outline_depth(mesh: Array, outline: Array, height: Array, at: Array) -> Array:
    """Return the outline's own depth at other vertices' heights.  # (N,)"""
    order = np.argsort(height[outline])
    known, depth = height[outline][order], mesh[outline, 2][order]
    near = np.exp(-(((height[at][:, None] - known[None]) / 0.03) ** 2)) + 1e-9
    return np.asarray((near * depth).sum(1) / near.sum(1))
