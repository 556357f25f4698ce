from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from studio.domain.face import DetectedFace, PhotoQuality
from studio.domain.pose import HeadPose
from studio.domain.render import NewRender, Render
from studio.store import Store

ME = "local"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "data") as opened:
        yield opened


def a_face() -> DetectedFace:
    return DetectedFace(
        box=(1.0, 2.0, 30.0, 40.5),
        score=0.9,
        landmarks=np.linspace(0, 1, 478 * 3, dtype=np.float32).reshape(478, 3),
        head=HeadPose(1.5, -2.0, 3.0),
        quality=PhotoQuality(0.1, 0.2, 0.3, 0.4, 0.5, ("Blurred.",)),
        likely="drawing",
    )


def a_render(store: Store, data: bytes = b"picture", owner: str = ME, **values: object) -> Render:
    sha256 = store.of(owner).media.put(data, ".png")
    basis = NewRender(kind="image", media_sha256=sha256, recipe={"seed": 1}, engine="rig", engine_version="1.0")
    return store.of(owner).renders.add(NewRender(**(vars(basis) | values)))  # type: ignore[arg-type]
