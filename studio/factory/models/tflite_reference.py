"""What the original models answer, run by Google's own TFLite runtime.

Used once, when the models are built, to prove the conversion. The runtime
refuses the three operators that only MediaPipe has; a model that uses them is
cut into the parts between them, and the operators themselves are computed here
in plain numpy, independently of the ONNX version. Needs `ai-edge-litert`; knows
nothing of ONNX.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_CUSTOM = ("Landmarks2TransformMatrix", "TransformTensorBilinear", "TransformLandmarks")


def litert_is_installed() -> bool:
    """Say whether the reference runtime is there."""
    return find_spec("ai_edge_litert") is not None


def reference_outputs(data: bytes, picture: Floats) -> dict[str, Floats]:
    """Run an original model.

    Args:
        data: a .tflite file.
        picture: the input with its batch axis.  # (1, H, W, 3)

    Returns:
        Outputs by name, with their batch axis.
    """
    return _SplitModel(data).run(picture)


class _SplitModel:
    """A TFLite model as steps: runs of ordinary operators, and custom operators between them."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.data = data
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        (self.graph,) = model.subgraphs
        self.kinds = [(model.operatorCodes[o.opcodeIndex].customCode or b"").decode() for o in self.graph.operators]
        self.is_constant = [
            model.buffers[t.buffer].data is not None and len(model.buffers[t.buffer].data) > 0
            for t in self.graph.tensors
        ]

    def run(self, picture: Floats) -> dict[str, Floats]:
        values: dict[int, Any] = {int(self.graph.inputs[0]): picture}
        for operators in self._steps():
            if self.kinds[operators[0]] in _CUSTOM:
                for k in operators:
                    operator = self.graph.operators[k]
                    inputs = [values[int(i)] for i in operator.inputs]
                    values[int(operator.outputs[0])] = _custom(self.kinds[k], inputs, operator.customOptions)
            else:
                self._run_part(operators, values)
        return {self.graph.tensors[int(i)].name.decode(): values[int(i)] for i in self.graph.outputs}

    def _steps(self) -> list[list[int]]:
        """Group the operators by how many custom operators lie before them.

        Even depths are ordinary operators, odd depths custom ones.
        """
        depth: dict[int, int] = {}
        steps: dict[int, list[int]] = {}
        for k, operator in enumerate(self.graph.operators):
            before = max((depth.get(int(i), 0) for i in operator.inputs), default=0)
            custom = self.kinds[k] in _CUSTOM
            own = before + (before % 2 != int(custom))
            depth.update({int(i): own for i in operator.outputs})
            # Unpacking of constants is repeated in every part that needs it.
            if not self._unpacks_constant(k):
                steps.setdefault(own, []).append(k)
        return [steps[d] for d in sorted(steps)]

    def _unpacks_constant(self, k: int) -> bool:
        operator = self.graph.operators[k]
        return len(operator.inputs) == 1 and self.is_constant[int(operator.inputs[0])]

    def _with_constants(self, operators: list[int]) -> list[int]:
        needed = {int(i) for k in operators for i in self.graph.operators[k].inputs}
        # A sparse float16 constant is unpacked in two steps, so the needs grow.
        extra: set[int] = set()
        unpackers = {
            int(o.outputs[0]): k
            for k, o in enumerate(self.graph.operators)
            if len(o.inputs) == 1 and k not in operators and self._is_unpacker(k)
        }
        while found := {unpackers[i] for i in needed if i in unpackers} - extra:
            extra |= found
            needed |= {int(self.graph.operators[k].inputs[0]) for k in found}
        return sorted(set(operators) | extra)

    def _is_unpacker(self, k: int) -> bool:
        return not self.kinds[k] and self._unpacks_constant(k)

    def _run_part(self, operators: list[int], values: dict[int, Any]) -> None:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.interpreter import Interpreter

        chosen = self._with_constants(operators)
        made = {int(i) for k in chosen for i in self.graph.operators[k].outputs}
        used = {int(i) for k in chosen for i in self.graph.operators[k].inputs}
        inputs = sorted(i for i in used - made if i in values)
        wanted = {int(i) for i in self.graph.outputs} | {
            int(i) for k, o in enumerate(self.graph.operators) if k not in chosen for i in o.inputs
        }
        outputs = sorted(int(i) for k in operators for i in self.graph.operators[k].outputs if int(i) in wanted)
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.data, 0))
        (part,) = model.subgraphs
        part.operators = [part.operators[k] for k in chosen]
        part.inputs, part.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        model.signatureDefs = None
        builder = flatbuffers.Builder(1 << 22)
        builder.Finish(model.Pack(builder), b"TFL3")
        interpreter = Interpreter(model_content=bytes(builder.Output()), num_threads=1)
        interpreter.allocate_tensors()
        for detail, index in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], np.asarray(values[index], np.float32))
        interpreter.invoke()
        for detail, index in zip(interpreter.get_output_details(), outputs, strict=True):
            values[index] = interpreter.get_tensor(detail["index"])


def _custom(kind: str, inputs: list[Floats], options: Any) -> Floats:
    if kind == "Landmarks2TransformMatrix":
        from flatbuffers import flexbuffers

        return _landmarks_to_matrix(inputs[0], flexbuffers.Loads(bytes(bytearray(options))))
    if kind == "TransformTensorBilinear":
        return _sample_tensor(inputs[0], inputs[1])
    points, matrix = inputs[0], inputs[1][0]
    return np.asarray(points[..., :2] @ matrix[:2, :2].T + matrix[:2, 3], np.float32)


def _landmarks_to_matrix(landmarks: Floats, options: dict[str, Any]) -> Floats:
    """Return the map from the sampling window to the rotated box of some landmarks.  # (1, 4, 4)

    Source: mediapipe/util/tflite/operations/landmarks_to_transform_matrix.cc.
    """
    points = landmarks[0, :, :2].astype(np.float64)
    delta = points[options["right_rotation_idx"]] - points[options["left_rotation_idx"]]
    angle = options["target_rotation_radians"] - np.arctan2(delta[1], delta[0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = points[options["subset_idxs"]] @ turn.T
    low, high = turned.min(0), turned.max(0)
    window = np.array([options["output_width"], options["output_height"]])
    scale = (high - low) / window * [options["scale_x"], options["scale_y"]]
    matrix = np.eye(4)
    matrix[:2, :2] = turn.T @ np.diag(scale)
    matrix[:2, 3] = turn.T @ ((high + low) / 2) - matrix[:2, :2] @ (window / 2)
    return matrix[None].astype(np.float32)


def _sample_tensor(features: Floats, matrix: Floats, size: int = 16) -> Floats:
    """Sample a feature map bilinearly through a matrix, 0 outside.  # (1, size, size, C)

    Source: mediapipe/util/tflite/operations/transform_tensor_bilinear.cc.
    """
    rows, columns = features.shape[1:3]
    ys, xs = np.mgrid[:size, :size] + 0.5
    where = np.stack([xs, ys], -1) @ matrix[0, :2, :2].T.astype(np.float64) + matrix[0, :2, 3] - 0.5
    x, y = where[..., 0], where[..., 1]
    inside = (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1)
    x, y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
    x0, y0 = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    f = features[0]
    top = f[y0, x0] * (1 - fx) + f[y0, x0 + 1] * fx
    bottom = f[y0 + 1, x0] * (1 - fx) + f[y0 + 1, x0 + 1] * fx
    sampled = (top * (1 - fy) + bottom * fy) * inside[..., None]
    return np.asarray(sampled[None], np.float32)
