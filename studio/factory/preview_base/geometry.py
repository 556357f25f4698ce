"""The shapes of a rendered portrait: head, hair, glasses, posed for one picture.

Everything hangs on the rig's head mesh. Hair is a shell over the scalp made of
strands that run from the crown to the hairline and, when long, on down to the
shoulders; glasses are two tubes on the bridge of the nose. Texture is not
stored: every vertex carries its place on the average head, and the shading
looks up what belongs there (brows, lips, wrinkles, beard).

Head space: x to the picture's right, y up, z to the viewer, eyes' middle at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX
from studio.engines.rig import kernels
from studio.engines.rig.asset import REGIONS, HeadAsset, load_head, load_macros
from studio.factory.preview_base.people import RenderedPerson, RenderedPicture
from studio.factory.preview_base.shading import age_map

Array = NDArray[Any]

AROUND, SCALP_ROWS, HANGING_ROWS = 72, 22, 14
_HAIR_ROWS = SCALP_ROWS + HANGING_ROWS
_SKULL_CENTRE = np.array([0.0, 0.15, -0.62], np.float32)
_PIVOT = np.array([0.0, -0.75, -0.55], np.float32)
# Angle from the crown (degrees) at which the hair ends, by angle from the front; read off the average head.
_HAIRLINE_AROUND = (0.0, 25.0, 45.0, 60.0, 74.0, 84.0, 96.0, 108.0, 125.0, 150.0, 180.0)
_HAIRLINE = (54.0, 53.0, 57.0, 70.0, 84.0, 92.0, 92.0, 100.0, 120.0, 129.0, 131.0)
_SIDEBURN = (54.0, 53.0, 57.0, 70.0, 92.0, 106.0, 96.0, 102.0, 121.0, 130.0, 132.0)  # short hair on the skin
_BROW_UPPER, _BROW_LOWER = (70, 63, 105, 66, 107), (46, 53, 52, 65, 55)


@dataclass(frozen=True)
class Layer:
    """Triangles with everything the shading needs.

    Attributes:
        points: in head space, posed.  # (V, 3)
        triangles: (T, 3) int32
        tags: small number per triangle, see `shading`.  # (T,) uint8
        attributes: interpolated values.  # (V, C)
    """

    points: Array
    triangles: Array
    tags: Array
    attributes: Array


@dataclass(frozen=True)
class HeadParts:
    """What is computed once per process from the head asset."""

    asset: HeadAsset
    identity: Array  # (K, V * 3)
    macros: dict[str, Array]
    front_triangles: Array
    front_tags: Array
    occlusion: Array  # (V,) 0..1, 1 open to the sky
    beard: Array  # (V,) 0..1
    scalp: Array  # (V, 2) angle from the front and from the crown in degrees
    ages: Array  # see `shading.age_map`
    brows: Array  # (5, 2) x, y of the brow's middle line at the picture's right, nose outwards
    eye_centre: Array  # (3,) of the eye at the picture's right
    eye_radius: float
    scalp_rows: Array  # (AROUND * n, 8) vertices under every point of a fine angular grid
    scalp_weights: Array
    hair_triangles: Array
    ring_triangles: Array
    inside: Array  # vertex rows behind the lips


@lru_cache(maxsize=2)
def head_parts(head_file: Path) -> HeadParts:
    """Prepare the head asset for drawing; about a quarter of a second."""
    from scipy.spatial import cKDTree

    asset = load_head(head_file)
    marks = asset.mean_at_landmarks
    brows = (marks[list(_BROW_UPPER)] + marks[list(_BROW_LOWER)])[::-1, :2] / 2 * [-1, 1]
    right_eye = asset.vertices_of("eye_left")  # the subject's left stands at the picture's right
    centre = asset.mean[right_eye].mean(0)
    radius = float(np.linalg.norm(asset.mean[right_eye] - centre, axis=1).max())
    ear = asset.vertices_of("ear")
    above = ear[asset.mean[ear, 1] > 0.17]  # the region reaches far up the side of the head
    skull = np.unique(np.concatenate([asset.vertices_of("skin"), asset.vertices_of("neck"), above]))
    skull = skull[np.abs(asset.mean[skull, 0]) < 0.72]
    directions = asset.mean[skull] - _SKULL_CENTRE
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance, near = cKDTree(directions).query(_grid_directions(), k=8)
    weights = np.exp(-((distance / 0.10) ** 2))
    weights /= weights.sum(1, keepdims=True)
    return HeadParts(
        asset=asset, identity=np.ascontiguousarray(asset.identity.reshape(len(asset.identity), -1)),
        macros=load_macros(head_file), front_triangles=asset.triangles,
        front_tags=(asset.region + 1).astype(np.uint8), occlusion=_occlusion(asset), beard=_beard(asset),
        scalp=_scalp_angles(asset.mean), ages=age_map(),
        brows=brows.astype(np.float32), eye_centre=centre, eye_radius=radius, scalp_rows=skull[near],
        scalp_weights=weights.astype(np.float32), hair_triangles=_sheet(_HAIR_ROWS, AROUND + 1),
        ring_triangles=_sheet(_RING, _TUBE, wrap=True),
        inside=_inside_mouth(asset),
    )  # fmt: skip


_FINE = 90  # rows of the angular grid from the crown to the feet


def _grid_directions() -> Array:
    around = np.linspace(-np.pi, np.pi, AROUND + 1)
    down = np.linspace(0, np.pi, _FINE)
    sin = np.sin(down)[:, None]
    return np.stack([sin * np.sin(around), np.cos(down)[:, None] + 0 * around, sin * np.cos(around)], -1).reshape(-1, 3)


def _sheet(rows: int, columns: int, wrap: bool = False) -> Array:
    """Return the triangles of a grid of vertices; with `wrap` both sides are joined."""
    r, c = np.meshgrid(
        np.arange(rows if wrap else rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij"
    )

    def at(i: Array, j: Array) -> Array:
        return np.asarray((i % rows) * columns + j % columns)

    a, b, d, e = at(r, c), at(r, c + 1), at(r + 1, c), at(r + 1, c + 1)
    return np.stack([np.stack([a, d, b], -1), np.stack([b, d, e], -1)], 2).reshape(-1, 3).astype(np.int32)


def _occlusion(asset: HeadAsset) -> Array:
    """Estimate how open the surface lies, from how far smoothing lifts it: hollows are dark."""
    from scipy.sparse import coo_matrix, diags

    count = len(asset.mean)
    t = asset.triangles
    i = np.concatenate([t[:, 0], t[:, 1], t[:, 2], t[:, 1], t[:, 2], t[:, 0]])
    j = np.concatenate([t[:, 1], t[:, 2], t[:, 0], t[:, 0], t[:, 1], t[:, 2]])
    graph = coo_matrix((np.ones(len(i)), (i, j)), (count, count)).tocsr()
    graph.data[:] = 1
    mix = diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    normals = kernels.vertex_normals(asset.mean, asset.triangles)
    smooth, out = asset.mean.astype(np.float64), np.ones(count)
    for step in range(1, 41):
        smooth = 0.5 * smooth + 0.5 * (mix @ smooth)
        if step in (6, 40):
            lift = ((smooth - asset.mean) * normals).sum(1)
            out *= 1 - np.clip(lift * (7 if step == 6 else 4), 0, 0.55)
    return out.astype(np.float32)


def _inside_mouth(asset: HeadAsset) -> Array:
    """Return the vertices of the mouth that the skin does not share."""
    inner = asset.vertices_of("mouth_interior", "teeth_upper", "teeth_lower", "tongue")
    inner = np.setdiff1d(inner, asset.vertices_of("skin"))
    return np.asarray(inner[asset.lips[inner] < 0.05])


def _beard(asset: HeadAsset) -> Array:
    """Say how much of a full beard grows at each place of the average head; none inside the mouth."""
    mean = asset.mean
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    upper = np.interp(x, (0.0, 0.12, 0.22, 0.34, 0.48, 0.60, 0.64), (-0.44, -0.46, -0.56, -0.66, -0.56, -0.30, -0.10))
    below_jaw = y + 0.85 + z  # negative on the neck
    out = np.clip((upper - y) / 0.16 + 0.15, 0, 1) * np.clip((z + 0.52) / 0.16, 0, 1)
    out *= np.clip((below_jaw + 0.36) / 0.24, 0, 1)
    out[asset.vertices_of("mouth_interior", "teeth_upper", "teeth_lower", "tongue")] = 0
    return np.asarray(out)


def _scalp_angles(mean: Array) -> Array:
    """Return where on the scalp every place lies: degrees from the front and from the crown.  # (V, 2)"""
    out = mean - _SKULL_CENTRE
    down = np.degrees(np.arccos(out[:, 1] / (np.linalg.norm(out, axis=1) + 1e-9)))
    return np.stack([np.degrees(np.abs(np.arctan2(out[:, 0], out[:, 2]))), down], 1)


