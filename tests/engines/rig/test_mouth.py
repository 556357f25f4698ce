"""What is between the lips, on a rendered face with shut lips and on a laughing photo."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.domain.expression import INDEX, ExpressionEdit, FaceState, resolve
from studio.domain.pose import HeadPose
from studio.engines.rig import mouth_shading
from studio.engines.rig.asset import INNER_LIP_PAIRS, load_head
from studio.engines.rig.opening import Opening
from studio.engines.rig.own_mouth import OwnMouth
from studio.engines.rig.palette import MouthPalette
from studio.engines.rig.portrait import SEALED_BY
from studio.engines.rig.teeth import LOWER, UPPER, Teeth, hidden_by_lips
from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.people import sample_picture

ASSETS = Path(__file__).resolve().parents[3] / "assets"
PALETTE = MouthPalette(
    *(np.array(c, np.float32) for c in ([225, 215, 195], [150, 80, 80], [160, 80, 75], [30, 15, 12])),
    side=0.0, blur_pixels=0.6, grain=np.zeros((12, 12), np.float32),
)  # fmt: skip
LUMA = np.array([0.30, 0.59, 0.11])


@pytest.fixture(scope="module")
def asset():
    return load_head(ASSETS / "head.npz")


@pytest.fixture(scope="module")
def shut_photo():
    """A rendered young face with shut lips, seen from the front."""
    person = sample_picture(
        np.random.default_rng(3), expression="neutral", direction="straight", glasses="no", beard="no", light="front",
        age="young", hair_length="short", skin="light",
    )  # fmt: skip
    return np.ascontiguousarray(render(replace(person, yaw=0.0, pitch=0.0, roll=0.0, weights=()), 512)[0])


@pytest.fixture(scope="module")
def shut_face(analyser, shut_photo):
    return analyser.detect(shut_photo)[0]


@pytest.fixture(scope="module")
def shut(animator, shut_photo, shut_face):
    return animator.prepare(shut_photo, shut_face)


def drawn(portrait, *, seal=0.0, **values):
    state = resolve(ExpressionEdit(values), portrait.own_weights)
    return portrait.render(state, lip_seal=seal)


def lips_of(portrait, **values):
    """Landmarks of the mesh itself in the picture: exact where a tracker guesses."""
    state = resolve(ExpressionEdit(values), portrait.own_weights)
    vertices = portrait._contact.apply(portrait._shape(state.weights), 0.0)
    return portrait._asset.landmarks(portrait._place(vertices, HeadPose(), 0.0))


def between_lips(portrait, **values):
    """Return the lightness along the middle of the opening, from the upper to the lower lip."""
    marks = lips_of(portrait, **values)
    x, top, bottom = int(marks[13, 0]), int(np.ceil(marks[13, 1])), int(marks[14, 1])
    return drawn(portrait, **values)[top : bottom + 1, x - 1 : x + 2].astype(float).mean(1) @ LUMA


def mouth_area(face, picture, grow=0.35):
    marks = face.landmarks[:, :2]
    half = (marks[291, 0] - marks[61, 0]) * (0.5 + grow)
    x, y = marks[[13, 14]].mean(0)
    return picture[int(y - half) : int(y + half), int(x - half) : int(x + half)].astype(int)


# -- teeth ----------------------------------------------------------------


def test_upper_teeth_cover_two_millimetres_of_the_lower_and_part_by_the_jaw(asset):
    teeth = Teeth(asset, asset.mean_at_landmarks)
    weights = np.zeros(52, np.float32)

    def gap_mm():
        upper, lower = teeth.pose(weights)
        return (teeth.edge_of(upper)[1] - teeth.edge_of(lower)[1]) * asset.millimetres_per_unit / teeth.size

    assert gap_mm() == pytest.approx(-2.0, abs=0.1)
    weights[INDEX["jawOpen"]] = 0.12
    assert gap_mm() > 0.5


@pytest.mark.parametrize("jaw", [0.12, 0.2, 0.3])
def test_dark_or_tongue_lies_under_the_upper_row_when_the_jaw_has_opened(shut, jaw):
    line = between_lips(shut, jawOpen=jaw)
    tooth = int(np.argmax(line[: len(line) // 2 + 1]))
    assert line[tooth] > 60
    assert line[tooth:].min() < 0.5 * line[tooth]


def test_a_wide_open_mouth_has_a_roof_before_its_throat(shut):
    """To the side of the middle: teeth, the roof in some light, the dark throat under its arch, the tongue."""
    marks = lips_of(shut, jawOpen=0.8)
    across = marks[291, 0] - marks[61, 0]
    x, top, bottom = (
        int(marks[13, 0] + 0.09 * across), int(np.ceil(marks[13, 1])), int(marks[14, 1])
    )  # fmt: skip
    line = drawn(shut, jawOpen=0.8)[top : bottom + 1, x - 1 : x + 2].astype(float).mean(1) @ LUMA
    gap = len(line)
    throat = int(0.3 * gap) + int(np.argmin(line[int(0.3 * gap) : int(0.75 * gap)]))
    roof = line[int(0.2 * gap) : throat].max()
    tongue = line[throat : int(0.95 * gap)].max()
    assert line[throat] < 0.72 * roof  # .64; .77 where all behind the teeth is one dark
    assert tongue > roof


def test_the_roof_of_a_wide_open_mouth_darkens_to_its_sides(shut):
    """The insides of the cheeks lie in the dark; lit, the roof would stand there like two wings."""
    marks = lips_of(shut, jawOpen=0.8)
    width, height = marks[291, 0] - marks[61, 0], marks[14, 1] - marks[13, 1]
    picture = drawn(shut, jawOpen=0.8).astype(float) @ LUMA
    row = picture[int(marks[13, 1] + 0.27 * height) : int(marks[13, 1] + 0.33 * height)].mean(0)

    def light(share):
        return [row[int(marks[13, 0] + side * share * width) + np.arange(-1, 2)].mean() for side in (-1, 1)]

    assert np.mean(light(0.28)) < 0.75 * np.mean(light(0.06))  # .60; .94 where the sides are as light as the middle


def test_no_pixel_stands_out_at_the_corners_of_a_wide_open_mouth(shut, shut_face):
    """Triangles fold there into slivers that lie over each other: a bright pixel here, a dark one there."""
    eye = np.linalg.norm(shut_face.landmarks[33, :2] - shut_face.landmarks[263, :2])
    reach = round(0.06 * eye)
    picture = drawn(shut, jawOpen=0.8)
    light = picture.astype(float) @ LUMA
    odd = light - cv2.medianBlur(picture, 5).astype(float) @ LUMA  # brighter, for dark is the opening's own edge
    for x, y in lips_of(shut, jawOpen=0.8)[[61, 291], :2].round().astype(int):
        window = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
        bright = light[window] > 100  # lips, not the edge of the dark
        assert (odd[window][bright] > 15).sum() <= 2  # 6 where slivers are left as they are


def opening_drawn(portrait, **values):
    """Return the curves between which the mouth is drawn."""
    weights = resolve(ExpressionEdit(values), portrait.own_weights).weights
    vertices = portrait._contact.apply(portrait._shape(weights), 0.0)
    return portrait._mouth._curves.of(portrait._place(vertices, HeadPose(), 0.0), 9.0)


def corner_height(portrait, **values):
    """Return how far below the upper lip the corners of the opening lie, as a share of its height."""
    marks = lips_of(portrait, **values)
    return float((marks[[78, 308], 1].mean() - marks[13, 1]) / (marks[14, 1] - marks[13, 1]))


def test_the_corners_of_a_wide_open_mouth_lie_between_its_lips(shut):
    """Left in its upper quarter they make it a bowl with a lid, pointed at both ends."""
    assert 0.40 < corner_height(shut, jawOpen=0.8) < 0.55  # .27 before
    assert corner_height(shut, jawOpen=0.5, smile=1.0) < corner_height(shut, jawOpen=0.5) - 0.1  # a laugh's stay up


def test_a_wide_open_mouth_is_round_at_its_sides(shut):
    """Over its outer quarters a rounded end opens above as below; a bowl opens below alone."""
    opening = opening_drawn(shut, jawOpen=0.8)
    quarter = len(opening.u) // 8
    for end, inner in ((0, quarter), (-1, -1 - quarter)):
        corner = (opening.top[end] + opening.bottom[end]) / 2
        above, below = corner - opening.top[inner], opening.bottom[inner] - corner
        assert above > 0.4 * below  # .1 before


@pytest.mark.parametrize("jaw", [0.12, 0.15])
def test_no_black_line_lies_between_rows_that_have_just_parted(shut, jaw):
    """The tongue lies against them."""
    line = between_lips(shut, jawOpen=jaw)
    tooth = int(np.argmax(line[: len(line) // 2 + 1]))
    assert line[tooth:-1].min() > 0.40 * line[tooth]  # .34 where there is only the throat


def test_lips_beside_the_corners_of_an_open_mouth_end_in_a_rim(shut):
    """There is little red there: without a rim skin ends at the hole like paper."""
    opening = opening_drawn(shut, jawOpen=0.6)
    picture = drawn(shut, jawOpen=0.6).astype(float) @ LUMA
    for k in (8, len(opening.u) - 9):

        def light(far_mm, k=k):
            below = opening.bottom[k] + far_mm * shut._mouth._mm
            x, y = opening.origin + opening.u[k] * opening.axis + below * opening.down
            return picture[round(y), round(x)]

        assert light(1.0) < 0.8 * light(7.0)


@pytest.mark.parametrize("row", [UPPER, LOWER])
def test_no_tooth_mirrors_its_counterpart(row):
    unlike = 0
    for start, width in row[0, :3, :2]:
        middle, found = start + width / 2, np.zeros((2, 4), np.float32)
        heights = np.arange(-1.5, 2.5, 0.02)
        edges = []
        for side in (0, 1):
            s = (2 * side - 1) * middle
            cover = [mouth_shading._tooth(s, h, row, 0.02, False, found[side]) for h in heights]
            edges.append(heights[int(np.argmax(np.array(cover) > 0.5))])
        assert abs(edges[0] - edges[1]) < 0.8, "a gap between teeth is no even denture either"
        unlike += abs(edges[0] - edges[1]) > 0.08 or abs(found[0, 0] - found[1, 0]) > 0.02
    assert unlike == 3


def test_lips_show_little_of_the_lower_row_unless_the_lower_lip_is_pulled_down():
    weights = np.zeros(52, np.float32)
    _, down = hidden_by_lips(6.0, weights)
    assert 6.0 - down <= 2.0
    weights[[INDEX["mouthLowerDownLeft"], INDEX["mouthLowerDownRight"]]] = 1.0
    assert hidden_by_lips(6.0, weights)[1] < down


def test_drawn_teeth_take_the_light_of_the_photo(animator, shut_photo, shut_face, shut):
    dim = np.ascontiguousarray((shut_photo * 0.45).astype(np.uint8))
    darker = animator.prepare(dim, shut_face)
    bright, dark = (between_lips(p, jawOpen=0.15).max() for p in (shut, darker))
    assert dark < 0.65 * bright


def test_teeth_fade_in_and_nothing_pops_as_the_mouth_opens(shut, shut_face):
    pictures = [mouth_area(shut_face, drawn(shut, jawOpen=v)) for v in np.arange(0.01, 0.16, 0.01)]
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(pictures)])
    assert steps.max() < 2.2 * np.median(steps)


# -- opening ----------------------------------------------------------------


def test_the_edge_of_the_opening_is_covered_by_fractions(shut, shut_face):
    """One sample per pixel makes steps: the lower lip's edge would jump by whole pixels from column to column."""
    picture = drawn(shut, jawOpen=0.35)
    marks = lips_of(shut, jawOpen=0.35)
    columns = np.arange(int(marks[87, 0]), int(marks[317, 0]))
    edges = []
    for x in columns:
        y = int(np.interp(x, marks[[87, 14, 317], 0], marks[[87, 14, 317], 1]))
        line = picture[y - 6 : y + 7, x].astype(float) @ LUMA
        level = (line[:3].mean() + line[-3:].mean()) / 2
        k = int(np.argmax(line > level))
        edges.append(y - 6 + k - (line[k] - level) / max(line[k] - line[k - 1], 1e-3))
    bend = np.diff(np.array(edges), 2)
    assert np.abs(bend).mean() < 0.15


