"""One eye drawn in motion: lids slide, unroll and fold, the ball turns behind them.

Per pixel: where the lids' edges have come to; the upper lid's skin there, looked up in its unrolled strip; the ball
with its iris; the lower lid, which rides along; the lashes on the edge. With nothing asked every layer falls on its
own place, and what the layers miss of the photo is added on top, so the first hundredth of a blink is no jump.

Compiled by numba on first use; the three `_paint` functions are inlined, for handing their groups of arrays over costs
as much as using them. Everything that does not depend on the motion lies ready in `Ground` and `Sheets`.
Coordinates and lengths are those of eye_frame.EyeFrame (eye lengths, v down) if not said otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.gaze import SHADOW, SHADOW_LENGTH
from studio.engines.rig.kernels import read_between

Array = NDArray[Any]

LIFT_REACH = 0.5  # below the lower lid: skin beyond it does not follow
_CONTACT, _CONTACT_HALF = 0.45, 0.013  # cover by ink, and half width, of the line in which bare lids meet
OVERLAP = 0.030  # the upper lid ends this far over the lower margin


class Ground(NamedTuple):
    """What every pixel knows of its place, eye lengths.  # each (h, w) float32"""

    u: Array
    v: Array
    upper: Array  # lash line at this u
    lower: Array
    seam: Array  # where the lower margin lies under shut lids
    brow: Array
    hairs: Array  # height above the lash line that lashes may reach
    fold: Array  # height of the crease above the lash line
    shade: Array  # above the crease, logarithm
    middle: Array  # 0 at the corners, 1 half way
    outer: Array  # u counted from the outer corner
    reach: Array  # 0 where the photo stays, whatever happens


class Sheets(NamedTuple):
    """The layers.  # over the patch (h, w[, 3]), strips over lid coordinates (nd, nu[, 3]); float32"""

    photo: Array
    plate: Array
    grain: Array
    strip_low: Array
    strip_high: Array
    white: Array
    iris: Array
    iris_cover: Array
    glint: Array
    rim: Array
    own: Array
    bare: Array
    bare_share: Array
    missed: Array


class LashSheets(NamedTuple):
    """Coverage over lid coordinates.  # (nd, nu) float32"""

    rim: Array
    hair: Array
    down: Array


class Place(NamedTuple):
    """Numbers of the frame: pixels of the origin and unit vectors, the strip's grid, softness in eye lengths."""

    origin_x: float
    origin_y: float
    along_x: float
    along_y: float
    across_x: float
    across_y: float
    length: float
    strip_step: float
    strip_u: float
    strip_d: float
    soft: float
    blur: float
    ink: Array  # (3,)