def _roots(parts: HeadParts, person: RenderedPerson) -> Array:
    """Say how much hair grows out of each place of the average head, 0..1, thinning towards the hairline."""
    around, down = parts.scalp.T
    edge = np.interp(around, _HAIRLINE_AROUND, _SIDEBURN if person.sex == "man" else _HAIRLINE)
    off_ear = np.clip((0.715 - np.abs(parts.asset.mean[:, 0])) / 0.04, 0, 1)
    return np.asarray(np.clip((edge - down) / 11 + 0.35, 0, 1) * off_ear)


def head_layer(parts: HeadParts, picture: RenderedPicture) -> tuple[Layer, Array]:
    """Return the posed head and its unposed vertices.

    The attributes are place on the average head (3), normal (3), lips, occlusion, beard, roots of the hair.
    """
    vertices = _unposed(parts, picture)
    person = picture.person
    if person.hair_length == "long":
        vertices = _flat_ears(parts, vertices)
    if person.beard == "yes":
        normals = kernels.vertex_normals(vertices, parts.front_triangles)
        outside = np.clip(1 - parts.asset.lips / 0.3, 0, 1)
        vertices = vertices + normals * (parts.beard * outside * 0.075 * person.beard_length)[:, None]
    posed = pose(vertices, picture)
    normals = kernels.vertex_normals(posed, parts.front_triangles)
    attributes = np.concatenate(
        [
            parts.asset.mean,
            normals,
            np.stack([parts.asset.lips, parts.occlusion, parts.beard, _roots(parts, person)], 1),
        ],
        1,
    )
    return Layer(posed, parts.front_triangles, parts.front_tags, attributes.astype(np.float32)), vertices