def opening_of(asset, name, amount=1.0):
    """Return the gap at each inner-lip pair, and the mouth's width, of an action alone; mm."""
    marks = asset.mean_at_landmarks + amount * asset.actions_at_landmarks[INDEX[name]]
    rest = asset.mean_at_landmarks
    gap = [(marks[u, 1] - marks[d, 1]) - (rest[u, 1] - rest[d, 1]) for u, d in INNER_LIP_PAIRS]
    width = marks[291, 0] - marks[61, 0]
    return np.array(gap) * asset.millimetres_per_unit, float(width) * asset.millimetres_per_unit


def test_funnel_is_a_ring(asset):
    gap, width = opening_of(asset, "mouthFunnel")
    _, rest = opening_of(asset, "mouthFunnel", 0.0)
    assert width < 0.86 * rest
    assert gap[4] > 8
    assert max(abs(gap[0]), abs(gap[-1])) < 0.1 * gap[4]  # the lips touch beside the hole
    assert gap[3] > 0.85 * gap[4]  # which is round


def test_the_sides_of_a_funnels_hole_lie_midway_between_its_lips(asset):
    """With its corners left at the line of the lips it is a bowl: flat above, pointed below."""
    height = (asset.mean_at_landmarks + asset.actions_at_landmarks[INDEX["mouthFunnel"]])[:, 1]
    sides = np.mean([height[list(INNER_LIP_PAIRS[k])].mean() for k in (0, -1)])
    assert 0.4 < (height[13] - sides) / (height[13] - height[14]) < 0.6


