"""Person matte and identity embedding."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.domain.face import FaceEmbedding
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.embedding import DLIB_NAME, InsightfacePack
from studio.errors import EngineUnavailableError
from tests.engines.vision.conftest import MODELS

Picture = NDArray[np.uint8]


def embed(analyser: VisionAnalyser, picture: Picture) -> FaceEmbedding:
    return analyser.embed(picture, analyser.detect(picture)[0])


# -- matte -------------------------------------------------------------------


def test_matte_knows_person_from_background(analyser: VisionAnalyser, astronaut: Picture) -> None:
    matte = analyser.matte(astronaut)
    assert matte.shape == astronaut.shape[:2]
    assert matte.dtype == np.uint8
    assert matte[80:160, 195:250].min() > 240  # face
    assert matte[300:420, 80:260].mean() > 240  # suit
    assert matte[20:250, 350:500].max() < 15  # wall and flag
    assert matte[20:140, 20:120].max() < 15


@pytest.mark.parametrize("size", [(97, 61), (300, 1400), (2048, 2048)])
def test_matte_has_the_size_of_the_picture(analyser: VisionAnalyser, astronaut: Picture, size: tuple[int, int]) -> None:
    picture = np.asarray(cv2.resize(astronaut, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    assert analyser.matte(picture).shape == size


def test_matte_follows_the_edge_of_the_full_picture(analyser: VisionAnalyser, astronaut: Picture) -> None:
    """The head's outline is steeper than plain enlargement of the 256 px answer could make it."""
    large = np.asarray(cv2.resize(astronaut, (2048, 2048), interpolation=cv2.INTER_CUBIC), np.uint8)
    matte = analyser.matte(large).astype(int)
    row = matte[4 * 100, 4 * 120 : 4 * 230]  # from the wall into the hair
    soft = int(((row > 25) & (row < 230)).sum())
    assert row[0] < 15
    assert row[-1] > 240
    assert soft < 4 * 14


# -- identity ------------------------------------------------------------------


def test_embedding_names_its_maker(analyser: VisionAnalyser, astronaut: Picture) -> None:
    embedding = embed(analyser, astronaut)
    assert embedding.embedder == DLIB_NAME
    assert embedding.vector.shape == (128,)
    assert embedding.distance(embed(analyser, astronaut.copy())) == 0.0


def test_the_same_person_stays_close(analyser: VisionAnalyser, astronaut: Picture) -> None:
    own = embed(analyser, astronaut)
    flipped = embed(analyser, np.ascontiguousarray(astronaut[:, ::-1]))
    blurred = embed(analyser, np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 1.2), np.uint8))
    darker = embed(analyser, (astronaut * 0.6).astype(np.uint8))
    gray = embed(analyser, np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, 2))
    for other in (flipped, blurred, darker, gray):
        assert own.distance(other) < 0.35


def test_another_person_is_far(analyser: VisionAnalyser, astronaut: Picture) -> None:
    import skimage.data

    camera = np.repeat(np.asarray(skimage.data.camera(), np.uint8)[..., None], 3, 2)
    faces = analyser.detect(camera)
    assert len(faces) == 1
    assert embed(analyser, astronaut).distance(analyser.embed(camera, faces[0])) > 0.6


def test_embedders_are_never_compared(analyser: VisionAnalyser, astronaut: Picture) -> None:
    own = embed(analyser, astronaut)
    other = FaceEmbedding("insightface-w600k_r50", own.vector)
    with pytest.raises(ValueError, match="cannot be compared"):
        own.distance(other)


def test_without_dlib_the_hint_says_what_to_install(
    astronaut: Picture, analyser: VisionAnalyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(EngineUnavailableError, match="dlib") as caught:
        embed(analyser, astronaut)
    assert "dlib-bin" in caught.value.hint


def test_insightface_needs_its_license_accepted(tmp_path: Path) -> None:
    model = tmp_path / "w600k_r50.onnx"
    model.write_bytes(b"")
    with pytest.raises(EngineUnavailableError, match="non-commercial"):
        VisionAnalyser(MODELS, insightface=InsightfacePack(model, license_accepted=False))
    with pytest.raises(EngineUnavailableError, match="not there"):
        VisionAnalyser(MODELS, insightface=InsightfacePack(tmp_path / "none.onnx", license_accepted=True))


def test_insightface_pack_gets_an_aligned_chip(tmp_path: Path, astronaut: Picture, analyser: VisionAnalyser) -> None:
    """A stand-in network returns its input shrunk to 8x8: the chip must be the same for a turned picture."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    value = onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [
            make.make_node("AveragePool", ["x"], ["p"], kernel_shape=[14, 14], strides=[14, 14]),
            make.make_node("Flatten", ["p"], ["y"]),
        ],
        "stand-in",
        [make.make_tensor_value_info("x", value, (1, 3, 112, 112))],
        [make.make_tensor_value_info("y", value, (1, 192))],
    )
    model = tmp_path / "tiny.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), str(model))
    other = VisionAnalyser(MODELS, insightface=InsightfacePack(model, license_accepted=True))
    own = embed(other, astronaut)
    assert own.embedder == "insightface-tiny"
    assert np.linalg.norm(own.vector) == pytest.approx(1, abs=1e-5)
    turned = embed(other, np.ascontiguousarray(np.rot90(astronaut)))
    assert own.distance(turned) < 0.1
    with pytest.raises(ValueError, match="cannot be compared"):
        own.distance(embed(analyser, astronaut))