def _flat_ears(parts: HeadParts, vertices: Array) -> Array:
    """Press the ears to the head, as long hair over them does."""
    head = head_width(parts, vertices)
    x = vertices[:, 0]
    near = np.sign(x) * np.minimum(np.abs(x), head + 0.1 * np.maximum(np.abs(x) - head, 0))
    flat = vertices.copy()
    flat[:, 0] = np.where(vertices[:, 1] > -0.9, near, x)
    return flat


def head_width(parts: HeadParts, vertices: Array) -> float:
    """Return half the width of the head without its ears."""
    marks = parts.asset.landmarks(vertices)
    return float(np.abs(marks[[127, 234, 356, 454], 0]).max())


def _unposed(parts: HeadParts, picture: RenderedPicture) -> Array:
    person = picture.person
    amounts: Array = np.array(person.shape, np.float32)
    for name, amount in (("adult", 1.0), *person.macros):
        amounts = amounts + amount * parts.macros[name]
    vertices = parts.asset.mean + (amounts @ parts.identity).reshape(-1, 3)
    for name, weight in picture.weights:
        vertices += weight * parts.asset.actions[INDEX[name]]
    vertices[parts.inside, 2] -= 0.07  # lips of other shapes than the average may be thinner
    return np.asarray(vertices, np.float32)


def pose(points: Array, picture: RenderedPicture) -> Array:
    """Turn the head above the neck; the shoulders stay."""
    yaw, pitch, roll = np.radians([picture.yaw, picture.pitch, picture.roll])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    turned = (points - _PIVOT) @ (tilt @ turn @ nod).T.astype(np.float32) + _PIVOT
    share = np.clip((points[:, 1:2] + 1.75) / 0.8, 0, 1)
    share = share * share * (3 - 2 * share)
    return np.ascontiguousarray(points + share * (turned - points), np.float32)


