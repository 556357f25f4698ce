"""Whose rendered face it is: an embedder for people of the studio's own head model.

Recognition networks were taught with photographs; rendered people look alike
to them, and one person's pictures differ nearly as much as two people's. This
small network has only ever seen renders (`factory.preview_base.identity`), and
never a picture that a base drew. It means nothing on photographs.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import RENDERED_EMBEDDER, DetectedFace, FaceEmbedding
from studio.engines.base import Image
from studio.engines.vision.embedding import aligned_chip
from studio.errors import INSTALL_AGAIN, EngineError, EngineUnavailableError

if TYPE_CHECKING:
    import torch

FILE = "rendered_faces.safetensors"
SIDE = 96
"""Pixels of the square that the network sees."""
FACE_SHARE = 0.72
"""How large the face is drawn in it, against ArcFace's usual cut: hair line and chin are inside."""
_WIDTHS = (32, 64, 96, 128)
_NUMBERS = 64


class RenderedFaceEmbedder:
    """64 numbers of unit length; safe to share between threads."""

    name = RENDERED_EMBEDDER

    def __init__(self, models_dir: Path) -> None:
        """Remember where the network is; it is opened when first needed."""
        self._path = models_dir / FILE
        self._network: Any = None
        self._lock = threading.Lock()

    def embed(self, image: Image, face: DetectedFace) -> FaceEmbedding:
        """Return the embedding of one rendered or drawn face.

        Args:
            image: RGB.  # (H, W, 3)
            face: a face found in it.

        Raises:
            EngineUnavailableError: torch or the model file is missing.
            EngineError: the file is no such network.
        """
        import torch

        network = self._open()
        with torch.inference_mode():
            vector = network(as_input(rendered_chip(image, face.landmarks)[None]))[0].numpy()
        return FaceEmbedding(self.name, vector)

    def _open(self) -> Any:
        with self._lock:
            if self._network is None:
                try:
                    self._network = _read(self._path)
                except ImportError as exc:
                    raise EngineUnavailableError(
                        "Rendered faces cannot be compared: torch is not installed.",
                        "Install it with: pip install torch safetensors",
                    ) from exc
            return self._network


def _read(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise EngineUnavailableError(
            f"Rendered faces cannot be compared: the model file {path.name} is missing.",
            "Get the file again.",
            window=INSTALL_AGAIN,
        )
    model = network()
    try:
        model.load_state_dict({n: t.float() for n, t in load_file(str(path)).items()})
    except (OSError, SafetensorError, RuntimeError) as exc:
        raise EngineError(f"The model file {path.name} cannot be opened: {exc}") from exc
    return model.eval().requires_grad_(False)


def rendered_chip(image: Image, landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Cut out what the network sees.  # (SIDE, SIDE, 3)"""
    return aligned_chip(image, landmarks, SIDE, FACE_SHARE)


def as_input(chips: NDArray[np.uint8]) -> torch.Tensor:
    """Return chips as the network takes them, -1..1.  # (N, S, S, 3) -> (N, 3, S, S)"""
    import torch

    return torch.from_numpy(np.ascontiguousarray(chips.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def network() -> torch.nn.Module:
    """Build the network: four halvings with a residual block each, one linear layer, unit length."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = x + self.inner(x)
            return result

    class Unit(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(x, dim=1)

    layers: list[nn.Module] = []
    before = 3
    for width in _WIDTHS:
        layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU(), Residual(width)]
        before = width
    cells = (SIDE >> len(_WIDTHS)) ** 2
    layers += [nn.Conv2d(before, 32, 1), nn.SiLU(), nn.Flatten(), nn.Linear(32 * cells, _NUMBERS), Unit()]
    return nn.Sequential(*layers)
