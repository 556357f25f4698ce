"""The eyeball behind the lids: found in the photo, completed, ready to turn.

An iris is the circle across which an eye brightens most, left and right (after Daugman, 1993). Under the lids it is
completed by its mirror image and, where that is hidden too, by its mean over the angle. The white of the eye is
estimated from its brighter part and never darker than a share of the skin, since lashes and make-up hide most of it.
What is kept of the photo: the rim's own shade, veins and corners, and the highlight, which belongs to the lamp and
not to the iris. This module draws nothing; lid_drawing.py does. Lengths are in eye lengths if not said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.eye_frame import LUMA, EyeFrame, FloatArray, band, paleness
from studio.engines.rig.kernels import read_between
from studio.engines.rig.lid_skin import Skin

Array = NDArray[Any]

LEAST_WHITE = 0.80  # brightness of the white, of the skin's
SHADOW, SHADOW_LENGTH = 0.36, 0.055  # what the upper lid takes of the light, and how far down
_MOST_LIFT = 1.35
_ANGLES = 120
_GLINT_EDGE = 0.10  # iris radii: how far the soft edge of a highlight reaches
_IRIS_REACH = 1.28  # radii up to which the iris is read
_CLEAR_SCORE = 3.0  # brightening, in levels, below which a found circle is no iris


@dataclass(frozen=True)
class Eyeball:
    """Layers of one eyeball.

    Attributes:
        rows, columns: the part of the eye's patch that they cover; no other can show the ball.
        white: sclera without iris, with its veins and grain, RGB.  # (h, w, 3)
        iris: completed disc, RGB.  # (h, w, 3)
        iris_cover: 0..1.  # (h, w)
        glint: light added by highlights.  # (h, w, 3)
        rim: factor of the shade along the lids.  # (h, w)
        own: where the photo shows the ball itself, 0..1.  # (h, w)
        bare: lower margin without the iris that shows past it, and its share.  # (h, w, 3), (h, w)
        center, radius: of the iris, pixels of this part.
        whiteness: brightness of the white as found, of the skin's.
    """

    rows: slice
    columns: slice
    white: FloatArray = field(repr=False)
    iris: FloatArray = field(repr=False)
    iris_cover: FloatArray = field(repr=False)
    glint: FloatArray = field(repr=False)
    rim: FloatArray = field(repr=False)
    own: FloatArray = field(repr=False)
    bare: FloatArray = field(repr=False)
    bare_share: FloatArray = field(repr=False)
    center: FloatArray
    radius: float
    whiteness: float


@dataclass(frozen=True)
class _Opening:
    """What lies between the lids.

    Attributes:
        inside: True there.  # (h, w) bool
        depth: distance from the nearer lid.  # (h, w)
        away: pixels from the iris' center.  # (h, w)
    """

    inside: Array
    depth: Array
    away: Array


def eyeball_of(eye: EyeFrame, skin: Skin, least_white: float = LEAST_WHITE) -> Eyeball:
    """Find and complete the eyeball of one eye.

    Args:
        eye: where the eye is; its iris is refined.
        skin: the skin around it.
        least_white: least brightness of the white, of the skin's.
    """
    rows, columns = _part(eye)
    eye, plate, grain = eye.cut(rows, columns), skin.plate[rows, columns], skin.grain[rows, columns]
    eye = find_iris(eye)
    opening = _opening_of(eye)
    white, base, whiteness = _white(eye, opening, plate, least_white)
    polar, profile, glint, known = _iris_around(eye, opening)
    as_seen = _from_polar(eye, known[..., None])
    iris = _from_polar(eye, polar) * (1 - as_seen) + eye.photo * as_seen  # reading it over angles has blurred it
    edge = _edge_radius(eye, profile @ LUMA, float(base @ LUMA))
    softness = max(0.5, 0.05 * eye.iris_radius, 0.6 * eye.blur)
    cover = 1 / (1 + np.exp(np.clip((opening.away - edge) / softness, -30, 30)))
    seen = (opening.inside & (opening.depth > 0.03)).astype(np.float32)
    glints = np.maximum(eye.photo - iris, 0) * (_from_polar(eye, glint[..., None])[..., 0] * seen)[..., None]
    shadow = lid_shadow(eye.v - eye.at(eye.upper))[..., None]
    model = (white * (1 - cover[..., None]) + iris * cover[..., None]) * shadow
    clear = opening.inside & (opening.depth > 0.02)
    own = cv2.GaussianBlur(clear.astype(np.float32), (0, 0), max(0.5, 0.01 * eye.length, 0.6 * eye.blur))
    bare, bare_share = _lower_margin(eye, opening.away / edge)
    return Eyeball(
        rows=rows, columns=columns, white=_with_veins(eye, opening, grain, white, model, edge),
        iris=iris, iris_cover=cover.astype(np.float32), glint=glints.astype(np.float32),
        rim=_rim(eye, opening, model), own=np.asarray(own, np.float32),
        bare=bare, bare_share=bare_share, center=eye.iris_center, radius=edge, whiteness=whiteness,
    )  # fmt: skip


def _part(eye: EyeFrame) -> tuple[slice, slice]:
    """Return rows and columns of the patch that hold the opening and what wide lids may bare of it."""
    near = (eye.u > -0.12) & (eye.u < 1.12) & (eye.v > eye.at(eye.upper) - 0.30) & (eye.v < eye.at(eye.lower) + 0.16)
    rows, columns = np.where(near.any(1))[0], np.where(near.any(0))[0]
    if len(rows) < 2 or len(columns) < 2:
        return slice(0, eye.u.shape[0]), slice(0, eye.u.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _opening_of(eye: EyeFrame) -> _Opening:
    upper, lower = eye.at(eye.upper), eye.at(eye.lower)
    inside = (eye.v > upper) & (eye.v < lower) & (eye.u > 0) & (eye.u < 1)
    return _Opening(inside, np.minimum(eye.v - upper, lower - eye.v), np.hypot(*eye.away_from_iris()))


def lid_shadow(below: Array) -> Array:
    """Return the light left at a distance below an upper lid's edge."""
    return np.asarray(1 - SHADOW * np.exp(-np.maximum(below, 0) / SHADOW_LENGTH))