def test_lips_pushed_out_into_a_ring_do_not_laugh(portrait):
    """Of a laughing photo the funnel takes the laugh back: the mouth gets narrow, and not as high as both together."""
    own, ring = lips_of(portrait), lips_of(portrait, mouthFunnel=1.0)
    width = np.linalg.norm(ring[61, :2] - ring[291, :2]) / np.linalg.norm(own[61, :2] - own[291, :2])
    assert width < 0.78
    gap, own_gap = ((m[14, 1] - m[13, 1]) / portrait._mouth._mm for m in (ring, own))
    assert 6 < gap < own_gap + 6


@pytest.mark.parametrize("name", ["mouthFunnel", "mouthPucker"])
def test_own_teeth_stay_teeth_behind_rounded_lips(portrait, photo, face, name):
    """They get darker under the lip, which stands before them like a roof; a gray denture is no one's."""
    x, y = face.landmarks[13, :2]
    eye = np.linalg.norm(face.landmarks[33, :2] - face.landmarks[263, :2])
    teeth = np.s_[int(y + 0.03 * eye) : int(y + 0.06 * eye), int(x - 0.05 * eye) : int(x + 0.05 * eye)]
    own, rounded = (p[teeth].astype(float) @ LUMA for p in (photo, drawn(portrait, **{name: 0.8})))
    assert np.percentile(rounded, 90) > 0.68 * np.median(own)


