"""Lids that are skin, eyes that look: measured on the pixels around the eyes of one portrait and of spoiled copies."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from studio.domain.expression import INDEX, ExpressionEdit, FaceState, resolve
from studio.engines.rig.eye_frame import curve_grid, eye_frame, lid_seam
from studio.engines.rig.eyes import LidMotion, eye_patches
from studio.engines.rig.lid_drawing import lower_edge, upper_edge
from studio.engines.rig.lid_skin import lid_shade, strip_of
from studio.engines.voice.liveliness import blinks

LUMA = np.array([0.30, 0.59, 0.11], np.float32)
UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))


def edited(portrait, **values):
    return portrait.render(resolve(ExpressionEdit(values), portrait.own_weights))


def shut(portrait, share=1.0):
    """Draw lids that have gone a share of their way to contact."""
    weights = portrait.own_weights.copy()
    for side in ("Left", "Right"):
        weights[INDEX[f"eyeBlink{side}"]] += share * (1 - weights[INDEX[f"eyeBlink{side}"]])
    return portrait.render(FaceState(weights))


def light(picture):
    return picture.astype(np.float32) @ LUMA


def between_lids(face, shape, low=0.0, high=1.0):
    """Mark the pixels between two shares of the way from the upper to the lower lids."""
    mask = np.zeros(shape[:2], np.uint8)
    for upper, lower in zip(UPPER, LOWER, strict=True):
        a, b = face.landmarks[list(upper), :2], face.landmarks[list(lower), :2]
        outline = np.concatenate([a + low * (b - a), (a + high * (b - a))[::-1]])
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask > 0


def grown(mask, pixels):
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2)) > 0


def away_from_irises(face, shape):
    """Return the distance to the nearer iris, in its radii."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    radius = np.linalg.norm(face.landmarks[469, :2] - face.landmarks[468, :2])
    centers = face.landmarks[[468, 473], :2]
    return np.min([np.hypot(xx - x, yy - y) for x, y in centers], axis=0) / radius


def scaled_face(face, scale):
    return replace(face, landmarks=(face.landmarks * scale).astype(np.float32), box=tuple(scale * v for v in face.box))


@pytest.fixture(scope="module")
def large(photo):
    return cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def large_face(face):
    return scaled_face(face, 2.0)


def opening(analyser, picture):
    """Return the mean opening of the eyes as landmarks see it, in eye lengths."""
    marks = analyser.detect(picture)[0].landmarks[:, :2]
    corners = np.linalg.norm(marks[[33, 362]] - marks[[133, 263]], axis=1)
    return float((np.linalg.norm(marks[[159, 386]] - marks[[145, 374]], axis=1) / corners).mean())


# -- what each control delivers, as an independent look at the picture sees it ----------------------------------------


@pytest.mark.parametrize("control", ["eyesOpen", "winkLeft", "winkRight"])
def test_half_a_slider_shuts_half_an_eye(portrait, photo, control):
    """The way of the lid as drawn: the eye that is still seen, from what is seen of it when it is open or shut."""
    end = -1.0 if control == "eyesOpen" else 1.0
    sides = [side for side in ("Left", "Right") if control in ("eyesOpen", f"wink{side}")]
    states = [resolve(ExpressionEdit({control: end * share}), portrait.own_weights) for share in (0.5, 1.0)]
    ways = [[portrait._lid_motion(state.weights, side).close for side in sides] for state in states]
    half, whole = np.array(ways)
    assert whole.min() > 0.99
    assert half.min() > 0.4
    assert half.max() < 0.58


def seen_between_lids(portrait, side, weights):
    """Return what the drawn lids leave open in the middle of the eye, as a share of the photo's own."""
    eye = portrait._eyes[0 if side == "Right" else 1]
    pose = eye._pose(portrait._lid_motion(weights, side))
    half = len(eye._eye.upper) // 2
    upper, lower, seam = (float(curve[half]) for curve in (eye._eye.upper, eye._eye.lower, lid_seam(eye._eye)))
    return (lower_edge(upper, lower, seam, 1.0, pose) - upper_edge(upper, lower, seam, 1.0, pose)) / (lower - upper)


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_bare_blink_shuts_what_is_seen_in_step_with_its_weight(portrait, side):
    for value in (0.25, 0.5, 0.75):
        weights = resolve(ExpressionEdit({f"eyeBlink{side}": value}), portrait.own_weights).weights
        assert seen_between_lids(portrait, side, weights) == pytest.approx(1 - value, abs=0.12)  # .16 at a half before
    weights = resolve(ExpressionEdit({f"eyeBlink{side}": 1.0}), portrait.own_weights).weights
    assert seen_between_lids(portrait, side, weights) < 0.0


