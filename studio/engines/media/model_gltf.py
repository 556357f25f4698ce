"""A head as glTF 2.0 in one file: textured, with named morph targets, and moved by a performance.

Facts of the format are those of the specification (Khronos, glTF 2.0.1): meters,
y up, the front towards +z, counterclockwise triangles. The names of the targets
stand in `extras.targetNames`, where every program looks for them. Targets are
sparse: most weights move a small part of the head. Nothing of the photo but its
texture is inside, and no program's name but this one's.
"""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.performance import Performance
from studio.domain.pose import HeadPose
from studio.engines.base import HeadModel, Image, ModelPart
from studio.engines.media.atomic import atomic_file

_MAGIC, _VERSION, _JSON, _BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT, _UINT = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_LEAST_MOVED = 1e-6  # meters
_ROUGHNESS = {"teeth": 0.35, "tongue": 0.4, "inside": 0.6, "eye_left": 0.12, "eye_right": 0.12}


def write_glb(
    model: HeadModel,
    path: str | os.PathLike[str],
    *,
    performance: Performance | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Path:
    """Write a head with all its expressions; a performance becomes its animation.

    Args:
        model: the head.
        path: ends in .glb.
        performance: motion against the photo's own state, as a clip shows it.
        weights: the state in which it is first shown; None is the photo's own.  # (N,)

    Returns:
        The path.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    out = _Document(model, model.weights if weights is None else weights)
    if performance is not None and len(performance):
        out.animate(performance)
    return out.write(Path(path))


class _Document:
    """The document and its one buffer."""

    def __init__(self, model: HeadModel, weights: NDArray[np.float32]) -> None:
        self._model, self._data = model, bytearray()
        self._root: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "Likeness Studio"},
            "scene": 0, "scenes": [{"nodes": [0]}],
            # The head turns about the top of the neck: the node lies there, the mesh is moved back.
            "nodes": [
                {"name": "Head", "translation": [float(v) for v in model.pivot], "children": [1]},
                {"name": "Face", "mesh": 0, "translation": [-float(v) for v in model.pivot]},
            ],
            "bufferViews": [], "accessors": [], "materials": [],
        }  # fmt: skip
        self._textures: dict[int, int] = {}
        shown = [part for part in model.parts if len(part.triangles)]
        self._root["meshes"] = [
            {
                "name": "Face", "primitives": [self._primitive(part) for part in shown],
                "weights": [round(float(w), 6) for w in weights], "extras": {"targetNames": list(model.names)},
            }
        ]  # fmt: skip

    # -- parts -------------------------------------------------------------------------

    def _primitive(self, part: ModelPart) -> dict[str, Any]:
        model = self._model
        rows, triangles = np.unique(part.triangles, return_inverse=True)
        triangles = triangles.reshape(part.triangles.shape)
        attributes = {
            "POSITION": self._vectors(model.vertices[rows], bounds=True),
            "NORMAL": self._vectors(_normals(model.vertices[rows], triangles)),
        }
        if part.texture is not None:
            attributes["TEXCOORD_0"] = self._vectors(np.clip(model.uv[rows], 0, 1))
        indices = self._accessor(triangles.astype(np.uint32).ravel(), _UINT, "SCALAR", _ELEMENT_BUFFER)
        return {
            "attributes": attributes, "indices": indices, "material": self._material(part),
            "targets": [{"POSITION": self._target(target[rows])} for target in model.targets],
        }  # fmt: skip

    def _material(self, part: ModelPart) -> int:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": _ROUGHNESS.get(part.name, 0.75)}
        if part.texture is None:
            surface["baseColorFactor"] = [*(float(_linear(c)) for c in part.color), 1.0]
        else:
            surface["baseColorTexture"] = {"index": self._texture(part.texture)}
        # The mouth's inside is seen from within.
        sided = {"doubleSided": True} if part.name in ("inside", "back", "tongue", "teeth", "sockets") else {}
        self._root["materials"].append({"name": part.name, "pbrMetallicRoughness": surface, **sided})
        return len(self._root["materials"]) - 1

    def _texture(self, picture: Image) -> int:
        from PIL import Image as Pillow

        if id(picture) in self._textures:
            return self._textures[id(picture)]
        buffer = io.BytesIO()
        Pillow.fromarray(picture).save(buffer, "JPEG", quality=92)
        view = self._view(buffer.getvalue())
        for name in ("images", "samplers", "textures"):
            self._root.setdefault(name, [])
        if not self._root["samplers"]:
            self._root["samplers"].append({"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071})
        self._root["images"].append({"bufferView": view, "mimeType": "image/jpeg"})
        self._root["textures"].append({"source": len(self._root["images"]) - 1, "sampler": 0})
        self._textures[id(picture)] = len(self._root["textures"]) - 1
        return self._textures[id(picture)]

    def _target(self, moved: NDArray[np.float32]) -> int:
        """Write a morph target of which only the vertices that move are there."""
        rows = np.flatnonzero(np.abs(moved).max(1) > _LEAST_MOVED).astype(np.uint32)
        low, high = np.minimum(moved.min(0), 0), np.maximum(moved.max(0), 0)
        accessor: dict[str, Any] = {
            "componentType": _FLOAT, "count": len(moved), "type": "VEC3",
            "min": [float(v) for v in low], "max": [float(v) for v in high],
        }  # fmt: skip
        if len(rows):
            still = np.setdiff1d(np.arange(len(moved)), rows)
            kept = moved[rows].astype("<f4")
            if not len(still):
                accessor["min"], accessor["max"] = ([float(v) for v in f] for f in (kept.min(0), kept.max(0)))
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows.astype("<u4").tobytes()), "componentType": _UINT},
                "values": {"bufferView": self._view(kept.tobytes())},
            }
        else:
            accessor["min"] = accessor["max"] = [0.0, 0.0, 0.0]
        self._root["accessors"].append(accessor)
        return len(self._root["accessors"]) - 1

    # -- motion ------------------------------------------------------------------------

    def animate(self, performance: Performance) -> None:
        """Write a performance: all weights on the mesh, head turns on the node about the neck."""
        frames = len(performance)
        states = [performance.state(i, self._model.weights) for i in range(frames)]
        times = (np.arange(frames) / performance.frame_rate_hz).astype(np.float32)
        keys = self._accessor(times, _FLOAT, "SCALAR", None, bounds=True)
        weights = self._accessor(np.concatenate([s.weights for s in states]).astype(np.float32), _FLOAT, "SCALAR", None)
        turns = self._accessor(
            np.stack([quaternion_of(s.head) for s in states]).astype(np.float32), _FLOAT, "VEC4", None
        )
        self._root["animations"] = [
            {
                "name": "Performance",
                "samplers": [
                    {"input": keys, "output": weights, "interpolation": "LINEAR"},
                    {"input": keys, "output": turns, "interpolation": "LINEAR"},
                ],
                "channels": [
                    {"sampler": 0, "target": {"node": 1, "path": "weights"}},
                    {"sampler": 1, "target": {"node": 0, "path": "rotation"}},
                ],
            }
        ]

    # -- the buffer --------------------------------------------------------------------

    def _vectors(self, values: NDArray[np.floating], *, bounds: bool = False) -> int:
        return self._accessor(values.astype(np.float32), _FLOAT, f"VEC{values.shape[1]}", _ARRAY_BUFFER, bounds=bounds)

    def _accessor(
        self, values: NDArray[Any], component: int, kind: str, target: int | None, *, bounds: bool = False
    ) -> int:
        little = values.astype(values.dtype.newbyteorder("<"))
        accessor: dict[str, Any] = {
            "bufferView": self._view(little.tobytes(), target), "componentType": component,
            "count": len(values), "type": kind,
        }  # fmt: skip
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor["min"], accessor["max"] = ([float(v) for v in f] for f in (rows.min(0), rows.max(0)))
        self._root["accessors"].append(accessor)
        return len(self._root["accessors"]) - 1

    def _view(self, data: bytes, target: int | None = None) -> int:
        self._data += b"\0" * (-len(self._data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self._data), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self._data += data
        self._root["bufferViews"].append(view)
        return len(self._root["bufferViews"]) - 1

    def write(self, path: Path) -> Path:
        """Write the file whole or not at all."""
        self._data += b"\0" * (-len(self._data) % 4)
        self._root["buffers"] = [{"byteLength": len(self._data)}]
        text = json.dumps(self._root, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        whole = 12 + 8 + len(text) + 8 + len(self._data)
        header = struct.pack("<III", _MAGIC, _VERSION, whole) + struct.pack("<II", len(text), _JSON)
        with atomic_file(path) as part:
            part.write_bytes(header + text + struct.pack("<II", len(self._data), _BINARY) + bytes(self._data))
        return path


def quaternion_of(head: HeadPose) -> NDArray[np.float64]:
    """Return a head pose as x, y, z, w: yaw, then pitch, then roll, each about the head's own axis.  # (4,)"""
    half = np.radians([head.yaw_degrees, -head.pitch_degrees, -head.roll_degrees]) / 2
    (cy, cp, cr), (sy, sp, sr) = np.cos(half), np.sin(half)
    return np.array(
        [
            cy * sp * cr + sy * cp * sr,
            sy * cp * cr - cy * sp * sr,
            cy * cp * sr - sy * sp * cr,
            cy * cp * cr + sy * sp * sr,
        ]
    )


def _normals(points: NDArray[np.float32], triangles: NDArray[Any]) -> NDArray[np.float32]:
    """Return unit normals, area weighted.  # (V, 3)"""
    corners = points[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.zeros_like(points)
    for k in range(3):
        np.add.at(out, triangles[:, k], flat)
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.where(length > 1e-12, out / np.maximum(length, 1e-12), [0.0, 0.0, 1.0]).astype(np.float32)


def _linear(value: float) -> float:
    """Return sRGB 0..1 as linear light, which is how glTF writes colors."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
