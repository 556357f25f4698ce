"""Lids and irises, edited in the photo before the head is warped.

A mesh eyelid smears the lashes of a photo across the eye. Instead each eye is a patch with coordinates of its own
(eye_frame.py), taken apart once per photo: the skin of the lid as a strip that can unroll (lid_skin.py), its lashes
(lashes.py), the ball with a completed iris (gaze.py), glasses in front of all that (glasses.py). lid_drawing.py puts
them together in motion. With nothing asked the patch is the photo.

Everything is in pixels of the photo. This module does not know the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.eye_frame import LUMA, EyeFrame, FloatArray, band, curve_grid, eye_frames, lid_seam
from studio.engines.rig.fill import most_of
from studio.engines.rig.gaze import LEAST_WHITE, Eyeball, eyeball_of
from studio.engines.rig.glasses import frame_mask, lens_glare
from studio.engines.rig.lashes import Lashes, lash_height, lashes_of
from studio.engines.rig.layers import smoothstep
from studio.engines.rig.lid_drawing import OVERLAP, Ground, LashSheets, Place, Pose, Sheets, cover_with_lashes, draw_eye
from studio.engines.rig.lid_skin import STRIP_D, STRIP_U, LidShade, Skin, fold_height, lid_shade, skin_around, strip_of

Array = NDArray[Any]

_WIDEN = 0.27  # of the opening: how far a wide eye raises its upper lid
_WHITE_ABOVE, _LEAST_LIFT = 0.075, 0.05  # eye lengths of white over the iris that a wide eye approaches
_SQUINT, _SQUINT_UPPER = 0.35, 0.12  # of the opening: how far a squint raises the lower lid and lowers the upper one
_LEAST_OPENING = 0.26  # eye lengths: a half-shut eye widens as if it were this open
_FOLLOW_UP, _FOLLOW_DOWN = 0.75, 0.30  # of the iris' way up or down that upper and lower lid go along
_LOOKED = 0.4  # iris radii of turning over which the photo's own eyeball gives way to the drawn one
_MOST_GRAIN = 0.05  # of the lid's light: what is coarser is hair or a scene behind a lens
_OUT_OF_FOCUS = 2.0  # pixels of blur
_SOFT = 0.007  # least width of a lid's edge, eye lengths


@dataclass(frozen=True)
class LidMotion:
    """What one eye is asked to do.

    Attributes:
        close: 0 as in the photo .. 1 lids in contact.
        widen: upper lid up, share of a wide eye's.
        squint: lids together without shutting, share of a full squint.
        gaze_x, gaze_y: iris shift in iris radii, right and down in the picture.
    """

    close: float = 0.0
    widen: float = 0.0
    squint: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0

    def is_still(self) -> bool:
        """Say whether the eye stays as in the photo."""
        return max(abs(self.close), abs(self.widen), abs(self.squint), abs(self.gaze_x), abs(self.gaze_y)) < 1e-3


class EyePatch:
    """One eye of one photo, ready to move.

    Args:
        eye: where it is.
        glasses: pixels of a frame of glasses, 0..1.  # (h, w)
        glare: light that a lens adds, already taken off the eye's photo.  # (h, w, 3)
        skin: the skin around it.
        ball: its eyeball.
    """

    def __init__(self, eye: EyeFrame, glasses: FloatArray, glare: FloatArray, skin: Skin, ball: Eyeball) -> None:
        self._eye, self._glare = eye, glare
        self.x0, self.y0, self.x1, self.y1 = eye.box
        self.photo, self.length = eye.photo + glare, eye.length
        self.iris_radius = ball.radius
        strip = strip_of(eye, skin.plate)
        lashes = lashes_of(eye, strip, skin.grain_level)
        shade = lid_shade(eye, strip, lashes.cover, lashes.ink)
        self._seam = lid_seam(eye)
        self._ground = _ground(eye, self._seam, shade, glasses)
        self._lashes = LashSheets(lashes.rim, lashes.hair, lashes.down)
        self._place = _place(eye, strip.step, lashes)
        self._most_lift = _most_lift(eye, ball.radius)
        self._sheets = _sheets(eye, skin, ball, shade)
        rest = self._draw(LidMotion(close=1e-4), self._sheets, whole=True)
        self._sheets = self._sheets._replace(missed=np.ascontiguousarray(eye.photo - rest))

    def draw(self, motion: LidMotion) -> FloatArray:
        """Return the patch with the motion applied.  # (h, w, 3)"""
        return self.photo if motion.is_still() else self._draw(motion, self._sheets, whole=False) + self._glare

    def _draw(self, motion: LidMotion, sheets: Sheets, *, whole: bool) -> FloatArray:
        pose = self._pose(motion)
        cover: Array = np.empty(self._ground.u.shape, np.float32)
        cover_with_lashes(self._ground, self._lashes, self._place, pose, cover)
        if self._eye.blur > 0.35:
            cover = cv2.GaussianBlur(cover, (0, 0), self._eye.blur)
        out: FloatArray = np.empty_like(self._eye.photo)
        draw_eye(self._ground, sheets, self._place, pose, cover, whole, np.empty((4, 3)), out)
        if self._eye.blur > _OUT_OF_FOCUS and not whole:  # nothing drawn may be sharper than the photo
            out = self._defocused(out)
        return out

    def _defocused(self, drawn: FloatArray) -> FloatArray:
        """Soften what has changed against the photo."""
        changed = (most_of(cv2.absdiff(drawn, self._eye.photo)) > 3).astype(np.float32)
        share = cv2.GaussianBlur(changed, (0, 0), self._eye.blur)
        soft = cv2.GaussianBlur(drawn, (0, 0), 0.7 * self._eye.blur)
        return np.asarray(cv2.blendLinear(soft, drawn, share, 1 - share), np.float32)

    def _pose(self, motion: LidMotion) -> Pose:
        """Translate a motion into ways of the lids and the ball."""
        eye = self._eye
        close = float(np.clip(motion.close, 0, 1))
        opening = max(eye.opening, _LEAST_OPENING)
        turn = motion.gaze_y * self.iris_radius / self.length
        lift = _WIDEN * float(np.clip(motion.widen, -0.5, 1)) * opening
        if lift > 0:
            lift = self._most_lift * float(np.tanh(lift / self._most_lift))
        lift -= _FOLLOW_UP * turn
        squint = float(np.clip(motion.squint, -0.5, 1))
        lift -= _SQUINT_UPPER * squint * eye.opening
        rise, sink = _SQUINT * squint, _FOLLOW_DOWN * turn
        look = abs(motion.gaze_x) + abs(motion.gaze_y)
        still = Pose(
            close=close, lift=lift, rise=rise, sink=sink, gaze_x=motion.gaze_x * self.iris_radius,
            gaze_y=motion.gaze_y * self.iris_radius, travel=0.0,
            moved=max(close, abs(lift) / opening, abs(rise)),
            turned=min(1.0, look / 0.03), looked=float(smoothstep(np.array(look), 0.0, _LOOKED)),
        )  # fmt: skip
        return still._replace(travel=self._travel(still))

    def _travel(self, pose: Pose) -> float:
        """Return the largest way of the upper edge as a share of the opening."""
        eye = self._eye
        gap, middle = eye.lower - eye.upper, _middle(curve_grid())
        top = eye.upper - pose.lift * middle
        low = eye.lower - pose.close * (eye.lower - self._seam) - gap * pose.rise + pose.sink * middle
        shut = low + OVERLAP * np.sqrt(middle)
        way = top + pose.close * (shut - top) - eye.upper
        return float(np.clip(way / max(eye.opening, 1e-3), -1, 1).max())