def test_blinks_of_a_clip_shut_the_eyes_whatever_the_face_does(portrait):
    """Squinting, wide and lowered eyes too: a blink that leaves a slit looks like a fault."""
    face = np.zeros((200, 52), np.float32)
    for k, name in enumerate(("eyeSquint", "eyeWide", "eyeLookDown")):
        for side in ("Left", "Right"):
            face[50 * (k + 1) : 50 * (k + 2), INDEX[name + side]] = 0.5
    added = blinks((), face, portrait.mouth, 25.0, 2.0, np.random.default_rng(5))
    states = portrait.own_weights + face + added
    for side in ("Left", "Right"):
        lid = added[:, INDEX[f"eyeBlink{side}"]]
        shut = [k for k in range(1, 199) if lid[k] > 0.3 and lid[k] >= lid[k - 1] and lid[k] > lid[k + 1]]
        assert len(shut) >= 4
        assert max(seen_between_lids(portrait, side, states[k]) for k in shut) < 0.03


def test_half_shut_eyes_look_half_shut(portrait, photo, analyser):
    seen = [opening(analyser, p) for p in (photo, edited(portrait, eyesOpen=-0.5), edited(portrait, eyesOpen=-1))]
    assert 0.5 < (seen[1] - seen[2]) / (seen[0] - seen[2]) < 0.8


@pytest.mark.parametrize(
    ("control", "least", "most"),
    [("eyeWide", 1.06, 1.30), ("eyeSquint", 0.60, 0.90), ("eyeBlink", 0.0, 0.30)],
)
def test_lid_controls_change_the_opening(portrait, photo, analyser, control, least, most):
    values = {f"{control}Left": 1.0, f"{control}Right": 1.0}
    ratio = opening(analyser, edited(portrait, **values)) / opening(analyser, photo)
    assert least <= ratio <= most


def iris_shift(analyser, face, picture):
    """Return how far both irises have moved, in their radii, right and down."""
    seen = analyser.detect(picture)[0].landmarks
    radius = np.linalg.norm(face.landmarks[469, :2] - face.landmarks[468, :2])
    return (seen[[468, 473], :2] - face.landmarks[[468, 473], :2]).mean(0) / radius


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_a_full_side_look_gets_there(portrait, face, analyser, direction):
    # 20 degrees of a 12 mm ball are .70 radii of the iris; the landmark model sees about four fifths of a shift.
    assert direction * iris_shift(analyser, face, edited(portrait, gazeX=direction))[0] >= 0.48


def test_lids_follow_the_eye_up_and_down(portrait, analyser):
    assert opening(analyser, edited(portrait, gazeY=1.0)) > 1.05 * opening(analyser, edited(portrait, gazeY=-1.0))


# -- lids -------------------------------------------------------------------------------------------------------------


def test_a_blink_moves_evenly(portrait, face, photo):
    frames = [shut(portrait, share).astype(np.float32) for share in np.linspace(0, 1, 26)]
    near = grown(between_lids(face, photo.shape), 6)
    steps = np.array([np.abs(b - a)[near].mean() for a, b in itertools.pairwise(frames)])
    assert steps.max() < 1.6 * np.median(steps)


def test_shut_lids_have_the_skin_s_own_grain_and_no_streaks(portrait, face, photo):
    picture = light(shut(portrait))
    lid = between_lids(face, photo.shape, 0.0, 0.5)
    across = np.abs(np.diff(picture, axis=1))[:, :-1][lid[:, :-2]].mean()
    down = np.abs(np.diff(picture, axis=0))[:-1][lid[:-2]].mean()
    assert 0.25 < across / down < 1.2


def test_shut_lids_on_clipped_skin_stay_white(animator, large, large_face):
    white = np.clip(large * 1.7 + 20, 0, 255).astype(np.uint8)
    picture = light(shut(animator.prepare(white, large_face)))
    assert picture[between_lids(large_face, large.shape, 0.1, 0.5)].mean() > 230


