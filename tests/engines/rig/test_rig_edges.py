"""Where a moved head meets its background: mattes, completed ground, far edges, glasses, clipped skin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.pose_reading import PoseReader
from studio.domain.expression import ExpressionEdit, resolve
from studio.domain.pose import HeadPose
from studio.engines.rig import ground, kernels, layers, matting, plate
from studio.engines.rig.asset import JAW
from studio.engines.rig.outline import even_depth
from studio.engines.rig.spectacles import Spectacles
from studio.factory.preview_base import drawing, people

ASSETS = Path(__file__).resolve().parents[3] / "assets"
EYE = 60.0


def edited(portrait, **values):
    return portrait.render(resolve(ExpressionEdit(values), portrait.own_weights))


def checked(side: int = 384, cell: int = 12) -> np.ndarray:
    """A background that shows every movement."""
    yy, xx = np.mgrid[:side, :side]
    board = ((yy // cell + xx // cell) % 2)[..., None]
    return np.where(board, np.array([196, 148, 90]), np.array([62, 92, 128])).astype(np.uint8)


def straight(seed: int = 4, **fixed: str) -> people.RenderedPicture:
    fixed = {"expression": "neutral", "glasses": "no", "hair_length": "short", "background": "green"} | fixed
    drawn = people.sample_picture(np.random.default_rng(seed), **fixed)
    return replace(drawn, yaw=0.0, pitch=0.0, roll=0.0, gaze=(0.0, 0.0), gradient=(0.0, 0.0), blobs=())


@pytest.fixture(scope="module")
def before_checks(animator, analyser):
    """A rendered person before a checked background: portrait, picture, person mask."""
    picture = drawing.render(straight(), 384)[0]
    ground = np.median(picture[:40, :40].reshape(-1, 3), 0)
    person = np.abs(picture.astype(float) - ground).max(2) > 12
    scene = np.where(person[..., None], picture, checked())
    return animator.prepare(scene, analyser.detect(scene)[0]), scene, person


def test_a_smile_leaves_a_textured_background_alone(before_checks):
    portrait, scene, person = before_checks
    outside = cv2.dilate(person.astype(np.uint8), np.ones((7, 7))) == 0
    ring = outside & (cv2.dilate(person.astype(np.uint8), np.ones((25, 25))) > 0)
    moved = np.abs(edited(portrait, smile=0.9).astype(int) - scene).max(2) > 8
    assert moved[ring].mean() < 0.002


def test_an_outline_that_moved_away_leaves_no_ghost():
    """What the layers leave of the photo is added back only where the picture stands still."""
    height, width, corner = 8, 12, (5, 3)
    x, y = np.meshgrid(np.arange(width) + corner[0], np.arange(height) + corner[1])
    maps = np.stack([x, y, np.ones_like(x)], 2).astype(np.float32)
    maps[:, 4:8, 1] -= 3.0  # what is drawn here comes from three pixels further up
    tag = np.ones((height, width), np.uint8)
    tag[:, 10:] = 0  # nothing is drawn here: the background stands still
    rgba = np.full((height, width, 4), 100, np.float32)
    out = np.zeros((height, width, 3), np.uint8)
    loose = np.ones((height, width), np.float32)
    loose[0] = 0.0  # ground, whatever is drawn over it
    kernels.write_bytes_near(rgba, np.full((height, width, 3), 40, np.float32), loose, 1.0, maps, tag, corner, out)
    assert (out[1:, 4:8] == 100).all()
    assert (out[0] == 140).all()
    assert (out[:, :4] == 140).all()
    assert (out[:, 8:] == 140).all()


def test_a_dropped_jaw_takes_its_painted_outline_along(animator, analyser):
    """A drawn contour is no color of the person; where the chin was, it would stay as a second one."""
    picture = drawing.render(straight(skin="tan"), 384)[0]  # a white contour is like pale skin
    ground = np.median(picture[:40, :40].reshape(-1, 3), 0)
    person = (np.abs(picture.astype(float) - ground).max(2) > 12).astype(np.uint8)
    rim = (cv2.dilate(person, np.ones((5, 5))) > 0) & (person == 0)
    scene = picture.copy()
    scene[rim] = (255, 255, 255)
    portrait = animator.prepare(scene, analyser.detect(scene)[0])
    drawn = edited(portrait, jawOpen=0.7)
    x0, y0, x1, y1 = portrait._box
    ys, xs = np.where(portrait._tag > 0)
    away = portrait._maps[ys, xs, :2] - np.stack([xs + x0, ys + y0], 1)
    far = (np.linalg.norm(away, axis=1) > 1.5) & (portrait._layers.alpha[ys + y0, xs + x0] > 0)
    moved = (ys[far], xs[far])
    pure = np.clip(portrait._rgba[..., :3] + 0.5, 0, 255).astype(int)
    assert np.abs(portrait._layers.rest[y0:y1, x0:x1][moved]).max() > 20  # there is something that could stay
    assert np.abs(drawn[y0:y1, x0:x1].astype(int) - pure)[moved].max() <= 1


def test_a_turn_takes_no_rim_of_the_background_along(before_checks):
    portrait, _, person = before_checks
    ring = (cv2.dilate(person.astype(np.uint8), np.ones((25, 25))) > 0) & ~(
        cv2.dilate(person.astype(np.uint8), np.ones((9, 9))) > 0
    )
    rgba = portrait.render_with_alpha(resolve(ExpressionEdit({"headRoll": 0.01}), portrait.own_weights))
    assert (rgba[..., 3][ring] > 40).mean() < 0.05


def test_matte_follows_strands_that_the_network_cannot_see():
    size = 192
    hair = np.zeros((size, size), np.float32)
    hair[60:, 50:140] = 1
    for x in range(54, 140, 8):
        cv2.line(hair, (x, 62), (x + 4, 50), 1.0, 1, cv2.LINE_AA)
    wall, color = np.array([70.0, 120.0, 190.0]), np.array([40.0, 25.0, 15.0])
    image = (hair[..., None] * color + (1 - hair[..., None]) * wall).round().astype(np.uint8)
    coarse = (cv2.GaussianBlur((np.mgrid[:size, :size][0] > 58) * hair, (0, 0), 4) * 255).astype(np.uint8)
    face = np.zeros((size, size), bool)
    face[100:160, 70:120] = True
    alpha = matting.refine(image, matting.work_size(image, EYE), coarse, face, np.array([[60, 150], [130, 150]]), EYE)
    zone = np.s_[46:66, 50:144]
    assert np.abs(alpha - hair)[zone].mean() < 0.35 * np.abs(coarse / 255 - hair)[zone].mean()


def test_a_patch_that_the_matte_leaves_in_doubt_belongs_to_the_person():
    """A knot of hair in the nape comes out half transparent as a whole, loose hair strand by strand."""
    wall, hair = np.array([92.0, 98.0, 104.0]), np.array([34.0, 24.0, 20.0])
    alpha = np.zeros((120, 120), np.float32)
    alpha[:, :40] = 1
    alpha[50:110, 40:70] = 0.45  # the knot
    loose = np.random.default_rng(2).uniform(0.1, 0.9, (40, 30)).astype(np.float32)
    alpha[5:45, 40:70] = loose
    image = np.where((alpha > 0)[..., None], hair, wall)
    image[5:45, 40:70] = loose[..., None] * hair + (1 - loose[..., None]) * wall
    image = image.round().astype(np.uint8)
    plate = np.broadcast_to(wall, image.shape).astype(np.float32)
    color = np.broadcast_to(hair, image.shape).astype(np.float32)
    layers._decide(alpha, color, image, plate, 48.0)
    assert alpha[55:105, 42:68].min() > 0.95
    np.testing.assert_allclose(alpha[5:45, 41:70], loose[:, 1:], atol=0.2)


def test_mixed_pixels_are_parted_into_the_colors_of_both_sides():
    alpha = np.clip((np.arange(120, dtype=np.float32)[None] - 56) / 8, 0, 1).repeat(120, 0)
    person, ground = np.array([200.0, 150.0, 120.0]), np.array([30.0, 60.0, 90.0])
    image = (alpha[..., None] * person + (1 - alpha[..., None]) * ground).round().astype(np.uint8)
    found, back = matting.colors(image, matting.work_size(image, EYE), alpha, EYE)
    mixed = (alpha > 0.2) & (alpha < 0.8)
    assert np.abs(found[mixed] - person).mean() < 8
    assert np.abs(back[mixed] - ground).mean() < 8


def test_stripes_run_on_behind_the_person():
    xx = np.mgrid[:240, :240][1]
    truth = (128 + 60 * np.sin(xx / 3.0))[..., None].repeat(3, 2).astype(np.float32)
    alpha = np.zeros((240, 240), np.float32)
    alpha[80:160, 60:180] = 1
    image = np.where(alpha[..., None] > 0, 20, truth).round().astype(np.uint8)
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    band = np.s_[84:100, 80:160]
    together = np.corrcoef(filled[band][..., 0].ravel(), truth[band][..., 0].ravel())[0, 1]
    assert together > 0.9


def behind_a_head(ground: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hide a ground of 300 x 300 behind the shape of a head.

    Returns:
        The completed ground and the true one  # (300, 300, 3) each; where a turn uncovers it  # (300, 300)
    """
    alpha = np.zeros((300, 300), np.float32)
    cv2.ellipse(alpha, (150, 150), (66, 88), 0, 0, 360, 1.0, -1)
    alpha[225:, 110:190] = 1
    truth = np.clip(ground, 0, 255).astype(np.float32)
    image = np.where(alpha[..., None] > 0, 120, truth).round().astype(np.uint8)
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    deep = cv2.distanceTransform((alpha > 0).astype(np.uint8), cv2.DIST_L2, 5)
    return filled, truth, (deep > 2) & (deep < 0.35 * EYE)


