"""The vendored ONNX models, opened when first needed and kept open.

One thread per model: these networks take a few milliseconds, and threads that
fight for the processor cost far more than they gain. An open model may be run
from several threads at once. Knows file names, nothing of what models mean.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio.errors import INSTALL_AGAIN, EngineError, EngineUnavailableError

ModelName = Literal["face_short", "face_full", "face_back", "face_landmarks", "person_matte"]

MODEL_FILES: dict[ModelName, str] = {
    "face_short": "face_detection_short_range.onnx",
    "face_full": "face_detection_full_range.onnx",
    "face_back": "face_detection_back.onnx",
    "face_landmarks": "face_landmark_with_attention.onnx",
    "person_matte": "selfie_segmentation.onnx",
}


class ModelSessions:
    """Opens models of one folder lazily; safe to share between threads."""

    def __init__(self, models_dir: Path) -> None:
        """Remember the folder; nothing is opened yet.

        Args:
            models_dir: folder with the files of `MODEL_FILES`.
        """
        self.models_dir = models_dir
        self._sessions: dict[ModelName, Any] = {}
        self._lock = threading.Lock()

    def input_size(self, name: ModelName) -> int:
        """Return the side of the model's square input in pixels."""
        return int(self._open(name).get_inputs()[0].shape[1])

    def run(self, name: ModelName, picture: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a model on one picture.

        Args:
            name: which model.
            picture: values as the model wants them.  # (size, size, 3)

        Returns:
            Output arrays by name, without the batch axis.

        Raises:
            EngineUnavailableError: the model file or the runtime is missing.
            EngineError: the model file is damaged or the run failed.
        """
        session = self._open(name)
        names = [o.name for o in session.get_outputs()]
        try:
            values = session.run(names, {"input": np.ascontiguousarray(picture[None], np.float32)})
        except Exception as exc:  # onnxruntime has no common base class of its own
            raise EngineError(f"The model {MODEL_FILES[name]} failed: {exc}") from exc
        return {n: v[0] for n, v in zip(names, values, strict=True)}

    def _open(self, name: ModelName) -> Any:
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = open_model(self.models_dir / MODEL_FILES[name])
            return self._sessions[name]


def open_model(path: Path) -> Any:
    """Open an ONNX model on the processor, one thread.

    Args:
        path: a .onnx file.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        EngineUnavailableError: the runtime or the file is missing.
        EngineError: the file cannot be opened.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise EngineUnavailableError("onnxruntime is not installed.", "Install the requirements again.") from exc
    if not path.is_file():
        raise EngineUnavailableError(
            f"The model file {path.name} is missing.",
            "Run `python -m studio assets build`, or get the files again.",
            window=INSTALL_AGAIN,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime has no common base class of its own
        raise EngineError(f"The model file {path.name} cannot be opened: {exc}") from exc