def test_nothing_drawn_is_sharper_than_a_blurred_photo(animator, large, large_face):
    soft = cv2.GaussianBlur(large, (0, 0), 4)

    def steepest(picture):
        slope = np.hypot(cv2.Sobel(light(picture), cv2.CV_32F, 1, 0), cv2.Sobel(light(picture), cv2.CV_32F, 0, 1))
        return np.percentile(slope[grown(between_lids(large_face, large.shape), 8)], 99)

    assert steepest(shut(animator.prepare(soft, large_face))) < 1.1 * steepest(soft)


def wearing_glasses(large, face):
    """Draw a dark frame with a bright reflection around each eye; return the picture and both masks."""
    frame, glare = np.zeros(large.shape[:2], np.uint8), np.zeros(large.shape[:2], np.uint8)
    for upper in UPPER:
        a, b = face.landmarks[upper[0], :2], face.landmarks[upper[-1], :2]
        length, middle = np.linalg.norm(b - a), (a + b) / 2
        corners = [(middle + length * np.array(c)).astype(int).tolist() for c in ((-0.95, -0.27), (0.95, 0.75))]
        cv2.rectangle(frame, *corners, 1, 3)
        cv2.circle(glare, (middle + length * np.array([0.25, 0.30])).astype(int).tolist(), 5, 1, -1)
    picture = large.copy()
    picture[glare > 0] = 250
    picture[frame > 0] = 20
    return picture, frame > 0, glare > 0


def test_glasses_and_their_reflections_stay_before_the_lids(large, large_face):
    picture, frame, glare = wearing_glasses(large, large_face)
    for eye in eye_patches(picture.astype(np.float32), large_face.landmarks):
        part = np.s_[eye.y0 : eye.y1, eye.x0 : eye.x1]
        drawn = eye.draw(LidMotion(close=1.0))
        assert drawn[frame[part]].mean() < 40
        core = cv2.erode(glare[part].astype(np.uint8), np.ones((3, 3))) > 0
        assert drawn[core].mean() > 225


# -- gaze -------------------------------------------------------------------------------------------------------------


def test_a_small_glance_leaves_white_and_rims_alone(portrait, photo, face):
    picture = edited(portrait, gazeX=0.1).astype(np.float32)
    beside = grown(between_lids(face, photo.shape), 3) & (away_from_irises(face, photo.shape) > 1.45)
    assert np.abs(picture - photo)[beside].mean() < 1.0


def test_no_iris_is_drawn_over_the_lids(animator, large, large_face):
    picture = edited(animator.prepare(large, large_face), gazeX=1.0).astype(np.float32)
    eyes = between_lids(large_face, large.shape)
    lids = grown(eyes, 8) & ~grown(eyes, 3)
    assert np.abs(picture - large)[lids].max() < 8


def test_white_that_an_iris_uncovers_is_as_light_as_the_photo_s(portrait, photo, face):
    picture = light(edited(portrait, gazeX=1.0))
    radius = np.linalg.norm(face.landmarks[469, :2] - face.landmarks[468, :2])
    yy, xx = np.mgrid[: photo.shape[0], : photo.shape[1]]
    inner = between_lids(face, photo.shape, 0.25, 0.8)
    skin = np.median(light(photo)[grown(inner, 8) & ~grown(inner, 5)])
    for x, y in face.landmarks[[468, 473], :2]:
        bared = inner & (np.hypot(xx - x, yy - y) < 0.9 * radius) & (xx < x - 0.2 * radius)
        assert picture[bared].mean() > 0.80 * skin


def test_a_highlight_stays_half_with_the_lamp(large, large_face):
    picture = large.copy()
    radius = float(np.linalg.norm(large_face.landmarks[469, :2] - large_face.landmarks[468, :2]))
    centers = large_face.landmarks[[468, 473], :2]
    for center in centers:
        cv2.circle(picture, np.round(center).astype(int).tolist(), round(0.85 * radius), (40, 30, 25), -1)
        cv2.circle(picture, np.round(center).astype(int).tolist(), max(2, round(0.22 * radius)), (255, 255, 255), -1)
    for eye, center in zip(eye_patches(picture.astype(np.float32), large_face.landmarks), centers, strict=True):
        drawn = light(eye.draw(LidMotion(gaze_x=0.6)))
        row = drawn[round(float(center[1])) - eye.y0]
        start = round(float(center[0])) - eye.x0
        reach = slice(start - round(0.3 * radius), start + round(radius))
        shift = (np.argmax(cv2.GaussianBlur(row[None, reach], (5, 1), 0)) - round(0.3 * radius)) / eye.iris_radius
        assert 0.1 < shift < 0.5