# -- iris ----------------------------------------------------------------------


def find_iris(eye: EyeFrame) -> EyeFrame:
    """Return the frame with the center and radius of its iris refined, if the photo shows one clearly."""
    opening = _opening_of(eye)
    ok = opening.inside & (opening.depth > 0.02)
    if not ok.any():
        return eye
    pale = cv2.GaussianBlur(paleness(eye.photo), (0, 0), max(0.6, 0.015 * eye.length))
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    angles = angles[np.abs(np.cos(angles)) > 0.45]  # lids hide the rest
    white = max(float(np.percentile(pale[ok], 90)), 10.0)
    score, dx, dy, radius = best_circle(
        pale, ok.astype(np.float32), eye.iris_center.astype(np.float64), eye.iris_radius, np.cos(angles),
        np.sin(angles), white,
    )  # fmt: skip
    if score <= _CLEAR_SCORE:
        return eye
    shift = np.array([dx, dy], np.float32)
    return replace(eye, iris_center=eye.iris_center + shift, iris_radius=float(radius))


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def best_circle(
    pale: Array, ok: Array, center: Array, radius: float, cosines: Array, sines: Array, white: float
) -> Any:
    """Search the circle across which `pale` rises most on its weaker side, near a first guess.

    Args:
        pale: (h, w) float32
        ok: 1 where the eyeball is seen.  # (h, w) float32
        center, radius: first guess, pixels.
        cosines, sines: of the angles to look at.
        white: level of the eye's white, against which "bright" is meant.

    Returns:
        Score, shift right and down, radius.
    """
    best = -1e9
    best_x = best_y = 0.0
    best_r = radius
    half = 0.25 * len(cosines)
    for ix in range(13):
        dx = (-0.48 + 0.08 * ix) * radius
        for iy in range(3):
            dy = (-0.12 + 0.12 * iy) * radius
            for ir in range(22):
                r = (0.92 + 0.03 * ir) * radius
                rise_right = rise_left = count_right = count_left = 0.0
                for k in range(len(cosines)):
                    x, y = center[0] + dx, center[1] + dy
                    xo, yo = x + 1.1 * r * cosines[k], y + 1.1 * r * sines[k]
                    xi, yi = x + 0.9 * r * cosines[k], y + 0.9 * r * sines[k]
                    weight = read_between(ok, xo, yo) * read_between(ok, xi, yi)
                    if weight <= 0.0:
                        continue
                    outer = read_between(pale, xo, yo)
                    rise = min(max(outer - read_between(pale, xi, yi), -20.0), 120.0)
                    rise *= min(max(outer / white, 0.0), 1.0) ** 2 * weight
                    if cosines[k] > 0:
                        rise_right += rise
                        count_right += weight
                    else:
                        rise_left += rise
                        count_left += weight
                right = rise_right / (count_right + 3) * np.sqrt(min(count_right / half, 1.0))
                left = rise_left / (count_left + 3) * np.sqrt(min(count_left / half, 1.0))
                score = 0.7 * min(right, left) + 0.15 * (right + left) - 5 * abs(r / radius - 1)
                score -= (22 * dx * dx + 20 * dy * dy) / (radius * radius)
                if score > best:
                    best, best_x, best_y, best_r = score, dx, dy, r
    return best, best_x, best_y, best_r


