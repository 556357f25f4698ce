"""The rig's inner loops, compiled by numba on first use and cached on disk.

Everything here is plain arithmetic over arrays; no kernel knows what a face
is. Cameras are orthographic, so attributes interpolate linearly in the
picture. Larger z is nearer to the viewer.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@nb.njit(cache=True, nogil=True, fastmath=True)
def rasterize(
    points: Array,
    triangles: Array,
    tags: Array,
    attributes: Array,
    zbuffer: Array,
    tag_map: Array,
    out: Array,
    cull: int,
) -> None:
    """Draw triangles into attribute maps with a z-buffer.

    Args:
        points: x, y in pixels of the maps (pixel centres at integers), z.  # (V, 3) float32
        triangles: vertex rows.  # (T, 3) int32
        tags: one small number per triangle, written to `tag_map`.  # (T,) uint8
        attributes: per-vertex values to interpolate.  # (V, C) float32
        zbuffer: read and written.  # (H, W) float32
        tag_map: written where drawn.  # (H, W) uint8
        out: written where drawn.  # (H, W, C) float32
        cull: 1 draws only triangles that face the viewer (clockwise on screen with
            y down is away), 0 draws both sides.
    """
    height, width = zbuffer.shape
    channels = attributes.shape[1]
    for t in range(triangles.shape[0]):
        a = triangles[t, 0]
        b = triangles[t, 1]
        c = triangles[t, 2]
        x0 = points[a, 0]
        y0 = points[a, 1]
        x1 = points[b, 0]
        y1 = points[b, 1]
        x2 = points[c, 0]
        y2 = points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0 or (cull == 1 and area > 0.0):
            continue
        xa = max(0, int(np.ceil(min(x0, x1, x2) - 1e-4)))
        xb = min(width - 1, int(np.floor(max(x0, x1, x2) + 1e-4)))
        ya = max(0, int(np.ceil(min(y0, y1, y2) - 1e-4)))
        yb = min(height - 1, int(np.floor(max(y0, y1, y2) + 1e-4)))
        if xa > xb or ya > yb:
            continue
        inv = 1.0 / area
        dx1 = (y2 - y0) * inv
        dy1 = -(x2 - x0) * inv
        dx2 = -(y1 - y0) * inv
        dy2 = (x1 - x0) * inv
        z0 = points[a, 2]
        dz1 = points[b, 2] - z0
        dz2 = points[c, 2] - z0
        for y in range(ya, yb + 1):
            w1 = (xa - x0) * dx1 + (y - y0) * dy1
            w2 = (xa - x0) * dx2 + (y - y0) * dy2
            for x in range(xa, xb + 1):
                if w1 >= -1e-4 and w2 >= -1e-4 and w1 + w2 <= 1.0001:
                    z = z0 + w1 * dz1 + w2 * dz2
                    if z > zbuffer[y, x]:
                        zbuffer[y, x] = z
                        tag_map[y, x] = tags[t]
                        w0 = 1.0 - w1 - w2
                        for k in range(channels):
                            out[y, x, k] = attributes[a, k] * w0 + attributes[b, k] * w1 + attributes[c, k] * w2
                w1 += dx1
                w2 += dx2


@nb.njit(cache=True, nogil=True, fastmath=True)
def vertex_normals(points: Array, triangles: Array) -> Array:
    """Return unit vertex normals, area weighted; y of `points` may point up or down.

    Args:
        points: (V, 3) float32
        triangles: (T, 3) int32
    """
    out = np.zeros_like(points)
    for t in range(triangles.shape[0]):
        a = triangles[t, 0]
        b = triangles[t, 1]
        c = triangles[t, 2]
        ux = points[b, 0] - points[a, 0]
        uy = points[b, 1] - points[a, 1]
        uz = points[b, 2] - points[a, 2]
        vx = points[c, 0] - points[a, 0]
        vy = points[c, 1] - points[a, 1]
        vz = points[c, 2] - points[a, 2]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        for i in (a, b, c):
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz
    for i in range(out.shape[0]):
        n = np.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + 1e-12
        for k in range(3):
            out[i, k] /= n
    return out


@nb.njit(cache=True, nogil=True)
def bounded_least_squares(gram: Array, right: Array, low: Array, high: Array, x: Array, sweeps: int) -> Array:
    """Minimise x'Gx/2 - right'x within bounds by cyclic coordinate descent.

    Args:
        gram: symmetric, positive diagonal.  # (K, K)
        right: (K,)
        low, high: bounds.  # (K,)
        x: start; overwritten.  # (K,)
        sweeps: passes over all coordinates.

    Returns:
        x.
    """
    n = right.shape[0]
    for _ in range(sweeps):
        for i in range(n):
            if gram[i, i] <= 0.0:
                continue
            dot = 0.0
            for j in range(n):
                dot += gram[i, j] * x[j]
            v = x[i] - (dot - right[i]) / gram[i, i]
            x[i] = min(max(v, low[i]), high[i])
    return x