def drawn_edges(eye, motion):
    """Return u and v of the upper and the lower lid's edge between the corners, eye lengths."""
    curves = eye._eye
    u = curve_grid()
    middle = np.clip(np.sin(np.pi * np.clip(u, 0, 1)), 0, 1)
    pose = eye._pose(motion)
    parts = list(zip(curves.upper, curves.lower, lid_seam(curves), middle, strict=True))
    upper, lower = (np.array([edge(*part, pose) for part in parts]) for edge in (upper_edge, lower_edge))
    inside = (u > 0.02) & (u < 0.98)
    return u[inside], upper[inside], lower[inside]


def with_low_lower_lids(face):
    """Return the face with lower lids as of very round eyes."""
    marks = face.landmarks.copy()
    for lower in LOWER:
        marks[list(lower[1:-1]), 1] += 0.12 * np.linalg.norm(marks[lower[0], :2] - marks[lower[-1], :2])
    return marks


def test_shut_lids_meet_in_a_shallow_arc(large, large_face):
    """An open eye's lower lid is a bowl; lashes along it would end in hooks."""
    for eye in eye_patches(large.astype(np.float32), with_low_lower_lids(large_face)):
        u, upper, _ = drawn_edges(eye, LidMotion(close=1.0))
        assert np.abs(np.diff(upper) / np.diff(u)).max() < 0.95  # 1.7 along the bowl