@pytest.mark.parametrize("name", ["mouthUpperUp", "mouthLowerDown"])
@pytest.mark.parametrize("side", ["Left", "Right"])
def test_one_raised_lip_leaves_its_corner_shut(asset, name, side):
    gap, _ = opening_of(asset, name + side)
    corner = gap[-1] if side == "Left" else gap[0]
    assert corner < 0.5 * gap.max()


def test_closing_undoes_the_jaw_weight_for_weight(asset):
    jaw, _ = opening_of(asset, "jawOpen")
    close, _ = opening_of(asset, "mouthClose")
    assert np.abs(jaw + close).max() < 0.8


def test_closing_shut_lips_leaves_them_where_they_are(shut, shut_photo, shut_face):
    before, after = mouth_area(shut_face, shut_photo), mouth_area(shut_face, drawn(shut, mouthClose=1.0))
    assert np.abs(after - before).mean() < 5.0


def test_an_open_jaw_is_sealed_by_as_much_closing(shut):
    marks, own = lips_of(shut, jawOpen=0.5, mouthClose=0.5), lips_of(shut)
    eye = np.linalg.norm(marks[33, :2] - marks[263, :2])
    for upper, lower in INNER_LIP_PAIRS:
        more = (marks[lower, 1] - marks[upper, 1]) - (own[lower, 1] - own[upper, 1])
        assert more / eye * 88.9 < 1.0


