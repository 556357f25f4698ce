"""Heads as files: what other programs read in them is what was written. glTF is read back with pygltflib."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pygltflib
import pytest

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import Performance
from studio.domain.pose import HeadPose
from studio.engines.base import HeadModel, ModelPart
from studio.engines.media.model_gltf import quaternion_of, write_glb
from studio.engines.media.model_meshes import write_obj, write_ply
from studio.engines.rig.fit import rotation_of
from studio.errors import StudioError

SKIN = np.full((8, 8, 3), (200, 150, 120), np.uint8)


@pytest.fixture
def model() -> HeadModel:
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.1, 0.1, (12, 3)).astype(np.float32)
    targets = np.zeros((52, 12, 3), np.float32)
    targets[INDEX["jawOpen"], 4:7] = rng.uniform(-0.02, 0.02, (3, 3))
    targets[INDEX["mouthLeft"]] = rng.uniform(0.001, 0.02, (12, 3))  # one that moves everything
    weights = np.zeros(52, np.float32)
    weights[INDEX["mouthSmileLeft"]] = 0.25
    parts = (
        ModelPart("skin", np.array([[0, 1, 2], [2, 3, 4], [4, 5, 6]], np.int32), texture=SKIN),
        ModelPart("teeth", np.array([[7, 8, 9]], np.int32), color=(0.9, 0.5, 0.0)),
    )
    return HeadModel(
        points, rng.uniform(0, 1, (12, 2)).astype(np.float32), targets, ARKIT_NAMES, weights, parts,
        np.array([0.0, -0.12, -0.08], np.float32),
    )  # fmt: skip


@pytest.fixture
def motion() -> Performance:
    weights = np.zeros((5, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = [0, 0.2, 0.9, 0.4, 0]
    head = np.array([[0, 0, 0], [10, 0, 0], [0, 8, 0], [0, 0, 6], [12, -9, 5]], np.float32)
    none = np.zeros(5, np.float32)
    return Performance(25.0, weights, head, np.ones(5, np.float32), none, none)


def values(read: pygltflib.GLTF2, number: int) -> np.ndarray:
    """Return an accessor's numbers, dense, as any reader would see them."""
    accessor = read.accessors[number]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
    kind = {5126: "<f4", 5125: "<u4"}
    blob = read.binary_blob()

    def view(index: int, dtype: str, count: int) -> np.ndarray:
        part = read.bufferViews[index]
        assert part.byteOffset % 4 == 0
        return np.frombuffer(blob, dtype, count, part.byteOffset)

    out = np.zeros((accessor.count, width), np.float32)
    if accessor.bufferView is not None:
        out = view(accessor.bufferView, kind[accessor.componentType], accessor.count * width).reshape(-1, width)
    if accessor.sparse is not None:
        sparse = accessor.sparse
        rows = view(sparse.indices.bufferView, kind[sparse.indices.componentType], sparse.count)
        out = out.copy()
        out[rows] = view(sparse.values.bufferView, "<f4", sparse.count * width).reshape(-1, width)
    return out


def test_a_reader_finds_geometry_names_weights_and_texture(model, tmp_path: Path) -> None:
    read = pygltflib.GLTF2.load(str(write_glb(model, tmp_path / "head.glb")))
    (mesh,) = read.meshes
    assert mesh.extras["targetNames"] == list(ARKIT_NAMES)
    assert mesh.weights == pytest.approx(model.weights.tolist(), abs=1e-6)
    skin, teeth = mesh.primitives
    for primitive, part in ((skin, model.parts[0]), (teeth, model.parts[1])):
        rows = np.unique(part.triangles)
        assert values(read, primitive.attributes.POSITION) == pytest.approx(model.vertices[rows], abs=1e-7)
        assert np.array_equal(rows[values(read, primitive.indices).astype(int).ravel()], part.triangles.ravel())
        assert len(primitive.targets) == 52
        for name in ("jawOpen", "mouthLeft", "eyeBlinkLeft"):
            target = values(read, primitive.targets[INDEX[name]]["POSITION"])
            assert target == pytest.approx(model.targets[INDEX[name]][rows], abs=1e-6)
        normals = values(read, primitive.attributes.NORMAL)
        assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-5)
    assert values(read, skin.attributes.TEXCOORD_0).shape == (7, 2)
    assert read.materials[skin.material].pbrMetallicRoughness.baseColorTexture.index == 0
    red, green, blue, alpha = read.materials[teeth.material].pbrMetallicRoughness.baseColorFactor
    assert (red, green, blue, alpha) == pytest.approx((0.787, 0.214, 0.0, 1.0), abs=1e-3), "linear light"
    assert [i.mimeType for i in read.images] == ["image/jpeg"]