class Pose(NamedTuple):
    """Where the eye is asked to be.

    Attributes:
        close: 0..1.
        lift: upper lid up, eye lengths in the middle, along a profile.
        rise: lower lid up, share of the opening.
        sink: lower lid down, eye lengths in the middle.
        gaze_x, gaze_y: iris shift in pixels of the patch.
        travel: largest way of the upper edge, share of the opening.
        moved: how much the lids are asked to move at all, 0..1.
        turned: 1 as soon as the eye turns at all.
        looked: how far it has turned from the photo's eyeball to one that is wholly drawn, 0..1.
    """

    close: float
    lift: float
    rise: float
    sink: float
    gaze_x: float
    gaze_y: float
    travel: float
    moved: float
    turned: float
    looked: float


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _step(x: float, low: float, high: float) -> Any:
    """Return a soft step: 0 at `low`, 1 at `high`, in either order."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _covered(x: float) -> Any:
    """Return a logistic step; beyond nine widths it has arrived."""
    if x > 9.0:
        return 1.0
    if x < -9.0:
        return 0.0
    return 1.0 / (1.0 + np.exp(-x))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _ratio(x: float) -> Any:
    """Return exp(x) to 0.1 % for |x| < 1, without the call."""
    x = min(max(x, -2.0), 1.5)
    return (12.0 + x * (6.0 + x)) / (12.0 + x * (x - 6.0))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def lower_edge(upper: float, lower: float, seam: float, middle: float, pose: Pose) -> Any:
    """Return where the lower margin has come to."""
    return lower - pose.close * (lower - seam) - max(lower - upper, 0.0) * pose.rise + pose.sink * middle


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def upper_edge(upper: float, lower: float, seam: float, middle: float, pose: Pose) -> Any:
    """Return where the upper lash line has come to; shut it lies on the lower margin."""
    top = upper - pose.lift * middle
    shut = lower_edge(upper, lower, seam, middle, pose) + OVERLAP * np.sqrt(middle)
    return top + pose.close * (shut - top)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _color(image: Array, x: float, y: float, out: Array) -> None:
    """Read three channels between four pixels."""
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    for k in range(3):
        out[k] = image[j, i, k] * a + image[j, i + 1, k] * b + image[j + 1, i, k] * c + image[j + 1, i + 1, k] * d


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _sharp(image: Array, x: float, y: float, out: Array) -> None:
    """Read three channels by a Catmull-Rom spline, which keeps the photo's sharpness."""
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, 0.0), width - 1.0)
    y = min(max(y, 0.0), height - 1.0)
    i, j = min(int(x), width - 2), min(int(y), height - 2)
    fx, fy = x - i, y - j
    w0, w1 = np.float32(_spline(1 + fx)), np.float32(_spline(fx))
    w2, w3 = np.float32(_spline(1 - fx)), np.float32(_spline(2 - fx))
    i0, i2, i3 = max(i - 1, 0), i + 1, min(i + 2, width - 1)
    red = green = blue = np.float32(0.0)
    for b in range(-1, 3):
        row = min(max(j + b, 0), height - 1)
        w = np.float32(_spline(abs(fy - b)))
        red += w * (w0 * image[row, i0, 0] + w1 * image[row, i, 0] + w2 * image[row, i2, 0] + w3 * image[row, i3, 0])
        green += w * (w0 * image[row, i0, 1] + w1 * image[row, i, 1] + w2 * image[row, i2, 1] + w3 * image[row, i3, 1])
        blue += w * (w0 * image[row, i0, 2] + w1 * image[row, i, 2] + w2 * image[row, i2, 2] + w3 * image[row, i3, 2])
    out[0], out[1], out[2] = red, green, blue


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _spline(t: float) -> Any:
    if t < 1.0:
        return 1.0 + t * t * (1.5 * t - 2.5)
    return 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def cover_with_lashes(ground: Ground, lashes: LashSheets, place: Place, pose: Pose, out: Array) -> None:
    """Write how much lashes and rim cover each pixel: shortening as the lid comes down, then hanging from it."""
    height, width = ground.u.shape
    up = min(max(1.0 - 1.6 * pose.travel, 0.3), 1.1)
    down = min(max(1.6 * pose.travel - 0.8, 0.3), 0.7)
    standing, hanging = 1.0 - _step(pose.travel, 0.35, 0.65), _step(pose.travel, 0.45, 0.75)
    rim_share = 1.0 - (0.28 + 0.16 * min(place.blur / 2, 1.0)) * pose.close
    for y in range(height):
        for x in range(width):
            out[y, x] = 0.0
            if ground.reach[y, x] <= 0.0:
                continue
            upper, lower, seam = ground.upper[y, x], ground.lower[y, x], ground.seam[y, x]
            edge = upper_edge(upper, lower, seam, ground.middle[y, x], pose)
            d = edge - ground.v[y, x]
            if d > 0.3 or d < -0.3:
                continue
            column = (ground.u[y, x] - place.strip_u) / place.strip_step
            cover = 0.0
            if standing > 0.0 and 0.0 < d < 0.24 * up:
                cover = standing * read_between(lashes.hair, column, (d / up - place.strip_d) / place.strip_step)
            if hanging > 0.0 and -0.24 * down < d < 0.0:
                row = (-d / down - place.strip_d) / place.strip_step
                cover = max(cover, hanging * read_between(lashes.down, column, row))
            if place.strip_d < d < 0.10:
                cover += rim_share * read_between(lashes.rim, column, (d - place.strip_d) / place.strip_step)
            if pose.close > 0.6 and -0.05 < d < 0.05:  # lids that meet show a line, whatever the lashes are
                line = (
                    _CONTACT * _step(pose.close, 0.6, 1.0) * np.exp(-((d / max(_CONTACT_HALF, 1.2 * place.soft)) ** 2))
                )
                cover = max(cover, line * ground.middle[y, x] ** 0.4)
            out[y, x] = min(max(cover, 0.0), 0.97)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _unroll(v: float, upper: float, brow: float, fold: float, edge: float) -> Any:
    """Follow the skin of the upper lid back to the photo.

    Returns:
        s: 0 at the crease .. 1 at the edge, negative above the crease; d: height above the lash line in the photo;
        shift: how far the skin has moved down; stretch: 0 as long as in the photo .. 1 twice as long.
    """
    sag = 0.10 * (edge - upper)  # the crease goes along a little
    crease = upper - fold + sag
    span = max(edge - crease, 1e-3)
    s = (v - crease) / span
    t = min(max((crease - v) / max(crease - brow, 0.05), 0.0), 1.0)
    shift = sag * (1 - t) ** 2 * (1 + 2 * t)
    d = fold * (1 - min(s, 1.2)) if s > 0 else upper - (v - shift)
    stretch = min(max(span / max(fold, 1e-3) - 1.0, 0.0), 1.0)
    return s, d, shift, stretch


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _paint_lid(
    ground: Ground, sheets: Sheets, place: Place, pose: Pose, y: int, x: int, edge: float, s: float, d: float,
    stretch: float, low: Array, high: Array, out: Array,
) -> None:  # fmt: skip
    """Write the color of the upper lid's skin at one pixel."""
    c = pose.close
    column, row = (ground.u[y, x] - place.strip_u) / place.strip_step, (d - place.strip_d) / place.strip_step
    _color(sheets.strip_low, column, row, low)
    _color(sheets.strip_high, column, row, high)
    # A shut lid shows its own skin: shade of the open one fades, that above the fold runs out over it.
    keep = 1 - c * (0.40 * _step(s, -0.4, 0.10) + 0.45 * _step(s, 0.05, 0.70))
    tint = 1 - c * 0.75 * _step(s, -0.3, 0.8)
    fine = 1 - stretch * _step(s, -0.1, 0.35)
    # What the old lashes leave behind lies at the outer corner.
    ghost = 1 - 0.8 * c * _step(ground.outer[y, x], 0.40, 0.12) * _step(s, -0.9, -0.4)
    keep *= ghost
    gray = 0.30 * low[0] + 0.59 * low[1] + 0.11 * low[2]
    run = ground.shade[y, x] * (1 - 0.70 * _step(s, 0.0, 1.0)) * _step(s, -0.6, 0.0) * c
    # Light keeps longer than shade: under a brow the plate may be darker than the skin is.
    most = 0.12 + 0.5 * (1 - c * _step(s, -0.1, 0.5))
    if gray > run:
        keep = max(keep, 1 - c * _step(s, -0.1, 0.5))
    rest = min(run + (gray - run) * keep, most) - run
    middle = ground.middle[y, x]
    corner = 0.22 * (1 - middle) * (1 - middle) + 0.15 * _step(s, 0.5, 0.0)  # of the socket; stays dark
    if rest < 0:
        rest /= np.sqrt(1 + (rest / (0.10 + 0.9 * (1 - c) + corner)) ** 2)  # no deeper than a fold is
    t = min(max(s, 0.0), 1.0)
    bulge = max(1 - ((t - 0.45) / 0.6) ** 2, 0.0) ** 2
    ball = 0.07 * bulge * middle - 0.10 * t**3 - 0.06 * (1 - middle) * _step(s, 0.0, 0.3)
    dark = run + rest + c * ball * _step(s, 0.0, 0.25)
    line = 1 - 0.4 * c * _step(s, -0.6, -0.1)
    sharp = fine * (1 - 0.4 * c * _step(s, -0.05, 0.35))
    grain = np.sqrt(max(1 - fine * fine, 0.0))
    plate = sheets.plate
    skin = max(0.30 * plate[y, x, 0] + 0.59 * plate[y, x, 1] + 0.11 * plate[y, x, 2], 1.0)
    dark *= 1 - c * 0.85 * _step(skin, 228.0, 252.0)  # shade on skin that is clipped white would be a gray patch
    for k in range(3):
        weak = 1 + 0.6 * (1 - plate[y, x, k] / skin)  # skin in shade grows warmer: weak channels darken more
        detail = high[k] * (ghost if high[k] < 0 else line) * sharp
        out[k] = plate[y, x, k] * _ratio(dark * weak + (low[k] - gray) * tint + detail) + sheets.grain[y, x, k] * grain


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _shadow(below_edge: float) -> Any:
    """Return the light left under an upper lid; the same as gaze.lid_shadow."""
    if below_edge > 0.35:
        return 1.0
    return 1 - SHADOW * np.exp(-max(below_edge, 0.0) / SHADOW_LENGTH)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _bared(below: float, way: float) -> Any:
    """Return how much the old lash line, and the shade below it, must go where a lid is raised."""
    return _step(-way, 0.0, 0.05) * _step(below, 0.14, 0.05)


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _paint_ball(
    ground: Ground, sheets: Sheets, pose: Pose, y: int, x: int, edge: float, glint: Array, out: Array
) -> None:
    """Write the color of the eyeball at one pixel."""
    v, upper, lower = ground.v[y, x], ground.upper[y, x], ground.lower[y, x]
    lit = _shadow(v - edge) * (1 - 0.5 * _step(pose.close, 0.35, 0.95))
    near = max(1 - 3 * pose.moved, 0.0) * (1 - _bared(v - upper, edge - upper)) if v - upper < lower - v else 1.0
    rim = 1.0 + (sheets.rim[y, x] - 1.0) * near
    sx, sy = x - pose.gaze_x, y - pose.gaze_y
    cover = read_between(sheets.iris_cover, sx, sy)
    still = sheets.own[y, x] * (1 - pose.looked) * (1 - _bared(v - upper, edge - upper))
    old = lit / _shadow(v - upper)
    _color(sheets.iris, sx, sy, out)
    _color(sheets.glint, x - 0.5 * pose.gaze_x, y - 0.5 * pose.gaze_y, glint)
    shine = _step(cover, 0.3, 0.95)
    for k in range(3):
        turned = sheets.white[y, x, k] * (1 - cover) + out[k] * cover + glint[k] * shine
        out[k] = turned * rim * lit * (1 - still) + sheets.photo[y, x, k] * still * old


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _paint_lower(
    ground: Ground, sheets: Sheets, place: Place, pose: Pose, y: int, x: int, low: float, bare: Array, out: Array
) -> None:
    """Write the color of the lower lid at one pixel: it rides along, fading downwards."""
    below = max(ground.v[y, x] - low, 0.0)
    fade = max(1 - below / LIFT_REACH, 0.0)
    shift = -(low - ground.lower[y, x]) * fade * fade * fade
    # Shut lids hide the wet rim of the lower one.
    hide = _step(pose.close, 0.7, 1.0)
    if hide > 0.0 and below < 0.5:
        shift += 0.045 * hide * np.sqrt(ground.middle[y, x]) * np.exp(-below / 0.09)
    px = x + shift * place.length * place.across_x
    py = y + shift * place.length * place.across_y
    if abs(shift) * place.length < 0.01:
        for k in range(3):
            out[k] = sheets.photo[y, x, k]
    else:
        _sharp(sheets.photo, px, py, out)
    if pose.turned > 0.0:
        share = read_between(sheets.bare_share, px, py) * pose.looked
        if share > 0.0:
            _color(sheets.bare, px, py, bare)
            for k in range(3):
                out[k] += (bare[k] - out[k]) * share


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def draw_eye(
    ground: Ground, sheets: Sheets, place: Place, pose: Pose, lashes: Array, whole: bool, scratch: Array, out: Array
) -> None:
    """Draw the patch.

    Args:
        ground, sheets, place: what is known of the eye.
        pose: what is asked.
        lashes: coverage by lashes.  # (h, w)
        whole: True draws the bare layers everywhere, to learn what they miss.
        scratch: room for four colors.  # (4, 3) float64
        out: RGB, written.  # (h, w, 3) float32
    """
    height, width = ground.u.shape
    photo = sheets.photo
    lid, ball, lower, extra = scratch[0], scratch[1], scratch[2], scratch[3]
    ahead, behind = 1 - _step(pose.moved, 0.0, 0.45), 1 - _step(pose.moved, 0.0, 0.25)
    touched = min(1.0, pose.moved / 0.02)
    shut = _step(pose.close, 0.65, 1.0)
    for y in range(height):
        for x in range(width):
            share = ground.reach[y, x]
            if not whole:
                share *= max(touched, max(sheets.own[y, x], sheets.bare_share[y, x]) * pose.turned)
            upper, v, brow = ground.upper[y, x], ground.v[y, x], ground.brow[y, x]
            middle = ground.middle[y, x]
            seam = ground.seam[y, x]
            low = lower_edge(upper, ground.lower[y, x], seam, middle, pose)
            if share <= 0.0 or v < brow or v > max(low, ground.lower[y, x]) + LIFT_REACH:
                for k in range(3):
                    out[y, x, k] = photo[y, x, k]
                continue
            edge = upper_edge(upper, ground.lower[y, x], seam, middle, pose)
            above = _covered((edge - v) / place.soft)
            below = _covered((v - low + 0.035 * shut) / place.soft)
            s, d, shift, stretch = _unroll(v, upper, brow, ground.fold[y, x], edge)
            lid[0] = lid[1] = lid[2] = 0.0
            if above > 1e-4:
                far = _step(upper - v, 0.9 * ground.hairs[y, x], 1.25 * ground.hairs[y, x])
                if far < 1.0:
                    _paint_lid(ground, sheets, place, pose, y, x, edge, s, d, stretch, lower, extra, lid)
                if far > 0.0:  # beyond the lashes the photo itself, shifted
                    down = -shift * place.length
                    _sharp(photo, x + down * place.across_x, y + down * place.across_y, extra)
                    for k in range(3):
                        lid[k] += (extra[k] - lid[k]) * far
            ball[0] = ball[1] = ball[2] = lower[0] = lower[1] = lower[2] = 0.0
            if above < 0.9999 and below < 0.9999:
                _paint_ball(ground, sheets, pose, y, x, edge, extra, ball)
            if above < 0.9999 and below > 1e-4:
                _paint_lower(ground, sheets, place, pose, y, x, low, extra, lower)
            hair = lashes[y, x]
            for k in range(3):
                value = lid[k] * above + (ball[k] * (1 - below) + lower[k] * below) * (1 - above)
                out[y, x, k] = value * (1 - hair) + place.ink[k] * (1 - 0.12 * pose.close) * hair
            if whole:
                continue
            # What the layers miss rides along and fades, on either side of the edge by itself.
            left = ahead * above
            if left > 1e-3:
                ride = -(edge - upper) * min(max(s, 0.0), 1.0) * place.length
                _color(sheets.missed, x + ride * place.across_x, y + ride * place.across_y, extra)
                for k in range(3):
                    out[y, x, k] += extra[k] * left
            left = behind * (1 - above) * (1 - _bared(v - upper, edge - upper))
            if left > 1e-3:
                for k in range(3):
                    out[y, x, k] += sheets.missed[y, x, k] * left
            for k in range(3):
                value = photo[y, x, k] + (out[y, x, k] - photo[y, x, k]) * share
                out[y, x, k] = min(max(value, 0.0), 255.0)