def hair_layer(parts: HeadParts, picture: RenderedPicture, vertices: Array) -> Layer | None:
    """Return the posed hair, or None for a bald head.

    The attributes are angle around (-1..1), place along the strand (0 crown .. 1 tip), normal (3), fade (0 at
    the hairline, 1 inside).
    """
    person = picture.person
    if person.hair_length == "bald":
        return None
    strands, fade = _strands(parts, person, vertices)
    triangles = parts.hair_triangles
    triangles = triangles[fade.reshape(-1)[triangles].max(1) > 0]
    points = strands.reshape(-1, 3)
    around = np.broadcast_to(np.linspace(-1, 1, AROUND + 1), strands.shape[:2])
    along = np.broadcast_to(np.linspace(0, 1, _HAIR_ROWS)[:, None], strands.shape[:2])
    plain = np.stack([around, along, fade], -1).reshape(-1, 3)
    if person.hair_length == "bun":
        ball, ball_plain = _bun(strands)
        triangles = np.concatenate([triangles, _sheet(_BUN, _BUN) + len(points)]).astype(np.int32)
        points, plain = np.concatenate([points, ball]), np.concatenate([plain, ball_plain])
    posed = pose(points.astype(np.float32), picture)
    normals = kernels.vertex_normals(posed, triangles)
    attributes = np.concatenate([plain[:, :2], normals, plain[:, 2:]], 1).astype(np.float32)
    return Layer(posed, triangles, np.ones(len(triangles), np.uint8), attributes)


def _strands(parts: HeadParts, person: RenderedPerson, vertices: Array) -> tuple[Array, Array]:
    """Return hair points (rows, around, 3) and how opaque they are (rows, around)."""
    surface = (vertices[parts.scalp_rows] * parts.scalp_weights[..., None]).sum(1).reshape(_FINE, AROUND + 1, 3)
    theta = np.linspace(-180, 180, AROUND + 1)
    front = np.abs(theta)
    long, bun = person.hair_length == "long", person.hair_length == "bun"
    side = _eased((front - 44) / 34) if long else np.zeros(AROUND + 1)  # how much of a strand hangs beside the face
    locks = _locks(person)
    edge = np.interp(front, _HAIRLINE_AROUND, _HAIRLINE) + (2.0 if bun else 3.5) * locks
    edge = edge * (1 - side) + 93.0 * side
    # A fringe comes down in front, more on one side of the parting.
    lean = 1 + 0.75 * np.sign(person.parting) * np.clip(theta / 40, -1, 1)
    recede = {"young": 0.15, "middle-aged": 0.6, "old": 1.0}[person.age] if person.sex == "man" else 0.0
    edge = edge - recede * (2.5 + 8 * (1 - person.fringe) * np.exp(-(((front - 33) / 13) ** 2)))
    fringe = (11 if person.sex == "man" and not long else 16) * person.fringe * lean * (1 + 0.35 * locks)
    edge = edge + (0 if bun else 1) * fringe * _eased((72 - front) / 28)
    rows = np.linspace(0, 1, SCALP_ROWS)[:, None] * edge[None] / 180 * (_FINE - 1)  # (rows, around) grid row
    low = np.minimum(rows.astype(int), _FINE - 2)
    share = (rows - low)[..., None]
    column = np.arange(AROUND + 1)[None]
    scalp = surface[low, column] * (1 - share) + surface[low + 1, column] * share
    out = scalp - _SKULL_CENTRE
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    along = np.linspace(0, 1, SCALP_ROWS)[:, None]
    volume = {"short": 0.85, "long": 0.9, "bun": 0.35}[person.hair_length] * person.volume + 0.03
    taper = np.clip((1 - along) / 0.55, 0, 1) ** 0.7 * np.ones((1, AROUND + 1))
    taper *= 1 - 0.45 * (0 if long else 1) * np.exp(-(((front - 95) / 40) ** 2))[None] * along  # trimmed at the sides
    taper = np.maximum(taper, 0.8 * side)
    parting = 1 - 0.55 * np.exp(-(((theta[None] - 35 * person.parting) / 14) ** 2)) * np.exp(
        -(((along - 0.55) / 0.35) ** 2)
    )
    wave = 1 + 0.18 * person.waves * np.sin(np.radians(theta)[None] * 9 + 7 * along + person.parting * 3)
    wave = wave + 0.22 * locks[None] * along
    scalp = scalp + out * (0.016 + volume * (0.10 + 0.90 * taper) * parting * wave)[..., None]
    fade = np.clip((1 - along) / np.where(front > 70, 0.16, 0.24)[None], 0, 1)
    fade = np.maximum(fade, _eased((side - 0.03) / 0.1)[None])
    hanging = np.repeat(scalp[-1:], HANGING_ROWS, 0)
    tips = np.zeros((HANGING_ROWS, AROUND + 1))
    if long:
        lowest = (head_width(parts, vertices) + 0.06) * np.abs(np.sin(np.radians(theta))) ** 0.6 * along**0.6 * side
        scalp[..., 0] = np.where(np.abs(scalp[..., 0]) < lowest, np.sign(theta) * lowest, scalp[..., 0])
        hanging, tips = _hang(scalp[-1], side, locks, person)
    return np.concatenate([scalp, hanging]), np.concatenate([fade, tips])