@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])  # scikit-image's, free of rights
def test_texture_is_as_sharp_behind_a_turned_head_as_beside_it(name):
    import skimage.data

    texture = cv2.resize(getattr(skimage.data, name)(), (300, 300), interpolation=cv2.INTER_AREA)[..., None] / 255
    filled, truth, band = behind_a_head(np.array([60, 40, 32]) + texture * np.array([175, 165, 150]))
    nearby = cv2.GaussianBlur(band.astype(np.float32), (0, 0), 8)[band]
    fine, true = (
        cv2.GaussianBlur(np.abs(p - cv2.GaussianBlur(p, (0, 0), 3)).mean(2) * band, (0, 0), 8)[band] / nearby
        for p in (filled, truth)
    )
    assert np.median(fine / true) > 0.85  # .30 to .67 where patches from all over are averaged


def test_the_edge_of_a_board_goes_on_behind_the_person():
    """Two grounds, one above the other, meet behind the head and not in a haze beside it."""
    ground = np.where(np.arange(300)[:, None, None] < 150, [196.0, 198, 200], [40.0, 42, 48]).repeat(300, 1)
    ground += np.random.default_rng(3).normal(0, 2, ground.shape)
    filled, truth, band = behind_a_head(cv2.GaussianBlur(ground, (0, 0), 1.0))
    assert (np.abs(filled - truth).max(2) > 30)[band].mean() < 0.02  # .06 in a haze