def test_bare_lids_meet_in_a_line(large, large_face):
    eye = eye_patches(large.astype(np.float32), large_face.landmarks)[0]
    eye._lashes = eye._lashes._replace(**{name: np.zeros_like(sheet) for name, sheet in eye._lashes._asdict().items()})
    picture = light(eye.draw(LidMotion(close=1.0)))
    u, upper, _ = drawn_edges(eye, LidMotion(close=1.0))
    row = np.float32([[eye._eye.origin + eye._eye.length * (s * eye._eye.along + v * eye._eye.across) for s, v in
                       zip(u, upper - lift, strict=True)] for lift in (0.0, 0.08)])  # fmt: skip
    line, lid = (cv2.remap(picture, points[:, 0], points[:, 1], cv2.INTER_LINEAR).ravel() for points in row)
    middle = slice(len(u) // 4, -len(u) // 4)
    assert np.median(line[middle]) < 0.85 * np.median(lid[middle])


def test_heavy_lashes_leave_no_traces_in_the_lid_s_lines(large, large_face):
    """What is found of a lash is narrower than it is; its sides are no lines of the skin, but a crease is one."""
    eye = eye_frame(large.astype(np.float32), large_face.landmarks, 0)
    strip = strip_of(eye, np.full_like(eye.photo, 180))
    period = np.abs((strip.u * 11) % 1 - 0.5)  # 0 on a lash, half way between two of them .5
    standing = (strip.d > 0) & (strip.d < 0.2) & (strip.u > 0.1) & (strip.u < 0.9)
    found = np.where(standing & (period < 0.12), 0.5, 0).astype(np.float32)
    dark = 0.35 * np.where(standing, np.clip(1.6 - period / 0.16, 0, 1), 0)
    crease = 0.2 * np.exp(-(((strip.d - 0.26) / strip.step) ** 2))
    photo = (strip.plate * (1 - np.maximum(dark, crease))[..., None]).astype(np.float32)
    high = lid_shade(eye, replace(strip, photo=photo), found, np.full(3, 30, np.float32)).high @ LUMA
    along = (strip.u[0] > 0.2) & (strip.u[0] < 0.8)
    traces = high[(strip.d[:, 0] > 0.06) & (strip.d[:, 0] < 0.16)][:, along]
    assert traces.min() > -0.03
    assert high[np.abs(strip.d[:, 0] - 0.26).argmin()][along].max() < -0.05


def test_a_wide_eye_shows_no_slab_of_white(large, large_face):
    for eye in eye_patches(large.astype(np.float32), with_low_lower_lids(large_face)):
        u, upper, _ = drawn_edges(eye, LidMotion(widen=1.0))
        top = eye._eye.iris_center - eye.iris_radius * eye._eye.across - eye._eye.origin
        edge = np.interp(top @ eye._eye.along / eye._eye.length, u, upper)
        assert top @ eye._eye.across / eye._eye.length - edge < 0.08


def test_a_lid_without_calm_skin_borrows_the_other_one_s_grain(large, large_face):
    noisy = np.clip(large + np.random.default_rng(4).normal(0, 6, large.shape), 0, 255).astype(np.float32)
    side = round(float(large_face.landmarks[6, 0]))
    noisy[:, :side] = np.where(np.arange(len(noisy))[:, None, None] % 9 < 4, 60, noisy[:, :side])  # folds all over
    levels = [float(eye._sheets.grain.std()) for eye in eye_patches(noisy, large_face.landmarks)]
    assert min(levels) > 1


def test_drawn_eyes_larger_than_their_landmarks_shut_whole(animator, large, large_face):
    """Eyes of drawn faces are; what the landmarks leave out stayed as a white sickle in the corner."""
    big = cv2.resize(large, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    face = scaled_face(large_face, 2.0)
    white = np.zeros(big.shape[:2], np.uint8)
    for lids, iris in zip(UPPER, (468, 473), strict=True):
        corners = face.landmarks[[lids[0], lids[-1]], :2]
        length = float(np.linalg.norm(corners[0] - corners[1]))
        outer = np.sign(corners[0 if iris == 468 else 1, 0] - corners[:, 0].mean())
        x, y = corners.mean(0) + 0.05 * length * np.array([outer, 1.0])
        center, axes = (round(x), round(y)), (round(0.58 * length), round(0.3 * length))
        cv2.ellipse(big, center, (axes[0] + 5, axes[1] + 5), 0, 0, 360, (120, 50, 40), -1, cv2.LINE_AA)
        cv2.ellipse(big, center, axes, 0, 0, 360, (228, 226, 222), -1, cv2.LINE_AA)
        cv2.ellipse(white, center, axes, 0, 0, 360, 1, -1)
        at = tuple(round(float(k)) for k in face.landmarks[iris, :2])
        cv2.circle(big, at, round(0.2 * length), (60, 90, 150), -1, cv2.LINE_AA)
    picture = shut(animator.prepare(big, face))
    left = (picture.min(2) > 190) & (white > 0)
    assert left.sum() < 0.05 * white.sum()  # .40 where the landmarks end


def test_a_soft_highlight_leaves_no_ring_where_the_iris_has_taken_it(large, large_face):
    big, face = cv2.resize(large, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), scaled_face(large_face, 2.0)
    radius = float(np.linalg.norm(face.landmarks[469, :2] - face.landmarks[468, :2]))
    x, y = (round(float(v)) for v in face.landmarks[468, :2])
    plain = big.astype(np.float32)
    disc = np.zeros(plain.shape[:2], np.float32)
    cv2.circle(disc, (x, y), round(radius), 1.0, -1)
    plain += (np.float32([60, 45, 35]) - plain) * cv2.GaussianBlur(disc, (0, 0), 1.5)[..., None]
    spot = np.zeros_like(disc)
    cv2.circle(spot, (x, y), round(0.1 * radius), 1.0, -1)
    glow = cv2.GaussianBlur(spot, (0, 0), 0.11 * radius)
    lit = np.minimum(plain + (900 * glow)[..., None], 255)
    drawn = [eye_patches(p, face.landmarks)[0].draw(LidMotion(gaze_x=1.0)) for p in (plain, lit)]
    eye = eye_patches(lit, face.landmarks)[0]
    left, top = x - eye.x0, y - eye.y0
    more = light(drawn[1]) - light(drawn[0])
    taken = more[top - 2 : top + 3, round(left + 0.95 * radius) : round(left + 1.4 * radius)]
    kept = more[top - 2 : top + 3, round(left + 0.35 * radius) : round(left + 0.65 * radius)]  # half the iris' way
    assert kept.max() > 60
    assert taken.max() < 14