def _eased(x: Array) -> Array:
    """Return a soft step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def _locks(person: RenderedPerson) -> Array:
    """Return how far the locks around the head differ, about -1..1, without a seam at the back.  # (around,)"""
    rng = np.random.default_rng(person.texture_seed)
    theta = np.linspace(-np.pi, np.pi, AROUND + 1)
    waves = [np.sin(k * theta + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.2, 0.6) for k in (3, 5, 8, 13, 21)]
    return np.asarray(np.clip(sum(waves), -1.2, 1.2))


def _hang(start: Array, side: Array, locks: Array, person: RenderedPerson) -> tuple[Array, Array]:
    """Return the part of long hair below the scalp and how opaque it is.  # (rows, around, 3), (rows, around)"""
    along = np.linspace(1 / HANGING_ROWS, 1, HANGING_ROWS)[:, None]
    around = np.linspace(-np.pi, np.pi, AROUND + 1)[None]
    bottom = -1.25 - 0.5 * person.volume / 0.2 - 0.35 * (1 - person.fringe) + 0.07 * locks
    drop = (bottom - start[:, 1]) * side ** (1.1 + 0.3 * locks)
    y = start[None, :, 1] + drop[None] * along
    bend = person.waves * np.sin(along * 9 + 3 * around + 2 * locks[None])
    swing = 1 + 0.09 * np.sin(along * 2.6) - 0.10 * along**2 + 0.035 * bend + 0.05 * locks[None] * along
    x = start[None, :, 0] * swing
    z = _SKULL_CENTRE[2] + (start[None, :, 2] - _SKULL_CENTRE[2]) * (1 + 0.08 * np.sin(along * 3.0) + 0.03 * bend)
    z = z + 0.12 * along * np.cos(around)
    hung = np.stack([x, y, z], -1)
    # Only one layer of hair is kept: where a lock at the temple were clear, hair behind it would be missing.
    tips = np.where(side > 0.7, np.clip((1 - along) / 0.18, 0, 1) ** 0.6, 1.0)
    opaque = np.where(side > 0.06, 1.0, 0.0)[None] * tips
    return hung, opaque


_BUN = 18


def _bun(strands: Array) -> tuple[Array, Array]:
    """Return a ball of hair on top of the head."""
    crown = strands[0, 0]
    a, b = np.meshgrid(np.linspace(0, np.pi, _BUN), np.linspace(-np.pi, np.pi, _BUN), indexing="ij")
    ball = np.stack([np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)], -1)
    centre = crown + np.array([0, 0.10, -0.02])
    plain = np.stack([b / np.pi, 0.5 + 0.3 * a / np.pi, np.ones_like(a)], -1)
    return (ball * [0.33, 0.24, 0.30] + centre).reshape(-1, 3), plain.reshape(-1, 3)


_RING, _TUBE = 36, 6


