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

Array = NDArray[Any]

AROUND, SCALP_ROWS, HANGING_ROWS = 72, 22, 14
_HAIR_ROWS = SCALP_ROWS + HANGING_ROWS
_SKULL_CENTRE = np.array([0.0, 0.15, -0.62], np.float32)
_PIVOT = np.array([0.0, -0.75, -0.55], np.float32)
# Angle from the crown (degrees) at which the hair ends, by angle from the front; read off the average head.
_HAIRLINE_AROUND = (0.0, 25.0, 45.0, 60.0, 74.0, 84.0, 96.0, 108.0, 125.0, 150.0, 180.0)
_HAIRLINE_SHORT = (54.0, 54.0, 58.0, 72.0, 94.0, 108.0, 96.0, 104.0, 122.0, 130.0, 132.0)
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
    skull = np.concatenate([asset.vertices_of("skin"), asset.vertices_of("neck")])
    skull = skull[np.abs(asset.mean[skull, 0]) < 0.72]
    directions = asset.mean[skull] - _SKULL_CENTRE
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance, near = cKDTree(directions).query(_grid_directions(), k=8)
    weights = np.exp(-((distance / 0.10) ** 2))
    weights /= weights.sum(1, keepdims=True)
    return HeadParts(
        asset=asset, identity=np.ascontiguousarray(asset.identity.reshape(len(asset.identity), -1)),
        macros=load_macros(head_file), front_triangles=asset.triangles,
        front_tags=(asset.region + 1).astype(np.uint8), occlusion=_occlusion(asset), beard=_beard(asset.mean),
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


def _beard(mean: Array) -> Array:
    """Say how much of a full beard grows at each place of the average head."""
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    upper = np.interp(x, (0.0, 0.12, 0.24, 0.36, 0.48, 0.62), (-0.44, -0.47, -0.6, -0.62, -0.5, -0.2))
    return np.clip((upper - y) / 0.1, 0, 1) * np.clip((z + 0.55) / 0.2, 0, 1) * np.clip((y + 1.15) / 0.12, 0, 1)


def head_layer(parts: HeadParts, picture: RenderedPicture) -> tuple[Layer, Array]:
    """Return the posed head and its unposed vertices.

    The attributes are place on the average head (3), normal (3), lips, occlusion, beard.
    """
    vertices = _unposed(parts, picture)
    person = picture.person
    if person.beard == "yes":
        normals = kernels.vertex_normals(vertices, parts.front_triangles)
        outside = (parts.asset.lips < 0.3).astype(np.float32)
        vertices = vertices + normals * (parts.beard * outside * 0.09 * person.beard_length)[:, None]
    posed = pose(vertices, picture)
    normals = kernels.vertex_normals(posed, parts.front_triangles)
    attributes = np.concatenate(
        [parts.asset.mean, normals, np.stack([parts.asset.lips, parts.occlusion, parts.beard], 1)], 1
    )
    return Layer(posed, parts.front_triangles, parts.front_tags, attributes.astype(np.float32)), vertices


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
    edge = np.interp(front, _HAIRLINE_AROUND, _HAIRLINE_SHORT)
    long = person.hair_length == "long"
    bun = person.hair_length == "bun"
    opening = 58.0  # degrees from the front where long hair starts to hang
    side = np.clip((front - opening) / 10, 0, 1)
    if long:
        edge = np.where(side > 0, 92.0, edge)
    # A fringe comes down in front, more on one side of the parting.
    lean = 1 + 0.6 * np.sign(person.parting) * np.clip(theta / 40, -1, 1)
    edge = edge + (0 if bun else 15) * person.fringe * lean * np.clip((62 - front) / 20, 0, 1)
    rows = np.linspace(0, 1, SCALP_ROWS)[:, None] * edge[None] / 180 * (_FINE - 1)  # (rows, around) grid row
    low = np.minimum(rows.astype(int), _FINE - 2)
    share = (rows - low)[..., None]
    column = np.arange(AROUND + 1)[None]
    scalp = surface[low, column] * (1 - share) + surface[low + 1, column] * share
    out = scalp - _SKULL_CENTRE
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    along = np.linspace(0, 1, SCALP_ROWS)[:, None]
    volume = {"short": 0.85, "long": 1.0, "bun": 0.4}[person.hair_length] * person.volume + 0.03
    taper = np.clip((1 - along) / 0.5, 0, 1) ** 0.6 * np.ones((1, AROUND + 1))
    if long:
        taper = np.maximum(taper, side)
    parting = 1 - 0.5 * np.exp(-(((theta[None] - 35 * person.parting) / 14) ** 2)) * np.exp(
        -(((along - 0.55) / 0.35) ** 2)
    )
    wave = 1 + 0.25 * person.waves * np.sin(np.radians(theta)[None] * 9 + 7 * along + person.parting * 3)
    scalp = scalp + out * (0.012 + volume * (0.12 + 0.88 * taper) * parting * wave)[..., None]
    fade = np.clip((1 - along) / np.where(front > 70, 0.06, 0.16)[None], 0, 1)
    hanging = np.repeat(scalp[-1:], HANGING_ROWS, 0)
    if long:
        scalp[..., 0] = _outside_ear(scalp[..., 0], side)
        hanging = _hang(scalp[-1], side, person)
        fade = np.where(side[None] > 0, 1.0, fade)
    tips = np.broadcast_to(np.where(side > 0, 1.0, 0.0) if long else np.zeros(AROUND + 1), (HANGING_ROWS, AROUND + 1))
    return np.concatenate([scalp, hanging]), np.concatenate([fade, tips])


def _outside_ear(x: Array, side: Array) -> Array:
    """Push long hair out over the ears."""
    rows = np.linspace(0, 1, len(x))[:, None]
    around = np.linspace(-np.pi, np.pi, AROUND + 1)
    lowest = 0.83 * np.abs(np.sin(around)) ** 0.5 * rows**1.5 * side
    return np.where(np.abs(x) < lowest, np.sign(x) * lowest, x)


def _hang(start: Array, side: Array, person: RenderedPerson) -> Array:
    """Return the part of long hair below the scalp.  # (rows, around, 3)"""
    along = np.linspace(1 / HANGING_ROWS, 1, HANGING_ROWS)[:, None]
    around = np.linspace(-np.pi, np.pi, AROUND + 1)[None]
    bottom = -1.25 - 0.5 * person.volume / 0.2 - 0.35 * (1 - person.fringe)
    y = start[None, :, 1] + (bottom - start[None, :, 1]) * along
    swing = 1 + 0.10 * np.sin(along * 3.0) - 0.04 * along
    swing = swing + 0.05 * person.waves * np.sin(along * 9 + 3 * around)
    x = start[None, :, 0] * swing
    z = _SKULL_CENTRE[2] + (start[None, :, 2] - _SKULL_CENTRE[2]) * swing + 0.10 * along * np.cos(around)
    hung = np.stack([x, y, z], -1)
    still = np.repeat(start[None], HANGING_ROWS, 0)
    return np.where((side > 0)[None, :, None], hung, still)


_BUN = 18


def _bun(strands: Array) -> tuple[Array, Array]:
    """Return a ball of hair on top of the head."""
    crown = strands[0, 0]
    a, b = np.meshgrid(np.linspace(0, np.pi, _BUN), np.linspace(-np.pi, np.pi, _BUN), indexing="ij")
    ball = np.stack([np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)], -1)
    centre = crown + np.array([0, 0.16, 0.12])
    plain = np.stack([b / np.pi, 0.5 + 0.3 * a / np.pi, np.ones_like(a)], -1)
    return (ball * [0.36, 0.27, 0.33] + centre).reshape(-1, 3), plain.reshape(-1, 3)


