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

from studio.engines.rig import spline

Array = NDArray[Any]

CLIPPED = np.float32(252.0)  # gray level from which a photo has lost its shading
CLIPPING = np.float32(24.0)  # gray levels below that over which new shading fades in
WARMTH = np.float32(0.6)  # how much more than its light the weak channels of a color change: skin in shade is warmer


def box_means(values: Array, side: int) -> Array:
    """Return the means of boxes of `side` x `side` pixels, as numpy's own mean over both axes and five times as fast.

    Args:
        values: (..., H, W, C), both divisible by `side`.

    Returns:
        float32.  # (..., H / side, W / side, C)
    """
    *before, height, width, channels = values.shape
    boxes = values.reshape(*before, height // side, side, width // side, side, channels)
    total = np.zeros((*before, height // side, width // side, channels), np.float32)
    for row in range(side):
        for column in range(side):
            total += boxes[..., row, :, column, :]
    return total / np.float32(side * side)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def read_between(image: Array, x: float, y: float) -> Any:
    """Read one channel between four pixels; outside, the nearest edge.

    Args:
        image: (h, w)
        x, y: pixels, centers at integers.
    """
    height, width = image.shape
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    top = image[j, i] * (1 - fx) + image[j, i + 1] * fx
    low = image[j + 1, i] * (1 - fx) + image[j + 1, i + 1] * fx
    return top * (1 - fy) + low * fy


@nb.njit(cache=True, nogil=True, fastmath=True)
def _spanned(points: Array, triangle: Array, height: int, width: int, cull: int) -> Any:
    """Return what a triangle's pixels are computed from.

    Args:
        points, cull: as in `rasterize`.
        triangle: three vertex rows.  # (3,)
        height, width: of the maps.

    Returns:
        First and last column and row (last before first: nothing to draw), and the steps to the right and down of the
        weights of the second and third corner.
    """
    a, b, c = triangle[0], triangle[1], triangle[2]
    x0 = points[a, 0]
    y0 = points[a, 1]
    x1 = points[b, 0]
    y1 = points[b, 1]
    x2 = points[c, 0]
    y2 = points[c, 1]
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0.0 or (cull == 1 and area > 0.0):
        return 0, -1, 0, -1, 0.0, 0.0, 0.0, 0.0
    xa = max(0, int(np.ceil(min(x0, x1, x2) - 1e-4)))
    xb = min(width - 1, int(np.floor(max(x0, x1, x2) + 1e-4)))
    ya = max(0, int(np.ceil(min(y0, y1, y2) - 1e-4)))
    yb = min(height - 1, int(np.floor(max(y0, y1, y2) + 1e-4)))
    inv = 1.0 / area
    return xa, xb, ya, yb, (y2 - y0) * inv, -(y1 - y0) * inv, -(x2 - x0) * inv, (x1 - x0) * inv


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _row_of(w1: float, w2: float, dx1: float, dx2: float, last: int) -> Any:
    """Return the first and last pixel of a row that lie in a triangle (last before first: none).

    Args:
        w1, w2: weights of the second and third corner at pixel 0.
        dx1, dx2: their steps to the right.
        last: the last pixel that may.
    """
    low, high = 0.0, float(last)
    for w, step in ((w1 + 1e-4, dx1), (w2 + 1e-4, dx2), (1.0001 - w1 - w2, -dx1 - dx2)):
        if step > 0.0:
            low = max(low, -w / step)
        elif step < 0.0:
            high = min(high, -w / step)
        elif w < 0.0:
            high = -1.0
    return int(np.ceil(low)), int(np.floor(high))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _along_row(corners: Array, k: int, w1: float, w2: float, dx1: float, dx2: float) -> Any:
    """Return an attribute at the start of a row, and its step to the right.

    Args:
        corners: attributes of the triangle's corners.  # (3, C)
        k: which one; 0 and 0 where there is no such.
        w1, w2, dx1, dx2: as in `_row_of`.
    """
    if k >= corners.shape[1]:
        return np.float32(0.0), np.float32(0.0)
    first = corners[0, k]
    by1, by2 = corners[1, k] - first, corners[2, k] - first
    return np.float32(first + by1 * w1 + by2 * w2), np.float32(by1 * dx1 + by2 * dx2)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
    corners = np.empty((3, channels), np.float32)
    for t in range(triangles.shape[0]):
        a = triangles[t, 0]
        b = triangles[t, 1]
        c = triangles[t, 2]
        xa, xb, ya, yb, dx1, dx2, dy1, dy2 = _spanned(points, triangles[t], height, width, cull)
        if ya > yb or xa > xb:
            continue
        for k in range(channels):
            corners[0, k], corners[1, k], corners[2, k] = attributes[a, k], attributes[b, k], attributes[c, k]
        x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
        dz1 = points[b, 2] - z0
        dz2 = points[c, 2] - z0
        for y in range(ya, yb + 1):
            w1 = (xa - x0) * dx1 + (y - y0) * dy1
            w2 = (xa - x0) * dx2 + (y - y0) * dy2
            first, last = _row_of(w1, w2, dx1, dx2, xb - xa)
            w1 += first * dx1
            w2 += first * dx2
            z, dz = np.float32(z0 + w1 * dz1 + w2 * dz2), np.float32(dx1 * dz1 + dx2 * dz2)
            # The first three attributes go along in registers: the loop below is most of what a frame costs.
            v0, s0 = _along_row(corners, 0, w1, w2, dx1, dx2)
            v1, s1 = _along_row(corners, 1, w1, w2, dx1, dx2)
            v2, s2 = _along_row(corners, 2, w1, w2, dx1, dx2)
            for x in range(np.uintp(xa + first), np.uintp(xa + last + 1)):
                if z > zbuffer[y, x]:
                    zbuffer[y, x] = z
                    tag_map[y, x] = tags[t]
                    out[y, x, 0] = v0
                    if channels > 1:
                        out[y, x, 1] = v1
                    if channels > 2:
                        out[y, x, 2] = v2
                    for k in range(3, channels):
                        value, step = _along_row(corners, k, w1, w2, dx1, dx2)
                        out[y, x, k] = value + (x - (xa + first)) * step
                z += dz
                v0 += s0
                v1 += s1
                v2 += s2


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
def write_bytes(rgba: Array, out: Array) -> None:
    """Round the colors of (h, w, 4) floats into (h, w, 3) bytes."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for k in range(3):
                out[y, x, k] = _byte(rgba[y, x, k])


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _byte(value: Any) -> Any:
    """Round a float32 to 0..255."""
    return np.uint8(np.int32(min(max(value + np.float32(0.5), np.float32(0.0)), np.float32(255.0))))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def look_up(maps: Array, tag: Array, source: Array, pad: int, plate: Array, out: Array) -> None:
    """Look up every pixel's color in the photo and lay it over the plate.

    Catmull-Rom over 4 x 4 pixels: a bilinear look-up would soften the photo, and the
    softness would come and go with every fraction of a pixel that the head moves.

    Args:
        maps: source x, y in photo pixels, and light ratio.  # (h, w, 3)
        tag: 0 where nothing was drawn.  # (h, w)
        source: premultiplied RGB and alpha, padded.  # (H, W, 4) contiguous
        plate: (h, w, 3)
        out: RGB and alpha, written.  # (h, w, 4)
    """
    height, width = tag.shape
    rows, columns = source.shape[0], source.shape[1]
    line = source.reshape(-1)
    below = np.uintp(4 * columns)
    zero, one, shift = np.float32(0.0), np.float32(1.0), np.float32(pad)
    right, bottom = np.float32(columns - 3.001), np.float32(rows - 3.001)
    for y in range(height):
        for x in range(width):
            sx = min(max(maps[y, x, 0] + shift, one), right)
            sy = min(max(maps[y, x, 1] + shift, one), bottom)
            i, j = np.int32(sx), np.int32(sy)
            at = np.uintp(j) * below + np.uintp(4 * i)
            near = line[at + np.uintp(3)] + line[at + np.uintp(7)]
            near += line[at + below + np.uintp(3)] + line[at + below + np.uintp(7)]
            if tag[y, x] == 0 or near == zero:
                out[y, x, 0] = plate[y, x, 0]
                out[y, x, 1] = plate[y, x, 1]
                out[y, x, 2] = plate[y, x, 2]
                out[y, x, 3] = zero
                continue
            across, down = spline.weights_at(sx - np.float32(i)), spline.weights_at(sy - np.float32(j))
            red, green, blue, alpha = spline.blend(line, at - below - np.uintp(4), below, across, down)
            alpha = min(max(alpha, zero), one)
            # Skin clipped to white has lost its shading: a ratio there would only show as a gray patch.
            room = min(max((CLIPPED - max(red, green, blue)) / CLIPPING, zero), one)
            change = (maps[y, x, 2] - one) * room
            rest = one - alpha
            # c * (1 + change * (1 + WARMTH * (1 - c / light))) for each channel
            all_alike = one + change * (one + WARMTH)
            light = np.float32(0.30) * red + np.float32(0.59) * green + np.float32(0.11) * blue
            own = change * WARMTH / max(light, one)
            out[y, x, 0] = red * (all_alike - own * red) + rest * plate[y, x, 0]
            out[y, x, 1] = green * (all_alike - own * green) + rest * plate[y, x, 1]
            out[y, x, 2] = blue * (all_alike - own * blue) + rest * plate[y, x, 2]
            out[y, x, 3] = alpha


@nb.njit(cache=True, nogil=True, fastmath=True)
def add_followed(moved: Array, neighbors: Array, weights: Array, out: Array) -> None:
    """Add the weighted motion of its neighbors to every point.

    Args:
        moved: of all that may be followed.  # (V, 3)
        neighbors: rows of it.  # (N, K) int32
        weights: how much each counts.  # (N, K)
        out: changed.  # (N, 3)
    """
    for n in range(neighbors.shape[0]):
        for k in range(neighbors.shape[1]):
            for axis in range(3):
                out[n, axis] += weights[n, k] * moved[neighbors[n, k], axis]


@nb.njit(cache=True, nogil=True, fastmath=True)
def add_change(drawn: Array, photo: Array, person: Array, out: Array) -> None:
    """Add what a drawing changes in the photo to the person's premultiplied color.

    Args:
        drawn, photo: RGB.  # (h, w, 3)
        person: RGB and alpha.  # (h, w, 4)
        out: RGB and alpha, changed.  # (h, w, 4)
    """
    for y in range(drawn.shape[0]):
        for x in range(drawn.shape[1]):
            alpha = person[y, x, 3]
            for k in range(3):
                out[y, x, k] += (drawn[y, x, k] - photo[y, x, k]) * alpha


@nb.njit(cache=True, nogil=True, fastmath=True)
def premultiply(image: Array, alpha: Array, color: Array, plate: Array, slack: float, out: Array, rest: Array) -> None:
    """Write the person's premultiplied color: what completes the plate to the picture, within `slack` of `color`.

    Args:
        image, color, plate: RGB.  # (H, W, 3)
        alpha: 0..1.  # (H, W)
        slack: gray levels.
        out: RGB and alpha, written.  # (H, W, 4)
        rest: what person over plate then leaves of the picture, written.  # (H, W, 3)
    """
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            a = alpha[y, x]
            out[y, x, 3] = a
            for k in range(3):
                wanted = image[y, x, k] - (1 - a) * plate[y, x, k]
                v = min(max(wanted, a * (color[y, x, k] - slack)), a * (color[y, x, k] + slack))
                out[y, x, k] = v
                rest[y, x, k] = wanted - v


@nb.njit(cache=True, nogil=True, fastmath=True)
def limit_slope(depth: Array, fixed: Array, across: Array, down: Array) -> None:
    """Pull free cells towards the fixed ones until no neighbors differ by more than the steeper of them may.

    A distance transform of what the fixed cells allow, in two sweeps there and back.

    Args:
        depth: read and written.  # (h, w) float32
        fixed: 1 where the depth stays.  # (h, w) uint8
        across, down: largest difference between neighbors beside and below each other.  # (h, w) each
    """
    h, w = depth.shape
    low = np.full((h, w), -1e30, np.float32)
    high = np.full((h, w), 1e30, np.float32)
    for y in range(h):
        for x in range(w):
            if fixed[y, x]:
                low[y, x] = depth[y, x]
                high[y, x] = depth[y, x]
    for sweep in range(4):
        back = sweep % 2 == 1
        sign = 1 if back else -1
        for n in range(h * w):
            at = h * w - 1 - n if back else n
            y, x = at // w, at % w
            for j, i in ((sign, -1), (sign, 0), (sign, 1), (0, sign)):
                ny, nx = y + j, x + i
                if 0 <= ny < h and 0 <= nx < w:
                    beside, below = max(across[y, x], across[ny, nx]), max(down[y, x], down[ny, nx])
                    step = np.sqrt((beside * beside if i != 0 else 0.0) + (below * below if j != 0 else 0.0))
                    low[y, x] = max(low[y, x], low[ny, nx] - np.float32(step))
                    high[y, x] = min(high[y, x], high[ny, nx] + np.float32(step))
    for y in range(h):
        for x in range(w):
            if not fixed[y, x]:
                depth[y, x] = min(max(depth[y, x], low[y, x]), high[y, x])


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def rasterize_over(
    points: Array, triangles: Array, tag: int, attributes: Array, cover: Array, zbuffer: Array, tag_map: Array,
    out: Array,
) -> None:  # fmt: skip
    """Draw triangles that face the viewer over attribute maps, mixed by a cover.

    What is mixed is where the maps point, not colors: that leaves no double image.

    Args:
        points: x, y in pixels of the maps, z.  # (V, 3) float32
        triangles: vertex rows.  # (T, 3) int32
        tag: written to `tag_map` where drawn.
        attributes: per-vertex values to interpolate.  # (V, 3) float32
        cover: 0 leaves what was there, 1 replaces it; as 1 where nothing was.  # (V,) float32
        zbuffer, tag_map, out: as in `rasterize`.
    """
    height, width = zbuffer.shape
    corners = np.empty((3, 4), np.float32)
    for t in range(triangles.shape[0]):
        a = triangles[t, 0]
        b = triangles[t, 1]
        c = triangles[t, 2]
        xa, xb, ya, yb, dx1, dx2, dy1, dy2 = _spanned(points, triangles[t], height, width, 1)
        if ya > yb or xa > xb:
            continue
        for k in range(3):
            corners[0, k], corners[1, k], corners[2, k] = attributes[a, k], attributes[b, k], attributes[c, k]
        corners[0, 3], corners[1, 3], corners[2, 3] = cover[a], cover[b], cover[c]
        x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
        dz1 = points[b, 2] - z0
        dz2 = points[c, 2] - z0
        for y in range(ya, yb + 1):
            w1 = (xa - x0) * dx1 + (y - y0) * dy1
            w2 = (xa - x0) * dx2 + (y - y0) * dy2
            first, last = _row_of(w1, w2, dx1, dx2, xb - xa)
            w1 += first * dx1
            w2 += first * dx2
            z, dz = np.float32(z0 + w1 * dz1 + w2 * dz2), np.float32(dx1 * dz1 + dx2 * dz2)
            v0, s0 = _along_row(corners, 0, w1, w2, dx1, dx2)
            v1, s1 = _along_row(corners, 1, w1, w2, dx1, dx2)
            v2, s2 = _along_row(corners, 2, w1, w2, dx1, dx2)
            part, more = _along_row(corners, 3, w1, w2, dx1, dx2)
            for x in range(np.uintp(xa + first), np.uintp(xa + last + 1)):
                if z > zbuffer[y, x]:
                    zbuffer[y, x] = z
                    if tag_map[y, x] == 0:  # what is left there of the frame before must not count, not even rounded
                        out[y, x, 0] = v0
                        out[y, x, 1] = v1
                        out[y, x, 2] = v2
                    else:
                        out[y, x, 0] += part * (v0 - out[y, x, 0])
                        out[y, x, 1] += part * (v1 - out[y, x, 1])
                        out[y, x, 2] += part * (v2 - out[y, x, 2])
                    tag_map[y, x] = tag
                z += dz
                v0 += s0
                v1 += s1
                v2 += s2
                part += more


@nb.njit(cache=True, nogil=True, fastmath=True)
def soften_folds(maps: Array, tag: Array, jump: float, rgba: Array) -> None:
    """Smooth colors across folds, where neighbors come from far-apart places of the photo.

    A fold is drawn with one sample per pixel and would be a staircase. Three by three binomial
    weights stand for its coverage; everywhere else the picture stays as it is.

    Args:
        maps: source x, y per pixel.  # (h, w, 3)
        tag: 0 where nothing was drawn.  # (h, w)
        jump: source pixels between neighbors from which it is a fold.
        rgba: colors, written.  # (h, w, 4)
    """
    height, width = tag.shape
    found = np.empty((tag.size // 8, 2), np.int32)
    count = 0
    limit = np.float32(jump)
    for y in range(1, height - 2):
        for x in range(1, width - 2):
            if tag[y, x] == 0 or count + 4 > len(found):
                continue
            sx, sy = maps[y, x, 0], maps[y, x, 1]
            for d in range(2):
                ny, nx = y + d, x + 1 - d
                across = max(abs(maps[ny, nx, 0] - sx), abs(maps[ny, nx, 1] - sy)) > limit
                if across and tag[ny, nx] != 0:
                    found[count, 0], found[count, 1] = y, x
                    found[count + 1, 0], found[count + 1, 1] = ny, nx
                    count += 2
    colors = np.zeros((count, 4), np.float32)
    for n in range(count):
        y, x = found[n, 0], found[n, 1]
        for j in range(-1, 2):
            for i in range(-1, 2):
                weight = np.float32((2 - abs(j)) * (2 - abs(i)) / 16.0)
                for k in range(4):
                    colors[n, k] += weight * rgba[y + j, x + i, k]
    for n in range(count):
        for k in range(4):
            rgba[found[n, 0], found[n, 1], k] = colors[n, k]


@nb.njit(cache=True, nogil=True, fastmath=True)
def write_bytes_near(
    rgba: Array, rest: Array, loose: Array, share: float, maps: Array, tag: Array, corner: tuple[int, int], out: Array
) -> None:
    """Round the colors plus a share of `rest` into bytes; what of it is loose only where the picture stands still.

    What the layers leave of the photo lies along outlines; where an outline has moved, it would stay as a ghost.

    Args:
        rgba: drawn layers.  # (h, w, 4)
        rest: what they leave of the photo.  # (h, w, 3)
        loose: how far it belongs to an outline and not to the ground, 0..1.  # (h, w)
        share: 0..1.
        maps: x, y in the photo that each pixel comes from.  # (h, w, 3)
        tag: 0 where nothing was drawn and `maps` says nothing.  # (h, w) uint8
        corner: x, y of the first pixel in the photo.
        out: written.  # (h, w, 3) uint8
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            here = share
            left = abs(rest[y, x, 0]) + abs(rest[y, x, 1]) + abs(rest[y, x, 2])
            if left > 0 and tag[y, x] > 0:  # within the person nothing is left
                dx, dy = maps[y, x, 0] - (x + corner[0]), maps[y, x, 1] - (y + corner[1])
                still = min(max(1.5 - 1.25 * np.sqrt(dx * dx + dy * dy), 0.0), 1.0)  # whole to .4, gone from 1.2 pixels
                here *= 1.0 - loose[y, x] * (1.0 - still)
            for k in range(3):
                out[y, x, k] = _byte(np.float32(rgba[y, x, k] + here * rest[y, x, k]))


@nb.njit(cache=True, nogil=True, fastmath=True)
def distances(points: Array, others: Array, out: Array) -> None:
    """Write every distance between two sets of points.  # (N, 3), (M, 3) -> (N, M)"""
    for n in range(points.shape[0]):
        for m in range(others.shape[0]):
            x, y, z = points[n, 0] - others[m, 0], points[n, 1] - others[m, 1], points[n, 2] - others[m, 2]
            out[n, m] = np.sqrt(x * x + y * y + z * z)


@nb.njit(cache=True, nogil=True)
def nearest(points: Array, others: Array, rows: Array, distance: Array) -> None:
    """Write the nearest of the others to every point, nearest first.

    Args:
        points: (N, 2) float64
        others: at least as many as are asked for.  # (M, 2) float64
        rows: which ones, written.  # (N, K) int32
        distance: how far, written.  # (N, K) float64
    """
    count = rows.shape[1]
    order = np.argsort(others[:, 1])
    heights = others[order, 1]
    for n in range(points.shape[0]):
        x, y = points[n, 0], points[n, 1]
        found = 0
        up = np.searchsorted(heights, y)
        low = up - 1
        while low >= 0 or up < len(order):
            # The next in height, above or below, until even its height alone is too far away.
            take_up = low < 0 or (up < len(order) and heights[up] - y < y - heights[low])
            at = up if take_up else low
            if take_up:
                up += 1
            else:
                low -= 1
            dy = heights[at] - y
            if found == count and dy * dy >= distance[n, count - 1]:
                break
            m = order[at]
            dx = others[m, 0] - x
            d = dx * dx + dy * dy
            if found == count and d >= distance[n, count - 1]:
                continue
            k = min(found, count - 1)
            while k > 0 and distance[n, k - 1] > d:
                distance[n, k], rows[n, k] = distance[n, k - 1], rows[n, k - 1]
                k -= 1
            distance[n, k], rows[n, k] = d, m
            found = min(found + 1, count)
        for k in range(count):
            distance[n, k] = np.sqrt(distance[n, k])