@pytest.mark.parametrize("jaw", [0.0, 0.2, 0.5, 1.0])
def test_as_much_closing_as_jaw_seals_a_laugh_too(portrait, jaw):
    """Of the photo's own gap the raised upper lip is a part, which undoing the jaw alone leaves."""

    def gap_mm(close):
        weights = resolve(ExpressionEdit({"jawOpen": jaw, "mouthClose": close}), portrait.own_weights).weights
        vertices = portrait._contact.apply(portrait._shape(weights), portrait._seal_of(weights))
        placed = portrait._place(vertices, HeadPose(), 0.0)
        return portrait._mouth._curves.of(placed, 9.0).gap.max() / portrait._mouth._mm

    enough = max(jaw, SEALED_BY)
    assert gap_mm(enough) < 0.6 < gap_mm(0.5 * enough) < gap_mm(0.0)


def test_sealed_lips_show_nothing_of_the_inside(shut, portrait):
    """P, B and M: whatever the other weights, a full seal leaves no opening to draw."""
    for p in (shut, portrait):
        for values in ({"jawOpen": 0.3}, {"jawOpen": 0.15, "smile": 0.6}, {"mouthFunnel": 0.5, "jawOpen": 0.1}):
            weights = resolve(ExpressionEdit(values), p.own_weights).weights
            vertices = p._contact.apply(p._shape(weights), 1.0)
            opening = p._mouth._curves.of(p._place(vertices, HeadPose(), 0.0), 9.0)
            assert opening.gap.max() / p._mouth._mm < 0.6


def test_a_smile_folds_the_cheek_without_a_streak_of_light(shut):
    """The mesh's folds are coarser than skin's: their whole shading is a yellow streak beside a gray patch."""
    drawn(shut, smile=1.0)
    light = shut._maps[..., 2][shut._tag > 0]
    assert light.max() < 1.04  # 1.10 before
    assert 0.90 < light.min() < 0.98  # .86 before; a fold there is


@pytest.mark.parametrize("mark", [13, 2])  # the upper lip before the lower one, the nose before the lip
def test_a_short_fold_ends_softly(shut, mark):
    """Lips and nose fold by a few pixels of the photo only: drawn with one sample per pixel they met in steps."""
    drawn(shut, mouthPucker=0.8)
    eye = shut._fit.eye_distance
    points = shut._mesh[:, :2] - shut._box[:2]
    x, y = shut._asset.landmarks(points)[mark].round().astype(int)
    shut._tag[:] = 1
    shut._maps[..., 0], shut._maps[..., 1] = np.meshgrid(*(np.arange(n) for n in shut._tag.shape[::-1]))
    shut._maps[y:, :, 1] += 0.025 * eye  # what is below comes from further down
    shut._rgba[:y], shut._rgba[y:] = 40.0, 200.0
    shut._soften_lips_and_nose(points)
    assert 60 < shut._rgba[y - 1, x, 0] < shut._rgba[y, x, 0] < 180
    assert shut._rgba[y - 1, 2, 0] == 40  # beside them nothing is smoothed


# -- tongue -------------------------------------------------------------------


def test_tongue_comes_out_over_the_lower_lip(shut, shut_face):
    marks = lips_of(shut, tongueOut=1.0)
    x, y = marks[17, :2]
    eye = np.linalg.norm(marks[33, :2] - marks[263, :2])
    with_tongue = drawn(shut, tongueOut=1.0)
    without = drawn(shut, jawOpen=0.2)
    below = np.s_[int(y + 0.02 * eye) : int(y + 0.06 * eye), int(x - 0.05 * eye) : int(x + 0.05 * eye)]
    assert np.abs(with_tongue[below].astype(int) - without[below]).mean() > 12
    color = with_tongue[below].reshape(-1, 3).mean(0)
    assert color[0] > 1.25 * color[1]


def painted_tongue(scale=1.0):
    """Paint a tongue of 22 mm across whose root is at v = 40 and its tip at 230; return color and coverage."""
    size = round(300 * scale)
    frame = np.array([size / 2, 0.0, 1.0, 0.0, -144.0 * scale, 3.0 * scale, 8.0 * scale, 1.0, 1.0])
    out = np.zeros((size, size, 4), np.float32)
    top, color = np.full(97, 20.0 * scale), np.array([200.0, 90.0, 90.0])
    mouth_shading.paint_tongue(frame, top, 40.0 * scale, 230.0 * scale, 88.0 * scale, color, out)
    return out[..., :3] / np.maximum(out[..., 3:], 1e-3), out[..., 3]