_RING, _TUBE = 36, 6


def glasses_layer(parts: HeadParts, picture: RenderedPicture, vertices: Array) -> Layer | None:
    """Return the posed glasses, or None. Attributes are the normals; tag 1 is frame, 2 is lens."""
    if picture.glasses == "no":
        return None
    person = picture.person
    right = vertices[parts.asset.vertices_of("eye_left")].mean(0)
    left = vertices[parts.asset.vertices_of("eye_right")].mean(0)
    bridge = parts.asset.landmarks(vertices)[168]
    front = max(float(bridge[2]) + 0.06, 0.27)
    pieces: list[Array] = []
    faces: list[Array] = []
    tags: list[Array] = []

    def add(points: Array, triangles: Array, tag: int) -> None:
        faces.append(triangles + sum(len(p) for p in pieces))
        pieces.append(points)
        tags.append(np.full(len(triangles), tag, np.uint8))

    turn = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
    power = 1.0 - 0.55 * (1 - person.frame_roundness)
    rim = np.stack([np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * 0.245,
                    np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * (0.165 + 0.05 * person.frame_roundness),
                    0 * turn], 1)  # fmt: skip
    for eye in (left, right):
        aside = np.sign(eye[0])
        centre = np.array([eye[0] + 0.01 * aside, eye[1] - 0.03, front])
        path = centre + rim
        path[:, 2] -= 0.35 * np.clip((np.abs(path[:, 0]) - 0.25), 0, 1)  # the frame follows the face
        add(_tube(path, person.frame_thickness, closed=True), parts.ring_triangles, 1)
        fan = np.stack([np.full(_RING, _RING), np.arange(_RING), (np.arange(_RING) + 1) % _RING], 1).astype(np.int32)
        add(np.concatenate([path, centre[None]]), fan, 2)
        hinge = path[np.argmax(path[:, 0] * aside)]
        ear = np.array([0.74 * aside, hinge[1] + 0.03, -0.75])
        temple = np.linspace(0, 1, 8)[:, None]
        add(_tube(hinge + (ear - hinge) * temple, person.frame_thickness * 0.9), _sheet(8, _TUBE, wrap=False), 1)
    arch = np.linspace(-1, 1, 8)
    inner = abs(right[0]) - 0.235
    path = np.stack([arch * inner, right[1] + 0.04 - 0.02 * arch**2 + 0 * arch, 0 * arch + front + 0.02], 1)
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