def eye_patches(image: Array, landmarks: Array) -> tuple[EyePatch, EyePatch]:
    """Take both eyes of a photo apart; where one hides something the other one tells.

    Args:
        image: RGB.  # (H, W, 3) float32
        landmarks: MediaPipe's 478 points.  # (478, 3)

    Returns:
        The eye on the left of the picture, the other one.
    """
    eyes = eye_frames(image, landmarks)
    glasses = [frame_mask(eye) for eye in eyes]
    skins = _same_grain([skin_around(eye, mask) for eye, mask in zip(eyes, glasses, strict=True)])
    glares = [lens_glare(*parts) for parts in zip(eyes, glasses, [skin.plate for skin in skins], strict=True)]
    eyes = [replace(eye, photo=eye.photo - glare) for eye, glare in zip(eyes, glares, strict=True)]
    balls = [eyeball_of(eye, skin) for eye, skin in zip(eyes, skins, strict=True)]
    white = max(LEAST_WHITE, min(0.85 * max(ball.whiteness for ball in balls), 1.05))
    for k, ball in enumerate(balls):
        if ball.whiteness < white - 0.03 and white > LEAST_WHITE:
            balls[k] = eyeball_of(eyes[k], skins[k], white)
    left, right = (EyePatch(*parts) for parts in zip(eyes, glasses, glares, skins, balls, strict=True))
    return left, right