def test_a_tongue_comes_out_of_the_dark_and_lies_on_the_chin():
    color, cover = painted_tongue()
    middle = color[:, 150 + 25, 0]
    assert middle[46] < 0.5 * middle[150], "dark at its root, not cut off"
    assert np.diff(middle[44:110]).max() < 12, "no edge across it"
    assert cover[150, 150] == pytest.approx(1.0, abs=0.01)
    assert 0.1 < cover[150, 150 + 86] < 0.6, "a shadow beside it"
    assert color[150, 150 + 86].max() < 5
    assert cover[232:, 150].max() < 0.5, "nothing hangs from its tip"
    assert cover[150, 5] < 0.02


def test_a_tongue_is_flesh_and_not_plastic():
    """Fine bumps all over it, the same at every size; no glare that is alike on both sides."""
    color, _ = painted_tongue()
    part = color[120:200, 110:190, 0]
    fine = part - cv2.GaussianBlur(part, (0, 0), 6)
    assert 0.01 < fine.std() / part.mean() < 0.08
    left, right = color[150:215, 90:150, 0], color[150:215, 151:211, 0][:, ::-1]
    assert np.abs(left - right).mean() > 2.0
    half = cv2.resize(painted_tongue(0.5)[0], (300, 300), interpolation=cv2.INTER_LINEAR)
    assert np.abs(half[120:200, 110:190] - color[120:200, 110:190]).mean() < 3


def test_invented_teeth_are_warm_enough_not_to_look_green_between_red_lips(shut):
    teeth = shut._mouth.palette.teeth
    assert teeth[0] > 1.08 * teeth[1]
    assert teeth[2] < teeth[1]


# -- the photo's own mouth ------------------------------------------------------


def mouth_picture(rows):
    """Paint a mouth 160 x 60 pixels of horizontal bands (share of the height, gray) into skin."""
    picture = np.full((140, 240, 3), (200, 140, 120), np.float32)
    for x in range(40, 201):
        half = 30 * np.sqrt(max(1 - ((x - 120) / 80) ** 2, 0))
        for y in range(int(70 - half), int(70 + half)):
            share = (y - (70 - half)) / max(2 * half, 1)
            picture[y, x] = next(gray for end, gray in rows if share <= end)
    u = np.linspace(-80, 80, 97)
    half = 30 * np.sqrt(np.clip(1 - (u / 80) ** 2, 0, 1))
    opening = Opening(np.array([120.0, 70.0]), np.array([1.0, 0.0]), u, -half, half)
    return cv2.GaussianBlur(picture, (0, 0), 0.8), opening


def test_own_rows_are_split_at_the_dark_line_between_them():
    picture, opening = mouth_picture([(0.45, 225.0), (0.6, 40.0), (1.0, 205.0)])
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    assert own.shows_upper
    assert own.shows_lower
    middle = own._lower[:, 120 - own._corner[0]]
    assert middle[70 - own._corner[1] - 12] < 0.1  # the upper row stays with the skull
    assert middle[70 - own._corner[1] + 18] > 0.9


@pytest.mark.parametrize("rows", [[(1.0, 225.0)], [(0.25, 90.0), (1.0, 225.0)], [(0.55, 225.0), (1.0, 30.0)]])
def test_one_row_of_own_teeth_is_never_torn(rows):
    picture, opening = mouth_picture(rows)
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    assert own.shows_upper
    assert not own.shows_lower


def test_a_dark_open_mouth_has_no_teeth_of_its_own():
    picture, opening = mouth_picture([(1.0, 35.0)])
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    assert not own.shows_upper
    assert own.share(0.0) == 1.0
    assert own.share(3.0) == 0.0


def test_a_raised_lip_shows_gum_above_own_teeth_instead_of_longer_teeth():
    picture, opening = mouth_picture([(1.0, 225.0)])
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    rest = np.eye(3)[:, :2]
    box = (60, 15, 180, 60)
    shown = own.lay_upper(np.zeros((45, 120, 3), np.float32), box, rest, 6.0, 0.0, np.full((45, 120), 9.0, np.float32))
    teeth, gum = shown[48 - 15, 60], shown[32 - 15, 60]  # three millimetres below the photo's own lip and above it
    assert np.ptp(teeth) < 3  # as gray as they were painted
    assert teeth.mean() > 150
    assert gum[0] > 1.4 * gum[1]
    assert 30 < gum.mean() < 0.6 * teeth.mean()