def test_flowers_of_a_wallpaper_are_its_ground_and_a_letter_is_not():
    paper = np.full((90, 90, 3), (205, 214, 205), np.float32)
    for y in range(5, 90, 10):
        for x in range(5, 90, 10):
            cv2.circle(paper, (x, y), 2, (150, 60, 90), -1)
    letter = np.full((90, 90, 3), (205, 214, 205), np.float32)
    letter[20:50, 20:27] = letter[20:26, 20:45] = (150, 60, 90)
    known = np.ones((90, 90), bool)
    found = []
    for picture in (paper, letter):
        color, clear = ground.prevailing(picture, known.astype(np.float32), 20.0)
        found.append(ground.single_things(picture, known, color, clear, 20.0))
    assert found[0].max() < 0.3
    assert found[1][22:48, 21:26].min() > 0.9


def test_soft_ground_that_changes_across_the_picture_shows_no_outline():
    """A dark stage, lighter to one side: no ring of another tone around where the head was."""
    light = 18 + 60 / (1 + np.exp(-(np.arange(300) - 150) / 25.0))
    ground = light[None, :, None].repeat(300, 0) * np.array([0.9, 0.9, 1.1])
    filled, truth, band = behind_a_head(ground + np.random.default_rng(3).normal(0, 1.0, ground.shape))
    band[:, :195] = False
    assert np.abs(cv2.GaussianBlur(filled - truth, (0, 0), 2)).mean(2)[band].max() < 1.5  # 3.6 gray levels is a ring


def test_stray_hair_before_a_plain_wall_leaves_no_ghost():
    image = np.full((240, 240, 3), 205, np.uint8)
    alpha = np.zeros((240, 240), np.float32)
    alpha[100:, 80:160] = 1
    image[100:, 80:160] = 30
    image[96:99, 76:164] = 235  # a sharpened outline
    cv2.line(image, (110, 99), (118, 92), (120, 120, 120), 1)
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    assert np.abs(filled[85:130, 70:170] - 205).max() < 6


