"""What is installed is compared with what was tried, and said with the command that mends it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from studio import pins
from studio.engines import ENGINE, load
from studio.errors import EngineUnavailableError

IMPORTED_AS = {
    "pillow": "PIL", "pillow-heif": "pillow_heif", "opencv-python": "cv2", "scikit-image": "skimage",
    "imageio-ffmpeg": "imageio_ffmpeg", "dlib-bin": "dlib", "sqlite-utils": "sqlite_utils", "c2pa-python": "c2pa",
}  # fmt: skip


def files(folder: Path, requirements: str, constraints: str) -> tuple[Path, Path]:
    named, tried = folder / "requirements.txt", folder / "constraints.txt"
    named.write_text(requirements, encoding="utf-8")
    tried.write_text(constraints, encoding="utf-8")
    return named, tried


@pytest.mark.smoke
@pytest.mark.parametrize("name", [r.name for r in pins.requirements()])
def test_every_library_can_be_imported(name: str) -> None:
    importlib.import_module(IMPORTED_AS.get(name, name))


def test_every_library_is_pinned_and_the_pin_is_allowed() -> None:
    named = pins.requirements()
    assert len(named) > 20
    tried = {one.name: one.tried for one in pins.libraries()}
    for requirement in named:
        assert requirement.specifier.contains(tried[requirement.name] or ""), requirement


def test_pins_hold_for_every_python_and_system() -> None:
    lines = [line for line in pins.CONSTRAINTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.match(r"^[A-Za-z0-9._-]+==[^\s;*]+( ; .+)?$", line) for line in lines)
    assert any("python_full_version >= '3.12'" in line for line in lines)
    assert any("win32" in line for line in lines)
    assert not [line for line in lines if line.startswith(("nvidia-", "cuda-"))], "these are torch's own"


def test_other_releases_are_told_apart(tmp_path: Path) -> None:
    numpy = pins.importlib.metadata.version("numpy")
    named, tried = files(
        tmp_path,
        "-c constraints.txt\n# remark\nnumpy>=1 # why\npillow<5\nno-such-library-anywhere>=1\n"
        "zipp>=1 ; sys_platform == 'cp/m'\n",
        f"numpy=={numpy}\npillow==4.0\ntorch==1.0\n",
    )  # fmt: skip
    found = {one.name: one for one in pins.libraries(named, tried)}
    assert list(found) == ["numpy", "pillow", "no-such-library-anywhere"]
    assert (found["numpy"].allowed, found["numpy"].as_tried) == (True, True)
    assert (found["pillow"].allowed, found["pillow"].as_tried) == (False, False)
    assert found["no-such-library-anywhere"].installed is None
    assert [(one.name, one.as_tried) for one in pins.others(named, tried)] == [("torch", False)]


def test_a_build_of_the_tried_version_is_the_tried_version() -> None:
    assert pins.Library("torch", "2.13.0+cpu", "2.13.0", True).as_tried


def test_a_start_asks_for_the_versions_of_what_it_uses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version that is asked for is a file that is found and read."""
    asked: list[str] = []
    installed = pins.importlib.metadata.version
    monkeypatch.setattr(pins.importlib.metadata, "version", lambda name: asked.append(name) or installed(name))
    pins.refused.cache_clear()
    assert pins.refused(("numba", "scipy")) == ()
    pins.refused.cache_clear()
    assert sorted(asked) == ["numba", "scipy"]


def test_an_engine_says_which_library_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named, tried = files(tmp_path, "peft<0.1\n", "peft==0.0.9\n")
    monkeypatch.setattr(pins, "REQUIREMENTS", named)
    monkeypatch.setattr(pins, "CONSTRAINTS", tried)
    pins.refused.cache_clear()
    try:
        with pytest.raises(EngineUnavailableError) as caught:
            load(ENGINE["diffusion-trainer"], Path("assets"))
    finally:
        pins.refused.cache_clear()
    assert re.match(r"Personalization cannot start: peft \S+ is installed, 0\.0\.9 was tried\.", caught.value.message)
    assert caught.value.hint.endswith("-m pip install -r requirements.txt")
    assert Path(sys.executable).name.split(".")[0] in caught.value.hint