def test_a_mouth_that_shows_a_tooth_or_two_gets_a_whole_row():
    """A block of own teeth in an otherwise dark mouth is no row that could be kept."""
    picture, opening = mouth_picture([(1.0, 40.0)])
    picture[45:60, 86:154] = 225.0
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    assert not own.shows_upper
    assert own.share(3.0) == 0.0
    still = np.eye(3)[:, :2]
    deep = np.full((60, 160), 9.0, np.float32)
    shown = own.lay_upper(np.zeros((60, 160, 3), np.float32), (40, 40, 200, 100), still, 0.5, 0.0, deep)
    assert shown[52 - 40, 120 - 40].mean() > 120  # seen as long as the lips have hardly moved


def test_an_own_lower_row_gives_way_to_a_drawn_one_before_it_becomes_a_line():
    """The photo shows the tips of the lower teeth; on a dropped jaw they were a line across the tongue."""
    picture, opening = mouth_picture([(0.45, 225.0), (0.6, 40.0), (1.0, 205.0)])
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    empty, box, jaw = np.zeros((70, 160, 3), np.float32), (40, 40, 200, 110), np.eye(3)[:, :2]
    assert own.lower_share(0.5) == 1.0
    assert own.lay_lower(empty, box, jaw, 0.5, 0.0)[45, 80].mean() > 150
    assert own.lower_share(6.0) == 0.0
    assert own.lay_lower(empty, box, jaw, 6.0, 0.0).max() == 0.0


def test_own_teeth_behind_a_ring_lie_in_the_warm_shade_of_the_lip():
    """Teeth that are only grayer than the photo's look like plaster."""
    picture, opening = mouth_picture([(1.0, 225.0)])
    own = OwnMouth(picture, opening, 3.0, PALETTE)
    empty, box, skull = np.zeros((60, 160, 3), np.float32), (40, 40, 200, 100), np.eye(3)[:, :2]
    near, far = (own.lay_upper(empty, box, skull, 6.0, 1.0, np.full((60, 160), mm, np.float32))[30, 80]
                 for mm in (0.5, 8.0))  # fmt: skip
    assert near @ LUMA < 0.62 * (far @ LUMA)
    assert near[0] / near[2] > 1.15 * far[0] / far[2]


def test_a_photo_that_laughs_already_shows_no_dark_band_above_its_teeth(portrait):
    """More of a laugh takes the lips up the teeth by little: there is no more of them to be shown."""
    state = resolve(ExpressionEdit({"smile": 1.0}), portrait.own_weights)
    mm = portrait._asset.millimetres_per_unit
    ways = [portrait._asset.landmarks(v) for v in (portrait._shape(state.weights), portrait._own_vertices)]
    raised = (ways[0] - ways[1])[:, 1] * mm
    assert 0.2 < raised[13] < 1.3  # 2.2 before
    assert 0.8 < raised[[78, 308]].mean() < 3.5  # the corners still rise


def test_a_tongue_comes_out_of_a_laugh(animator, analyser, portrait):
    """A photo whose jaw is open further than a tongue asks for, and whose lips therefore hardly move."""
    laughing = drawn(portrait, jawOpen=0.4)
    open_wide = animator.prepare(laughing, analyser.detect(laughing)[0])
    assert open_wide.own_weights[INDEX["jawOpen"]] > 0.2
    picture = drawn(open_wide, tongueOut=1.0).astype(float)
    lips = lips_of(open_wide, tongueOut=1.0)
    x, y = round(float(lips[14, 0])), round(float(lips[14, 1]))
    tongue = picture[y - 2 : y + 6, x - 5 : x + 6].mean((0, 1))
    wanted = open_wide._mouth.palette.tongue
    assert np.abs(tongue / tongue.sum() - wanted / wanted.sum()).max() < 0.06