def glasses_layer(parts: HeadParts, picture: RenderedPicture, vertices: Array) -> Layer | None:
    """Return the posed glasses, or None. Attributes are the normals; tag 1 is frame, 2 is lens."""
    if picture.glasses == "no":
        return None
    person = picture.person
    right = vertices[parts.asset.vertices_of("eye_left")].mean(0)
    left = vertices[parts.asset.vertices_of("eye_right")].mean(0)
    marks = parts.asset.landmarks(vertices)
    front = max(float(marks[168, 2]) + 0.055, float(marks[[105, 334], 2].max()) + 0.03)
    pieces: list[Array] = []
    faces: list[Array] = []
    tags: list[Array] = []

    def add(points: Array, triangles: Array, tag: int) -> None:
        faces.append(triangles + sum(len(p) for p in pieces))
        pieces.append(points)
        tags.append(np.full(len(triangles), tag, np.uint8))

    turn = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
    power = 1.0 - 0.55 * (1 - person.frame_roundness)
    rim = np.stack([np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * 0.25,
                    np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * (0.165 + 0.05 * person.frame_roundness),
                    0 * turn], 1)  # fmt: skip
    middle, apart = (left[0] + right[0]) / 2, max((right[0] - left[0]) / 2 + 0.02, 0.30)
    for eye, temple, aside in ((left, marks[127], -1), (right, marks[356], 1)):
        centre = np.array([middle + apart * aside, eye[1] - 0.03, front])
        path = centre + rim
        path[:, 2] -= 0.30 * np.clip((np.abs(path[:, 0] - middle) - 0.25), 0, 1)  # the frame follows the face
        path[:, 2] += 0.10 * (path[:, 1] - centre[1])  # and leans in below
        add(_tube(path, person.frame_thickness, closed=True), parts.ring_triangles, 1)
        fan = np.stack([np.full(_RING, _RING), np.arange(_RING), (np.arange(_RING) + 1) % _RING], 1).astype(np.int32)
        add(np.concatenate([path, centre[None]]), fan, 2)
        hinge = path[np.argmax(path[:, 0] * aside - 0.2 * np.abs(path[:, 1] - centre[1] - 0.08))]
        wide = np.maximum(abs(temple[0]) + 0.01, abs(hinge[0]) + 0.03) * aside
        bow = np.array([hinge, [wide * 0.97, hinge[1] + 0.005, hinge[2] - 0.05], [wide, temple[1] + 0.09, temple[2]],
                        [wide * 1.05, temple[1] + 0.05, temple[2] - 0.42]])  # fmt: skip
        steps = np.linspace(0, 3, 10)
        arm = np.stack([np.interp(steps, np.arange(4), bow[:, k]) for k in range(3)], 1)
        add(_tube(arm, person.frame_thickness * 0.9), _sheet(10, _TUBE, wrap=False), 1)
    arch = np.linspace(-1, 1, 8)
    path = np.stack(
        [
            middle + arch * (apart - 0.245),
            (left[1] + right[1]) / 2 + 0.05 - 0.025 * arch**2 + 0 * arch,
            0 * arch + front + 0.015,
        ],
        1,
    )
    add(_tube(path, person.frame_thickness), _sheet(8, _TUBE), 1)
    posed = pose(np.concatenate(pieces).astype(np.float32), picture)
    triangles = np.concatenate(faces).astype(np.int32)
    return Layer(posed, triangles, np.concatenate(tags), kernels.vertex_normals(posed, triangles))


def _tube(path: Array, radius: float, closed: bool = False) -> Array:
    """Return the skin of a tube along a path, row by row.  # (N * _TUBE, 3)"""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    reference = np.where(np.abs(ahead[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(ahead, reference)
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(ahead, first)
    turn = np.linspace(0, 2 * np.pi, _TUBE, endpoint=False)
    ring = first[:, None] * np.cos(turn)[None, :, None] + second[:, None] * np.sin(turn)[None, :, None]
    return np.asarray(path[:, None] + radius * ring).reshape(-1, 3)


def region_tag(name: str) -> int:
    """Return the number that the triangles of a region carry."""
    return REGIONS.index(name) + 1