def test_things_that_fit_nowhere_run_out_softly():
    image = np.full((240, 240, 3), 220, np.uint8)
    image[:, 40:100] = (20, 20, 30)  # a letter, cut off by the head and seen nowhere else
    image[150:] = (150, 40, 40)
    alpha = np.zeros((240, 240), np.float32)
    alpha[70:, 60:200] = 1
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    steps = np.abs(np.diff(filled.mean(2), axis=0))[60:80, 62:96]
    assert steps.max() < 60


def test_a_thing_on_the_wall_is_not_repeated_behind_the_person():
    """A red field beside the neck of someone before a pale wall: the wall goes on behind the neck."""
    image = np.full((260, 240, 3), (236, 238, 243), np.uint8)
    image[60:110, 150:] = (214, 214, 216)  # a soft shadow on the wall
    image[170:215, 14:58] = (190, 45, 45)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    alpha = np.zeros((260, 240), np.float32)
    alpha[30:150, 60:180] = 1
    alpha[150:, 76:164] = 1
    alpha[225:, :] = 1
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    redness = (filled[..., 0] - filled[..., 1:].max(2))[100:225, 64:150]
    assert redness.max() < 40  # 145 where the field was drawn once more


def test_a_letter_cut_by_the_head_does_not_end_with_a_step():
    """Letters of another color that run behind the head end softly there, and are not cut along the outline."""
    image = np.full((240, 240, 3), (96, 108, 124), np.uint8)
    for y, word in ((78, "HAH"), (128, "EXE"), (178, "KNK")):
        cv2.putText(image, word, (2, y), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (222, 196, 120), 9, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    alpha = np.zeros((240, 240), np.float32)
    alpha[30:, 70:190] = 1
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    own = np.abs(np.diff(image.astype(float).mean(2), axis=1))[34:236, :60].max()  # of the blurred letters themselves
    assert np.abs(np.diff(filled.mean(2), axis=1))[34:236, 66:100].max() < 1.3 * own


def test_a_sharpened_outline_leaves_no_line_on_textured_ground():
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 40, (240, 240)).astype(np.float32), (0, 0), 1.2)
    image = np.clip(128 + grain[..., None].repeat(3, 2), 0, 255).round().astype(np.uint8)
    alpha = np.zeros((240, 240), np.float32)
    cv2.circle(alpha, (120, 130), 60, 1.0, -1)
    line = np.zeros((240, 240), np.uint8)
    cv2.circle(line, (120, 130), 61, 1, 1)
    image[line > 0] = 250
    filled = plate.complete(image, image.astype(np.float32), alpha, EYE)
    assert filled[line > 0].mean() < 150  # 128 is the ground


def test_hair_cut_by_the_border_is_not_mirrored():
    person = np.zeros((80, 80, 4), np.float32)
    person[..., 3] = 1
    person[..., :3] = np.arange(80, dtype=np.float32)[:, None, None]  # brighter downwards
    out = layers._extend(person, 30, EYE)
    column = out[:30, 70, 0] / np.maximum(out[:30, 70, 3], 1e-3)
    seen = out[:30, 70, 3] > 0.5
    assert seen.any()
    assert column[seen].max() < 12  # a mirror would show 29 at the top


def test_hair_cut_by_the_upper_border_is_not_drawn_out_when_the_head_sinks(animator, analyser):
    whole = drawing.render(straight(seed=1), 448)[0]
    face = analyser.detect(whole)[0]
    ground = np.median(whole[:20, :20].reshape(-1, 3), 0)
    crown = np.flatnonzero((np.abs(whole.astype(float) - ground).max(2) > 20).any(1))[0]
    brow = face.landmarks[10, 1]
    picture = np.ascontiguousarray(whole[round(crown + 0.3 * (brow - crown)) :])  # through the hair
    portrait = animator.prepare(picture, analyser.detect(picture)[0])
    edited(portrait, headPitch=-10)
    x0, _, _, _ = portrait._box
    column = round(face.landmarks[10, 0]) - x0
    drawn = np.flatnonzero(portrait._tag[:, column])
    from_row = portrait._maps[drawn[0] : round(brow - crown), column, 1]
    hair = from_row[(from_row > 2) & (from_row < 0.6 * (brow - crown))]
    assert len(hair) > 12
    assert np.diff(hair).min() > 0.7  # of a row per row; at .36 hair is drawn out to three times its length


