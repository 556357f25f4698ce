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


@nb.njit(cache=True, nogil=True, fastmath=True)
def _catmull_rom(t: float, out: Array) -> None:
    """Write the four weights of a Catmull-Rom spline at 0 <= t < 1."""
    out[0] = t * (-0.5 + t * (1.0 - 0.5 * t))
    out[1] = 1.0 + t * t * (-2.5 + 1.5 * t)
    out[2] = t * (0.5 + t * (2.0 - 1.5 * t))
    out[3] = t * t * (-0.5 + 0.5 * t)


@nb.njit(cache=True, nogil=True, fastmath=True)
def write_bytes(rgba: Array, out: Array) -> None:
    """Round the colors of (h, w, 4) floats into (h, w, 3) bytes."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for k in range(3):
                out[y, x, k] = np.uint8(min(max(rgba[y, x, k] + 0.5, 0.0), 255.0))


@nb.njit(cache=True, nogil=True, fastmath=True)
def look_up(maps: Array, tag: Array, source: Array, pad: int, plate: Array, out: Array) -> None:
    """Look up every pixel's color in the photo and lay it over the plate.

    Catmull-Rom over 4 x 4 pixels: a bilinear look-up would soften the photo, and the
    softness would come and go with every fraction of a pixel that the head moves.

    Args:
        maps: source x, y in photo pixels, and light ratio.  # (h, w, 3)
        tag: 0 where nothing was drawn.  # (h, w)
        source: premultiplied RGB and alpha, padded.  # (H, W, 4)
        plate: (h, w, 3)
        out: RGB and alpha, written.  # (h, w, 4)
    """
    height, width = tag.shape
    rows, columns = source.shape[0], source.shape[1]
    wx = np.empty(4, np.float32)
    wy = np.empty(4, np.float32)
    for y in range(height):
        for x in range(width):
            sx = min(max(maps[y, x, 0] + pad, 1.0), columns - 3.001)
            sy = min(max(maps[y, x, 1] + pad, 1.0), rows - 3.001)
            i, j = int(sx), int(sy)
            near = source[j, i, 3] + source[j, i + 1, 3] + source[j + 1, i, 3] + source[j + 1, i + 1, 3]
            if tag[y, x] == 0 or near == 0.0:
                out[y, x, 0] = plate[y, x, 0]
                out[y, x, 1] = plate[y, x, 1]
                out[y, x, 2] = plate[y, x, 2]
                out[y, x, 3] = 0.0
                continue
            _catmull_rom(sx - i, wx)
            _catmull_rom(sy - j, wy)
            red = green = blue = alpha = np.float32(0.0)
            for b in range(4):
                r = g = u = a = np.float32(0.0)
                for c in range(4):
                    w = wx[c]
                    r += w * source[j + b - 1, i + c - 1, 0]
                    g += w * source[j + b - 1, i + c - 1, 1]
                    u += w * source[j + b - 1, i + c - 1, 2]
                    a += w * source[j + b - 1, i + c - 1, 3]
                w = wy[b]
                red += w * r
                green += w * g
                blue += w * u
                alpha += w * a
            alpha = min(max(alpha, np.float32(0.0)), np.float32(1.0))
            ratio = maps[y, x, 2]
            rest = np.float32(1.0) - alpha
            out[y, x, 0] = red * ratio + rest * plate[y, x, 0]
            out[y, x, 1] = green * ratio + rest * plate[y, x, 1]
            out[y, x, 2] = blue * ratio + rest * plate[y, x, 2]
            out[y, x, 3] = alpha