def _iris_around(eye: EyeFrame, opening: _Opening) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Read the iris over (angle, radius) and complete it.

    Returns:
        Completed iris (_ANGLES, rings, 3), its radial profile (rings, 3), highlights and what the photo shows of the
        iris itself (_ANGLES, rings) 0..1.
    """
    rings = max(6, int(eye.iris_radius * 2.6))
    flags = cv2.WARP_POLAR_LINEAR | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    center = (float(eye.iris_center[0]), float(eye.iris_center[1]))
    reach = _IRIS_REACH * eye.iris_radius
    polar = np.nan_to_num(cv2.warpPolar(eye.photo, (rings, _ANGLES), center, reach, flags))
    clean = (opening.inside & (opening.depth > 0.03)).astype(np.float32)
    seen = cv2.warpPolar(clean, (rings, _ANGLES), center, reach, flags) > 0.9
    radii = (np.arange(rings) + 0.5) / rings * _IRIS_REACH
    gray = polar @ LUMA
    disc = gray[:, radii < 1.0][seen[:, radii < 1.0]]
    middle = float(np.median(disc)) if len(disc) else 60.0
    spread = float(np.median(np.abs(disc - middle))) if len(disc) else 15.0
    # With its soft edge, or that stays behind as a ring: around it in the photo, not in angles and radii.
    light = (clean > 0) & (eye.photo @ LUMA > middle + max(45.0, 4 * spread)) & (opening.away < 0.85 * eye.iris_radius)
    side = 2 * int(np.ceil(_GLINT_EDGE * eye.iris_radius + 0.8 * eye.blur)) + 1
    spot = cv2.dilate(light.astype(np.float32), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    glint = cv2.warpPolar(spot, (rings, _ANGLES), center, reach, flags) > 0.2
    valid = seen & ~glint
    # Up becomes down, but a faint highlight must not get a twin: it stays below what its ring is like.
    mirror = (-np.arange(_ANGLES)) % _ANGLES
    own = cv2.erode(valid.astype(np.float32), np.ones((3, 3)))
    own = cv2.GaussianBlur(own, (0, 0), 1.0) * own
    take = ~valid & valid[mirror]
    ring = (polar * valid[..., None]).sum(0) / np.maximum(valid.sum(0), 1)[:, None] + 8
    polar[take] = np.minimum(polar[mirror], ring[None])[take] * 0.95
    valid |= take
    count = valid.sum(0)
    profile = (polar * valid[..., None]).sum(0) / np.maximum(count, 1)[:, None]
    known = np.where(count > 2)[0]
    for k in range(3):
        profile[:, k] = np.interp(np.arange(rings), known, profile[known, k]) if len(known) else 55.0
    share = (cv2.GaussianBlur(valid.astype(np.float32), (0, 0), 1.5) * valid)[..., None]
    complete = polar * share + profile[None] * (1 - share)
    return complete.astype(np.float32), profile.astype(np.float32), glint.astype(np.float32), own


def _from_polar(eye: EyeFrame, polar: Array) -> FloatArray:
    """Lay an image over (angle, radius) back onto the patch."""
    dx, dy = eye.away_from_iris()
    rings = polar.shape[1]
    ring = np.hypot(dx, dy) / (_IRIS_REACH * eye.iris_radius) * rings
    angle = np.arctan2(dy, dx) % (2 * np.pi) / (2 * np.pi) * _ANGLES
    around = np.concatenate([polar, polar[:2]])
    back = cv2.remap(around, np.minimum(ring, rings - 1), angle, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(back.reshape(*ring.shape, polar.shape[2]), np.float32)


def _edge_radius(eye: EyeFrame, profile: Array, white: float) -> float:
    """Radius in pixels where the mean profile is half way to the white."""
    radii = (np.arange(len(profile)) + 0.5) / len(profile) * _IRIS_REACH
    half = 0.5 * (profile[(radii > 0.6) & (radii < 0.95)].mean() + white)
    beyond = np.where((radii > 0.88) & (profile > half))[0]
    return eye.iris_radius * float(np.clip(radii[beyond[0]] if len(beyond) else 1.06, 0.95, 1.18))


def _extremes(image: Array) -> tuple[Array, Array]:
    """Return the least and the greatest of the three channels.  # (h, w) each"""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