def test_no_turn_shows_a_crack_or_a_staircase_between_face_and_card(portrait, photo):
    for values in ({"headYaw": 12}, {"headYaw": -12}, {"headPitch": 8}, {"headPitch": -8}):
        rgba = portrait.render_with_alpha(resolve(ExpressionEdit(values), portrait.own_weights))
        outline, _ = cv2.findContours((rgba[..., 3] > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        whole = np.zeros(photo.shape[:2], np.uint8)
        cv2.drawContours(whole, [max(outline, key=len)], -1, 1, -1)
        assert rgba[..., 3][cv2.erode(whole, np.ones((17, 17))) > 0].min() > 200


def test_folds_are_drawn_with_coverage():
    maps = np.zeros((20, 20, 3), np.float32)
    maps[..., 0], maps[..., 1] = np.mgrid[:20, :20][::-1]
    rows, columns = np.mgrid[:20, :20]
    near = columns > 10 + (rows // 4)
    maps[near, 0] += 30
    colors = np.where(near[..., None], 200.0, 40.0).astype(np.float32).repeat(4, 2)
    out = colors.copy()
    kernels.soften_folds(maps, np.ones((20, 20), np.uint8), 8.0, out)
    between = (out[..., 0] > 60) & (out[..., 0] < 180)
    assert between[2:-3].any(1).all()
    assert np.array_equal(out[:, :8], colors[:, :8])


def test_skin_clipped_to_white_stays_white():
    source = np.full((12, 12, 4), 255.0, np.float32)
    source[..., 3] = 1
    source[6:, :, :3] = 150
    maps = np.zeros((8, 8, 3), np.float32)
    maps[..., 0], maps[..., 1] = np.mgrid[:8, :8][::-1]
    maps[..., 2] = 0.86
    out = np.zeros((8, 8, 4), np.float32)
    kernels.look_up(maps, np.ones((8, 8), np.uint8), source, 2, np.zeros((8, 8, 3), np.float32), out)
    assert out[1, 4, 0] > 250
    assert out[7, 4, 0] == pytest.approx(129, abs=1)


@pytest.fixture(scope="module")
def spectacled(animator, analyser):
    """A rendered person with a dark frame: picture, face, portrait."""
    drawn = straight(seed=1, glasses="yes", skin="light", hair_color="blond")
    person = replace(
        drawn.person, frame_rgb=(0.05, 0.05, 0.08), frame_thickness=max(drawn.person.frame_thickness, 0.02)
    )
    picture = drawing.render(replace(drawn, person=person), 448)[0]
    face = analyser.detect(picture)[0]
    return picture, face, animator.prepare(picture, face)


def eyes_apart(face) -> float:
    return float(np.linalg.norm(face.landmarks[33, :2] - face.landmarks[263, :2]))


def test_glasses_are_seen_where_they_are(spectacled, photo, face):
    picture, own, _ = spectacled
    assert Spectacles(picture, own.landmarks, eyes_apart(own)).found
    assert not Spectacles(photo, face.landmarks, eyes_apart(face)).found


def test_brows_and_cheeks_do_not_bend_a_frame(spectacled):
    picture, face, portrait = spectacled
    left, right = face.landmarks[[226, 446], :2].round().astype(int)
    middle = face.landmarks[168, :2].round().astype(int)
    half = round(0.45 * eyes_apart(face))
    zone = np.s_[middle[1] - half : middle[1] + half, left[0] : right[0]]
    frame = np.all(picture[zone] < 60, 2)
    moved = np.all(
        edited(portrait, browDownLeft=1, browDownRight=1, cheekSquintLeft=1, cheekSquintRight=1)[zone] < 60, 2
    )
    lower = np.s_[half:]
    both = (frame & moved)[lower].sum() / max((frame | moved)[lower].sum(), 1)
    assert frame[lower].sum() > 100
    assert both > 0.7  # .46 when the frame bends with the skin


@pytest.mark.parametrize("axis", ["pitch", "roll"])
def test_another_reading_sees_the_turn_asked_for(portrait, photo, face, axis):
    reader = PoseReader(ASSETS / "models")
    turns = [reader.turn(photo, edited(portrait, **{f"head{axis.capitalize()}": d}), face.box) for d in (-10, 10)]
    low, high = (getattr(turn, f"{axis}_degrees") for turn in turns)
    assert (high - low) / 2 == pytest.approx(10, abs=1.5)  # either way together: one reading is good to 2 degrees


def test_cells_without_the_person_are_not_drawn():
    person = np.zeros((100, 120), bool)
    person[40:60, 50:70] = True
    x, y = np.arange(-10.0, 131, 10), np.arange(-10.0, 111, 10)
    full = layers._full_cells(person, x, y)
    assert full.shape == (len(y) - 1, len(x) - 1)
    inside = full[2:-2, 2:-2]  # beyond the picture its border is continued: always drawn
    expected = np.zeros_like(inside)
    expected[2:6, 3:7] = True  # those that show it, and their neighbors, which look up next to it
    np.testing.assert_array_equal(inside, expected)
    for rim in (full[0], full[-1], full[:, 0], full[:, -1]):
        assert rim.all()


def test_a_dip_in_the_outline_of_a_cheek_is_no_pouch_when_it_turns(portrait):
    """The fit is least sure of depth there; what it has dented is lifted again, and the face beside it stays."""
    asset, eye = portrait._asset, portrait._fit.eye_distance
    height, inside = asset.mean[:, 1], portrait._inside
    dented = portrait._mesh.copy()
    dented[:, 2] -= 0.2 * eye * np.exp(-(((height + 0.55) / 0.1) ** 2))
    lift = even_depth(asset, dented, portrait._drawn, inside, eye)
    drawn = np.unique(portrait._drawn)
    there = drawn[np.abs(height[drawn] + 0.55) < 0.05]
    assert lift[there[inside[there] < 0.03]].mean() > 0.09 * eye
    assert not lift[there[inside[there] > 0.35]].any()


def test_a_turned_head_leaves_its_neck_where_it_is(portrait):
    """The throat lies well behind the chin; hung on it, the neck leans over with every turn."""
    chin = portrait._asset.landmarks(portrait._mesh)[152]
    card = portrait._card.points
    eye = portrait._fit.eye_distance
    below = (np.abs(card[:, 0] - chin[0]) < 0.15 * eye) & (np.abs(card[:, 1] - chin[1] - 0.22 * eye) < 0.06 * eye)
    assert below.any()
    assert (chin[2] - card[below, 2]).mean() > 0.45 * eye


@pytest.mark.parametrize("degrees", [-15, 15])
def test_a_turn_of_the_head_hardly_moves_the_neck_under_the_whole_jaw(portrait, degrees):
    eye, card = portrait._fit.eye_distance, portrait._card.points
    jaw = portrait._asset.landmarks(portrait._mesh)[list(JAW)[2:-2], :2]
    below = card[:, 1] - np.interp(card[:, 0], jaw[:, 0], jaw[:, 1])
    neck = (below > 0.15 * eye) & (below < 0.3 * eye) & (card[:, 0] > jaw[0, 0]) & (card[:, 0] < jaw[-1, 0])
    turned = portrait._place_card(portrait._own_vertices, HeadPose(yaw_degrees=degrees), 0.0)
    assert neck.sum() > 20
    assert np.abs(turned - card)[neck, 0].mean() < 0.11 * eye  # .14 where the card falls no steeper than elsewhere


def test_pieces_that_do_not_meet_are_soft_instead_of_torn():
    """Beams and signs that no shift continues on all sides: sharp where they are cut, they look like shards."""
    alpha = np.zeros((300, 300), np.float32)
    cv2.ellipse(alpha, (150, 150), (66, 88), 0, 0, 360, 1.0, -1)
    alpha[225:, 110:190] = 1
    near = cv2.erode((alpha > 0).astype(np.uint8), np.ones((9, 9))) > 0
    near &= cv2.distanceTransform((alpha > 0).astype(np.uint8), cv2.DIST_L2, 5) < 33
    sharp, own = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = np.full((300, 300, 3), 120, np.uint8)
        for _ in range(26):
            center, size = rng.integers(0, 300, 2).astype(float), rng.integers(30, 80, 2).astype(float)
            board = cv2.boxPoints((tuple(center), tuple(size), float(rng.integers(0, 180)))).astype(np.int32)
            cv2.fillPoly(scene, [board], (int(rng.choice([25, 60, 190, 235])),) * 3, cv2.LINE_AA)
        scene = cv2.GaussianBlur(scene, (0, 0), 1.2)
        image = np.where(alpha[..., None] > 0, 120, scene).astype(np.uint8)
        filled = plate.complete(image, scene.astype(np.float32), alpha, 60.0).mean(2)
        step = np.hypot(cv2.Sobel(filled, cv2.CV_32F, 1, 0), cv2.Sobel(filled, cv2.CV_32F, 0, 1)) / 8
        sharp.append((step[near] > 12).mean())
        own.append((step[alpha == 0] > 12).mean())
    assert np.mean(sharp) < 0.7 * np.mean(own)  # as much as of the scene itself where they were torn