def _same_grain(skins: list[Skin]) -> list[Skin]:
    """Let the calmer side's grain serve both: lines of a fold are no grain. A side without calm skin borrows it."""
    known = [skin for skin in skins if skin.grain_level > 0]
    if not known:
        return skins
    calmer = min(known, key=lambda skin: skin.grain_level)
    same = []
    for skin in skins:
        grain, level = (skin.grain, skin.grain_level) if skin.grain_level > 0 else (calmer.grain, calmer.grain_level)
        wanted = min(1.15 * calmer.grain_level, level, _MOST_GRAIN * float(np.median(skin.plate @ LUMA)))
        height, width = skin.plate.shape[:2]
        fitting = np.pad(grain, ((0, max(height - len(grain), 0)), (0, max(width - grain.shape[1], 0)), (0, 0)), "wrap")
        same.append(replace(skin, grain=np.ascontiguousarray(fitting[:height, :width] * np.float32(wanted / level))))
    return same


def _most_lift(eye: EyeFrame, iris_radius: float) -> float:
    """Return how far a wide eye's lid rises at most, eye lengths: a little above the iris, not a slab of white."""
    top = eye.iris_center - iris_radius * eye.across - eye.origin
    u, v = np.array([top @ eye.along]) / eye.length, float(top @ eye.across) / eye.length
    seen = v - float(eye.at(eye.upper, u)[0])
    return max(_WHITE_ABOVE - seen, _LEAST_LIFT)


def _middle(u: Array) -> Array:
    """Return 0 at the corners and beyond, 1 half way."""
    return np.asarray(np.clip(np.sin(np.pi * np.clip(u, 0, 1)), 0, 1))


def _ground(eye: EyeFrame, seam: FloatArray, shade: LidShade, glasses: FloatArray) -> Ground:
    outer = eye.from_outside(eye.u)
    reach = band(outer, -0.31, -0.12) * band(outer, 1.14, 1.02) * (1 - glasses)
    return Ground(
        u=eye.u, v=eye.v, upper=eye.at(eye.upper), lower=eye.at(eye.lower), seam=eye.at(seam),
        brow=eye.at(eye.brow),
        hairs=lash_height(eye, eye.u), fold=eye.at(fold_height(eye)), shade=eye.at(shade.above_fold),
        middle=_middle(eye.u).astype(np.float32),
        outer=np.ascontiguousarray(outer, np.float32), reach=reach.astype(np.float32),
    )  # fmt: skip


def _place(eye: EyeFrame, step: float, lashes: Lashes) -> Place:
    soft = max((0.45 + 0.45 * eye.blur) / eye.length, _SOFT)
    return Place(
        float(eye.origin[0]), float(eye.origin[1]), float(eye.along[0]), float(eye.along[1]), float(eye.across[0]),
        float(eye.across[1]), eye.length, step, STRIP_U[0], STRIP_D[0], soft, eye.blur, lashes.ink,
    )  # fmt: skip


def _sheets(eye: EyeFrame, skin: Skin, ball: Eyeball, shade: LidShade) -> Sheets:
    def whole(part: Array, elsewhere: float = 0.0) -> FloatArray:
        """Lay a part of the patch into the patch."""
        out = np.full((*eye.u.shape, *part.shape[2:]), elsewhere, np.float32)
        out[ball.rows, ball.columns] = part
        return out

    return Sheets(
        photo=eye.photo, plate=skin.plate, grain=skin.grain, strip_low=shade.low, strip_high=shade.high,
        white=whole(ball.white), iris=whole(ball.iris), iris_cover=whole(ball.iris_cover), glint=whole(ball.glint),
        rim=whole(ball.rim, 1.0), own=whole(ball.own), bare=whole(ball.bare), bare_share=whole(ball.bare_share),
        missed=np.zeros_like(eye.photo),
    )  # fmt: skip