def test_a_full_cheek_is_no_pouch_at_the_jaw(shut, shut_face):
    """Seen from the front the cheeks come forward; a square jaw is another person's."""
    chin, nose = (int(shut_face.landmarks[k, 1]) for k in (152, 1))
    eye = float(np.linalg.norm(shut_face.landmarks[33, :2] - shut_face.landmarks[263, :2]))

    def outline(weights):
        person = shut.render_with_alpha(FaceState(weights))[nose:chin, :, 3] > 127
        return np.stack([person.argmax(1), person[:, ::-1].argmax(1)])

    full = resolve(ExpressionEdit({"cheekPuff": 1.0}), shut.own_weights).weights
    assert (outline(shut.own_weights) - outline(full)).max() < 0.06 * eye  # .14 with pouches


def test_a_hint_of_a_tongue_does_not_tear_a_shut_laugh_open(portrait):
    weights = portrait.own_weights.copy()
    weights[INDEX["jawOpen"]] = 0.0
    shut_jaw = portrait._held(weights)[INDEX["jawOpen"]]
    weights[INDEX["tongueOut"]] = 0.3  # as for TH
    assert portrait._held(weights)[INDEX["jawOpen"]] < shut_jaw + 0.07


def test_a_laughing_photos_teeth_stay_on_the_skull_while_the_jaw_drops(portrait, photo, face):
    """The teeth of the photo are seen once, where they were, with dark below them."""
    marks = face.landmarks
    x, y = marks[13, :2]
    eye = np.linalg.norm(marks[33, :2] - marks[263, :2])
    columns = slice(int(x - 0.06 * eye), int(x + 0.06 * eye))
    teeth = np.s_[int(y + 0.03 * eye) : int(y + 0.07 * eye), columns]
    open_wide = drawn(portrait, jawOpen=0.4)
    assert np.abs(open_wide[teeth].astype(int) - photo[teeth]).mean() < 14
    opened = lips_of(portrait, jawOpen=0.4)
    low = int(opened[14, 1])
    dark = open_wide[int(y + 0.16 * eye) : low - 1, columns].astype(float) @ LUMA
    assert dark.mean() < 0.5 * (photo[teeth].astype(float) @ LUMA).mean()


def test_lips_back_at_their_old_gap_but_elsewhere_are_drawn_whole(portrait, face):
    """An open mouth of the same height in another place is no longer the photo's own."""
    weights = portrait.own_weights.copy()
    own_gap = float(weights @ portrait.mouth.gap_per_weight_mm)
    weights[:] *= np.where(np.isin(np.arange(52), [INDEX[f"mouthUpperUp{s}"] for s in ("Left", "Right")]), 0.0, 1.0)
    lost = own_gap - float(weights @ portrait.mouth.gap_per_weight_mm)
    weights[INDEX["jawOpen"]] += lost / float(portrait.mouth.gap_per_weight_mm[INDEX["jawOpen"]]) + 0.08
    state = FaceState(weights.astype(np.float32), HeadPose())
    vertices = portrait._contact.apply(portrait._shape(state.weights), 0.0)
    lips = portrait._mouth._lips(vertices) - portrait._mouth._own_lips
    moved_mm = float(np.abs(lips).max()) * portrait._asset.millimetres_per_unit
    assert moved_mm > 2.0


def painted(gap_mm):
    """Paint a mouth 40 mm wide without teeth and read the middle of its opening, at four pixels a millimeter."""
    u = np.linspace(-80, 80, 97)
    half = 2 * gap_mm * np.sqrt(np.clip(1 - (u / 80) ** 2, 0, 1))
    frame = np.array([90.0, 40.0, 1.0, 0.0, u[0], u[1] - u[0], 4.0, 1.0, 1.0])
    none, places = np.zeros((80, 180), np.uint8), np.zeros((80, 180, 2), np.float32)
    out = np.zeros((80, 180, 4), np.float32)
    colors = np.stack([PALETTE.teeth, PALETTE.gum, PALETTE.tongue, PALETTE.throat])
    state = np.array([-20.0, 20.0, 0.0, 0.0, 1.0, 1.0, 20.0])
    mouth_shading.paint(frame, -half, half, none, places, none, places, UPPER, LOWER, colors, state, out)
    return out[40, 90, :3] / out[40, 90, 3]


def test_a_slit_between_the_lips_shows_their_insides_not_the_throat():
    """Black there is a cut, most of all in a painting whose lips show no dark line."""
    slit, wider = painted(0.6), painted(5.0)
    assert 0.3 < slit @ LUMA / (PALETTE.gum @ LUMA) < 0.6
    assert wider @ LUMA < 0.7 * (slit @ LUMA)