# -- white ---------------------------------------------------------------------


def _white(eye: EyeFrame, opening: _Opening, plate: Array, least: float) -> tuple[FloatArray, FloatArray, float]:
    """Return the white everywhere, its color, and its brightness of the skin's."""
    inside, depth, away = opening.inside, opening.depth, opening.away
    gray = eye.photo @ LUMA
    least_channel, most_channel = _extremes(eye.photo)
    saturation = (most_channel - least_channel) / (most_channel + 1)
    seen = inside & (depth > 0.035) & (away > 1.15 * eye.iris_radius) & (eye.u > 0.06) & (eye.u < 0.94)
    if seen.sum() < 8:
        seen = inside & (depth > 0.015) & (away > 1.1 * eye.iris_radius)
    good = np.zeros_like(inside)
    if seen.sum() >= 6:
        low, high = np.percentile(gray[seen], [66, 99])
        good = seen & (gray >= low) & (gray <= high + 1)
        good &= saturation <= np.percentile(saturation[seen], 75) + 0.02
        base = np.median(eye.photo[good if good.sum() >= 4 else seen], axis=0)
    elif inside.any():
        base = np.clip(np.percentile(eye.photo[inside], 80, axis=0), 0, 225)
    else:
        base = np.array([190.0, 185.0, 180.0])
    near = plate[inside] if inside.any() else plate.reshape(-1, 3)
    brightness = max(float(base @ LUMA), 1.0)
    whiteness = brightness / max(float(np.median(near @ LUMA)), 1.0)
    lift = float(np.clip(least / whiteness, 1, _MOST_LIFT))  # white that lashes or make-up hid
    base = (base + (brightness - base) * 0.6 * np.clip((lift - 1) / 0.1, 0, 1)) * lift
    weight, sigma = good.astype(np.float32), 0.10 * eye.length
    known = cv2.GaussianBlur(weight, (0, 0), sigma)
    local = cv2.GaussianBlur(eye.photo * weight[..., None], (0, 0), sigma) / (known[..., None] + 1e-4) * lift
    share = (known / (known + 0.02))[..., None] * np.clip(1 - (lift - 1) / 0.12, 0, 1)
    white = cv2.GaussianBlur((local * share + base * (1 - share)).astype(np.float32), (0, 0), 0.05 * eye.length)
    # A ball in its socket: darker in the corners and near the lower lid; the upper one's shadow moves with it.
    corner = 1 - 0.18 * np.clip(np.abs(eye.u - 0.5) / 0.5, 0, 1.2) ** 4
    below = 0.14 * np.exp(-np.maximum(eye.at(eye.lower) - eye.v, 0) / 0.05)
    return white * (corner * (1.02 - below))[..., None], base, whiteness