def test_bounds_hold_what_they_bound(model, tmp_path: Path) -> None:
    read = pygltflib.GLTF2.load(str(write_glb(model, tmp_path / "head.glb")))
    for number, accessor in enumerate(read.accessors):
        if accessor.min:
            found = values(read, number)
            assert found.min(0) == pytest.approx(accessor.min, abs=1e-7)
            assert found.max(0) == pytest.approx(accessor.max, abs=1e-7)


def test_a_performance_is_an_animation(model, motion, tmp_path: Path) -> None:
    read = pygltflib.GLTF2.load(str(write_glb(model, tmp_path / "head.glb", performance=motion)))
    (animation,) = read.animations
    channels = {c.target.path: animation.samplers[c.sampler] for c in animation.channels}
    assert values(read, channels["weights"].input).ravel() == pytest.approx(np.arange(5) / 25)
    weights = values(read, channels["weights"].output).reshape(5, 52)
    assert weights[:, INDEX["jawOpen"]] == pytest.approx([0, 0.2, 0.9, 0.4, 0])
    assert weights[:, INDEX["mouthSmileLeft"]] == pytest.approx(0.25), "the photo's own smile stays"
    turns = values(read, channels["rotation"].output)
    for turn, angles in zip(turns, motion.head_degrees, strict=True):
        assert turn == pytest.approx(quaternion_of(HeadPose(*map(float, angles))), abs=1e-6)


@pytest.mark.parametrize("angles", [(20.0, 0.0, 0.0), (0.0, 12.0, 0.0), (0.0, 0.0, -9.0), (15.0, -7.0, 6.0)])
def test_a_quaternion_turns_as_the_rig_does(angles) -> None:
    x, y, z, w = quaternion_of(HeadPose(*angles))
    turned = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    assert turned == pytest.approx(rotation_of(HeadPose(*angles)), abs=1e-6)


def test_the_file_is_a_container_of_two_chunks(model, tmp_path: Path) -> None:
    data = write_glb(model, tmp_path / "head.glb").read_bytes()
    magic, version, whole = struct.unpack_from("<4sII", data)
    assert (magic, version, whole) == (b"glTF", 2, len(data))
    length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert length % 4 == 0
    again = write_glb(model, tmp_path / "again.glb").read_bytes()
    assert data == again, "the same head gives the same bytes"


def test_obj_holds_a_state_with_its_material_and_texture(model, tmp_path: Path) -> None:
    weights = np.zeros(52, np.float32)
    weights[INDEX["jawOpen"]] = 1.0
    with zipfile.ZipFile(write_obj(model, tmp_path / "head.obj.zip", weights=weights)) as archive:
        assert set(archive.namelist()) == {"head.obj", "head.mtl", "skin.png"}
        lines = archive.read("head.obj").decode().splitlines()
        materials = archive.read("head.mtl").decode()
    points = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert points == pytest.approx(model.vertices + model.targets[INDEX["jawOpen"]], abs=1e-5)
    faces = [[int(c.split("/")[0]) - 1 for c in line.split()[1:]] for line in lines if line.startswith("f ")]
    assert faces == np.concatenate([p.triangles for p in model.parts]).tolist()
    assert "map_Kd skin.png" in materials
    assert "usemtl teeth" in lines


def test_ply_colors_every_vertex(model, tmp_path: Path) -> None:
    data = write_ply(model, tmp_path / "head.ply").read_bytes()
    header, _, body = data.partition(b"end_header\n")
    assert b"element vertex 10" in header
    assert b"element face 4" in header
    vertices = np.frombuffer(body, np.dtype([("at", "<f4", 3), ("color", "u1", 3)]), 10)
    assert vertices["at"][:7] == pytest.approx(
        (model.vertices + 0.25 * model.targets[INDEX["mouthSmileLeft"]])[:7], abs=1e-6
    )
    assert (vertices["color"][:7] == SKIN[0, 0]).all()
    assert vertices["color"][8].tolist() == [230, 128, 0]


def test_a_folder_that_is_not_there_is_said(model, tmp_path: Path) -> None:
    for write in (write_glb, write_obj, write_ply):
        with pytest.raises(StudioError):
            write(model, tmp_path / "none" / "head.x")
