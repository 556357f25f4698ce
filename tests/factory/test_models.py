"""The vendored models: what they answer, where they come from, how they are built."""

from __future__ import annotations

import gzip
import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from studio.engines.vision.sessions import MODEL_FILES, ModelName, ModelSessions
from studio.errors import EngineError, EngineUnavailableError
from studio.factory.models import build_models
from studio.factory.models.tflite_file import read_tflite
from tests.engines.vision.conftest import MODELS, ROOT

ASSETS = ROOT / "assets"
REFERENCE = Path(__file__).with_name("reference.npz")
OWN_WORK = (
    "base/", "css/", "icons/", "speech/", "login.html", "window.js", "SOURCES.md", "models/NOTICE",
    "models/rendered_faces.safetensors", "live/page.js", "live/worker.js", "live/tracker.js", "live/listener.js",
    "live/NOTICE",
)  # fmt: skip


@pytest.mark.parametrize("name", list(MODEL_FILES))
def test_model_answers_like_the_original(name: ModelName) -> None:
    """The reference was made by Google's own runtime from the original file."""
    ours = ModelSessions(MODELS).run(name, build_models._model_input(name)[0])
    with np.load(REFERENCE) as reference:
        keys = [k for k in reference.files if k.startswith(f"{name}/") and not k.endswith("/range")]
        assert {k.split("/")[1] for k in keys} == set(ours)
        for key in keys:
            spread = float(reference[f"{key}/range"])
            deviation = np.abs(build_models.thinned(ours[key.split("/")[1]]) - reference[key]).max()
            assert deviation <= build_models.TOLERANCE * spread, key


def test_every_foreign_asset_is_listed_with_its_hash() -> None:
    lines = (ASSETS / "SOURCES.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if re.search(r"\| [0-9a-f]{64} \|$", line)]
    files = {row[2]: row[5] for row in rows}
    assert len(rows) == len(files)
    present = {
        path.relative_to(ASSETS).as_posix()
        for path in ASSETS.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    foreign = {p for p in present if not p.startswith(OWN_WORK)}
    assert foreign == set(files)
    for file, sha256 in files.items():
        assert hashlib.sha256((ASSETS / file).read_bytes()).hexdigest() == sha256, file


def test_notice_names_every_apache_file_and_holds_the_license() -> None:
    notice = (MODELS / "NOTICE").read_text("utf-8")
    for file in MODEL_FILES.values():
        assert file in notice
    assert "Apache License" in notice
    assert "END OF TERMS AND CONDITIONS" in notice


def test_what_the_browser_gets_to_follow_a_face_stays_small_and_has_its_license() -> None:
    """One build of the runtime and two models: at most 20 MB unpacked."""
    runtime = gzip.decompress((ASSETS / "live" / "ort-wasm-simd-threaded.wasm.gz").read_bytes())
    scripts = sum(path.stat().st_size for path in (ASSETS / "live").iterdir() if path.suffix in (".js", ".mjs"))
    models = sum((MODELS / MODEL_FILES[name]).stat().st_size for name in ("face_short", "face_landmarks"))
    assert len(runtime) + scripts + models < 20_000_000
    assert runtime[:4] == b"\0asm"
    assert "MIT License" in (ASSETS / "live" / "NOTICE").read_text("utf-8")


def test_models_stay_small() -> None:
    assert sum((MODELS / f).stat().st_size for f in MODEL_FILES.values()) < 8_000_000


def test_missing_model_is_explained(tmp_path: Path) -> None:
    import skimage.data

    from studio.engines.vision.analyser import VisionAnalyser

    with pytest.raises(EngineUnavailableError, match="missing") as caught:
        VisionAnalyser(tmp_path).detect(np.asarray(skimage.data.astronaut(), np.uint8))
    assert "assets build" in caught.value.hint


def test_damaged_model_is_explained(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILES["face_short"]).write_bytes(b"not a model")
    with pytest.raises(EngineError, match="cannot be opened"):
        ModelSessions(tmp_path).input_size("face_short")


def test_build_says_which_package_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(EngineUnavailableError, match="mediapipe") as caught:
        build_models.build_models(tmp_path, tmp_path / "out")
    assert "pip download" in caught.value.hint


def test_build_says_that_a_package_is_not_the_right_one(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with zipfile.ZipFile(tmp_path / "mediapipe-0.10.21-cp311.whl", "w") as wheel:
        wheel.writestr("mediapipe/empty.txt", "")
    with pytest.raises(EngineError, match="does not hold"):
        build_models.build_models(tmp_path, tmp_path / "out")


def test_reader_refuses_what_is_no_model() -> None:
    with pytest.raises(EngineError, match="not a TFLite model"):
        read_tflite(b"\0" * 64, "nothing.tflite")