def _with_veins(eye: EyeFrame, opening: _Opening, grain: Array, white: Array, model: Array, edge: float) -> FloatArray:
    """Add what the photo's own white has beside its tone, and grain where there was iris."""
    corner = band(np.abs(eye.u - 0.5), 0.34, 0.44)  # caruncle and outer corner stay as they are
    most = 22 + 45 * corner
    own = np.clip(eye.photo - model, -most[..., None], most[..., None]) * (0.75 + 0.25 * corner)[..., None]
    seen = opening.inside * band(opening.depth, 0.03, 0.08) * band(opening.away / edge, 1.12, 1.3)
    return np.asarray(white + own * seen[..., None] + 0.5 * grain * (1 - seen)[..., None], np.float32)


def _rim(eye: EyeFrame, opening: _Opening, model: Array) -> FloatArray:
    """Return the factor by which the photo is darker along the lids than the model."""
    ratio = np.clip((eye.photo @ LUMA + 6) / (model @ LUMA + 6), 0.15, 1.25).astype(np.float32)
    ratio = cv2.GaussianBlur(ratio, (0, 0), max(0.5, 0.008 * eye.length))
    return np.asarray(1 + (ratio - 1) * band(opening.depth, 0.085, 0.03), np.float32)


def _lower_margin(eye: EyeFrame, radii: Array) -> tuple[FloatArray, FloatArray]:
    """Bridge the lower lid's margin sideways where the iris shows past its curve.

    Args:
        radii: distance from the iris' center in radii.  # (h, w)

    Returns:
        The margin without iris (h, w, 3) and how much of it is to be used (h, w).
    """
    columns, rows = 96, 24
    u = np.linspace(-0.05, 1.05, columns, dtype=np.float32)[None].repeat(rows, 0)
    e = np.linspace(-0.05, 0.10, rows, dtype=np.float32)[:, None].repeat(columns, 1)
    v = eye.at(eye.lower, u[0])[None] + e
    margin = eye.sample(eye.photo, u, v)
    hit = (eye.sample(radii.astype(np.float32), u, v) < 1.10) & (e < 0.07)
    calm = cv2.blur(margin, (5, 1))
    for j in np.where(hit.any(1) & ~hit.all(1))[0]:
        for k in range(3):
            margin[j, :, k] = np.interp(u[j], u[j, ~hit[j]], calm[j, ~hit[j], k])
    share = cv2.GaussianBlur(hit.astype(np.float32), (0, 0), sigmaX=1.5, sigmaY=1.0) * band(e, 0.085, 0.04)
    column = ((eye.u + 0.05) / (1.10 / (columns - 1))).astype(np.float32)
    row = ((eye.v - eye.at(eye.lower) + 0.05) / (0.15 / (rows - 1))).astype(np.float32)
    there = (column > 0) & (column < columns - 1) & (row > 0) & (row < rows - 1)
    use = cv2.remap(share, column, row, cv2.INTER_LINEAR) * there * band(eye.v - eye.at(eye.lower), -0.045, -0.01)
    bare = cv2.remap(margin, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return bare.astype(np.float32), use.astype(np.float32)
