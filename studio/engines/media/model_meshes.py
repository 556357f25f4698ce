"""A head in one state as plain meshes: OBJ with material and textures in a zip, PLY with colored vertices.

Meters, y up, the front towards +z.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.performance import Performance
from studio.engines.base import HeadModel, ModelPart
from studio.engines.media.atomic import atomic_file

_WHEN = (1980, 1, 1, 0, 0, 0)  # the same head gives the same bytes


def write_obj(
    model: HeadModel,
    path: str | os.PathLike[str],
    *,
    performance: Performance | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Path:
    """Write head.obj, head.mtl and textures into a zip.

    Args:
        model: the head.
        path: ends in .obj.zip.
        performance: OBJ holds no motion; the head is written in its first frame.
        weights: the state that is written; None is the photo's own.  # (N,)

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    points = _shape(model, performance, weights)
    lines = ["# Likeness Studio; meters, y up, front towards +z", "mtllib head.mtl", "o Head"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in np.clip(model.uv, 0, 1)]
    materials, pictures = [], {}
    for part in model.parts:
        lines += [f"g {part.name}", f"usemtl {part.name}"]
        lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in part.triangles + 1]
        materials += [f"newmtl {part.name}", "Ka 0 0 0", "Ks 0.1 0.1 0.1", "illum 2"]
        if part.texture is None:
            materials.append("Kd {:.4f} {:.4f} {:.4f}".format(*part.color))
        else:
            file = f"{part.name}.png"
            pictures[file] = part.texture
            materials += ["Kd 1 1 1", f"map_Kd {file}"]
    target = Path(path)
    with atomic_file(target) as file_, zipfile.ZipFile(file_, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(zipfile.ZipInfo("head.obj", _WHEN), "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
        out.writestr(zipfile.ZipInfo("head.mtl", _WHEN), "\n".join(materials) + "\n", zipfile.ZIP_DEFLATED)
        for name, picture in pictures.items():
            out.writestr(zipfile.ZipInfo(name, _WHEN), _png(picture))
    return target


def write_ply(
    model: HeadModel,
    path: str | os.PathLike[str],
    *,
    performance: Performance | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Path:
    """Write vertices with colors and triangles, binary.

    Args and errors are those of `write_obj`.
    """
    points = _shape(model, performance, weights)
    rows, colors, triangles = [], [], []
    begun = 0
    for part in model.parts:
        used, faces = np.unique(part.triangles, return_inverse=True)
        rows.append(points[used])
        colors.append(_colors(model, part, used))
        triangles.append(faces.reshape(part.triangles.shape) + begun)
        begun += len(used)
    vertices = np.zeros(begun, np.dtype([(n, "<f4") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")]))
    for k, name in enumerate("xyz"):
        vertices[name] = np.concatenate(rows)[:, k]
    for k, name in enumerate(("red", "green", "blue")):
        vertices[name] = np.concatenate(colors)[:, k]
    faces = np.concatenate(triangles)
    listed = np.zeros(len(faces), np.dtype([("count", "u1"), ("rows", "<i4", 3)]))
    listed["count"], listed["rows"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", "comment Likeness Studio; meters, y up, front towards +z",
              f"element vertex {len(vertices)}", *(f"property float {n}" for n in "xyz"),
              *(f"property uchar {n}" for n in ("red", "green", "blue")),
              f"element face {len(listed)}", "property list uchar int vertex_indices", "end_header"]  # fmt: skip
    target = Path(path)
    with atomic_file(target) as part_file:
        part_file.write_bytes(("\n".join(header) + "\n").encode() + vertices.tobytes() + listed.tobytes())
    return target


def _shape(
    model: HeadModel, performance: Performance | None, weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the vertices in the state that is written.  # (V, 3)"""
    chosen = model.weights if weights is None else weights
    if performance is not None and len(performance):
        chosen = performance.state(0, model.weights).weights
    return np.asarray(model.vertices + np.tensordot(chosen, model.targets, 1), np.float32)


def _colors(model: HeadModel, part: ModelPart, rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the color of each vertex.  # (R, 3)"""
    if part.texture is None:
        one: NDArray[np.uint8] = np.tile(np.round(np.array(part.color) * 255), (len(rows), 1)).astype(np.uint8)
        return one
    side = np.array(part.texture.shape[1::-1])
    at = np.clip((model.uv[rows] * side).astype(int), 0, side - 1)
    picked: NDArray[np.uint8] = part.texture[at[:, 1], at[:, 0]]
    return picked


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
