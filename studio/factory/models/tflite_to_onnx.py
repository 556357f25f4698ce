"""Turning a TFLite vision model into ONNX, so that one runtime serves all.

TFLite keeps pictures as N,H,W,C and ONNX as N,C,H,W: every tensor of rank 4 is
kept transposed inside the graph, and turned back wherever its element order
shows (reshapes, inputs, outputs). Weights are stored as float16 with a Cast,
which the runtime folds when it opens the model. Three operators that only
MediaPipe has (landmark attention) are written out in standard operators.
Build time only; knows the operators of `tflite_file` and no others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.errors import EngineError
from studio.factory.models.tflite_file import Operator, TfliteGraph

# GridSample (4-D, linear) needs 16; nothing here needs more.
_OPSET = 17
_IR_VERSION = 8
# Smaller constants gain nothing from float16 and are often coordinates.
_HALF_FROM_ELEMENTS = 64


def convert(graph: TfliteGraph, name: str, *, half: bool = True) -> Any:
    """Write a TFLite graph in ONNX operators.

    Args:
        graph: the model read by `tflite_file.read_tflite`.
        name: graph name stored in the file.
        half: store weights as float16.

    Returns:
        An `onnx.ModelProto`, checked; input "input" as in TFLite (N, H, W, C),
        outputs named as in TFLite, in TFLite's shapes and element order.

    Raises:
        EngineError: an operator or option that is not known here.
    """
    return _Converter(graph, half).run(name)


class _Converter:
    def __init__(self, graph: TfliteGraph, half: bool) -> None:
        self.graph = graph
        self.half = half
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.constants = {i: t.constant for i, t in enumerate(graph.tensors) if t.constant is not None}
        self.names: dict[int, str] = {}
        self._stored: dict[tuple[str, int], str] = {}
        self._count = 0
        self._writers: dict[str, Callable[[Operator], None]] = {
            "DEQUANTIZE": self._alias,
            "DENSIFY": self._alias,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._conv,
            "Convolution2DTransposeBias": self._conv_transpose,
            "MAX_POOL_2D": self._pool,
            "AVERAGE_POOL_2D": self._pool,
            "PRELU": self._prelu,
            "RELU": lambda o: self._simple("Relu", o),
            "HARD_SWISH": lambda o: self._simple("HardSwish", o),
            "LOGISTIC": lambda o: self._simple("Sigmoid", o),
            "ADD": lambda o: self._binary("Add", o),
            "MUL": lambda o: self._binary("Mul", o),
            "PAD": self._pad,
            "RESHAPE": self._reshape,
            "CONCATENATION": self._concat,
            "RESIZE_BILINEAR": self._resize,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "STRIDED_SLICE": self._slice,
            "Landmarks2TransformMatrix": self._landmarks_to_matrix,
            "TransformTensorBilinear": self._sample_tensor,
            "TransformLandmarks": self._transform_landmarks,
        }

    def run(self, name: str) -> Any:
        from onnx import TensorProto, checker, helper

        (source,) = self.graph.inputs
        shape = self.graph.tensors[source].shape
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
        self.names[source] = self.node("Transpose", ["input"], perm=[0, 3, 1, 2])
        for operator in self.graph.operators:
            writer = self._writers.get(operator.kind)
            if writer is None:
                raise EngineError(f"The TFLite operator {operator.kind} cannot be converted.")
            writer(operator)
        outputs = []
        for index in self.graph.outputs:
            tensor = self.graph.tensors[index]
            self.node("Identity", [self._as_tflite(index)], output=tensor.name)
            outputs.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.shape))
        onnx_graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        model = helper.make_model(
            onnx_graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            producer_name="likeness-studio",
            ir_version=_IR_VERSION,
        )
        checker.check_model(model, full_check=True)
        return model

    # -- building blocks -------------------------------------------------

    def node(self, kind: str, inputs: list[str], *, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        self._count += 1
        output = output or f"t{self._count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def store(self, array: NDArray[Any]) -> str:
        """Add a constant, weights as float16; return its name."""
        from onnx import TensorProto, numpy_helper

        array = np.asarray(array, order="C")  # ascontiguousarray would give a scalar a dimension
        if array.dtype == np.float16:
            array = array.astype(np.float32)
        self._count += 1
        name = f"c{self._count}"
        if self.half and array.dtype == np.float32 and array.size >= _HALF_FROM_ELEMENTS:
            self.initializers.append(numpy_helper.from_array(array.astype(np.float16), name))
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        return self.store(np.array(values, np.int64))

    def floats(self, values: Any) -> str:
        return self.store(np.asarray(values, np.float32))

    def _constant(self, index: int) -> NDArray[Any]:
        if index not in self.constants:
            raise EngineError(f"Tensor {index} should be a constant.")
        return self.constants[index]

    def _name(self, index: int) -> str:
        """Return the ONNX name of a tensor, rank 4 as N,C,H,W."""
        if index in self.names:
            return self.names[index]
        array = self._constant(index)
        if array.ndim == 4:
            array = array.transpose(0, 3, 1, 2)
        elif array.ndim == 3 and array.shape[:2] == (1, 1):  # per-channel values
            array = array.reshape(-1, 1, 1)
        self.names[index] = self.store(array)
        return self.names[index]

    def _shape(self, index: int) -> tuple[int, ...]:
        return self.graph.tensors[index].shape

    def _as_tflite(self, index: int) -> str:
        name = self._name(index)
        return self.node("Transpose", [name], perm=[0, 2, 3, 1]) if len(self._shape(index)) == 4 else name

    def _set(self, operator: Operator, name: str) -> None:
        self.names[operator.outputs[0]] = self._activated(name, operator.options.get("activation", 0))

    def _activated(self, name: str, activation: int) -> str:
        # schema.fbs, enum ActivationFunctionType
        if activation == 0:
            return name
        if activation == 1:
            return self.node("Relu", [name])
        if activation == 3:
            return self.node("Clip", [name, self.floats(0.0), self.floats(6.0)])
        raise EngineError(f"Activation {activation} cannot be converted.")

    # -- ordinary operators ----------------------------------------------

    def _alias(self, operator: Operator) -> None:
        """Pass a constant on under another number (float16 -> float32, sparse -> dense)."""
        self.constants[operator.outputs[0]] = self._constant(operator.inputs[0])

    def _simple(self, kind: str, operator: Operator) -> None:
        self._set(operator, self.node(kind, [self._name(operator.inputs[0])]))

    def _binary(self, kind: str, operator: Operator) -> None:
        self._set(operator, self.node(kind, [self._name(i) for i in operator.inputs]))

    def _prelu(self, operator: Operator) -> None:
        self._set(operator, self.node("PRelu", [self._name(operator.inputs[0]), self._name(operator.inputs[1])]))

    def _pads(self, operator: Operator, kernel: tuple[int, int]) -> list[int]:
        """Return TensorFlow's SAME padding (the odd pixel goes last) as ONNX pads."""
        if operator.options["padding"] == 1:  # VALID
            return [0, 0, 0, 0]
        before, after = [], []
        for axis, key in ((1, "h"), (2, "w")):
            size, stride = self._shape(operator.inputs[0])[axis], operator.options[f"stride_{key}"]
            reach = (kernel[axis - 1] - 1) * operator.options.get(f"dilation_{key}", 1) + 1
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        return before + after

    def _conv(self, operator: Operator) -> None:
        options = operator.options
        weights = self._constant(operator.inputs[1])
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        if depthwise:  # (1, kh, kw, in * multiplier) -> (in * multiplier, 1, kh, kw)
            groups = self._shape(operator.inputs[0])[3]
            weights = weights.transpose(3, 0, 1, 2)
        else:  # (out, kh, kw, in) -> (out, in, kh, kw)
            groups = 1
            weights = weights.transpose(0, 3, 1, 2)
        kernel = (weights.shape[2], weights.shape[3])
        inputs = [self._name(operator.inputs[0]), self.store(weights)]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self.store(self._constant(operator.inputs[2]).reshape(-1)))
        name = self.node(
            "Conv",
            inputs,
            kernel_shape=list(kernel),
            strides=[options["stride_h"], options["stride_w"]],
            dilations=[options["dilation_h"], options["dilation_w"]],
            pads=self._pads(operator, kernel),
            group=groups,
        )
        self._set(operator, name)

    def _conv_transpose(self, operator: Operator) -> None:
        # MediaPipe's custom operator: options are TfLiteTransposeConvParams
        # {padding (1 = same), stride_width, stride_height}; weights (out, kh, kw, in).
        _, stride_w, stride_h = struct.unpack("<3i", operator.custom_options[:12])
        weights = self._constant(operator.inputs[1]).transpose(3, 0, 1, 2)
        if weights.shape[2:] != (stride_h, stride_w):
            raise EngineError("Only transposed convolutions without overlap can be converted.")
        bias = self._constant(operator.inputs[2]).reshape(-1)
        name = self.node(
            "ConvTranspose",
            [self._name(operator.inputs[0]), self.store(weights), self.store(bias)],
            kernel_shape=[stride_h, stride_w],
            strides=[stride_h, stride_w],
        )
        self._set(operator, name)

    def _pool(self, operator: Operator) -> None:
        options = operator.options
        kernel = (options["filter_h"], options["filter_w"])
        name = self.node(
            "MaxPool" if operator.kind == "MAX_POOL_2D" else "AveragePool",
            [self._name(operator.inputs[0])],
            kernel_shape=list(kernel),
            strides=[options["stride_h"], options["stride_w"]],
            pads=self._pads(operator, kernel),
        )
        self._set(operator, name)

    def _pad(self, operator: Operator) -> None:
        pads = self._constant(operator.inputs[1])
        if len(pads) == 4:
            pads = pads[[0, 3, 1, 2]]
        amounts = self.integers(*(int(p) for p in pads[:, 0]), *(int(p) for p in pads[:, 1]))
        self._set(operator, self.node("Pad", [self._name(operator.inputs[0]), amounts]))

    def _reshape(self, operator: Operator) -> None:
        shape = self._shape(operator.outputs[0])
        name = self.node("Reshape", [self._as_tflite(operator.inputs[0]), self.integers(*shape)])
        if len(shape) == 4:
            name = self.node("Transpose", [name], perm=[0, 3, 1, 2])
        self._set(operator, name)

    def _concat(self, operator: Operator) -> None:
        rank = len(self._shape(operator.outputs[0]))
        axis = operator.options["axis"] % rank
        if rank == 4:
            axis = (0, 2, 3, 1)[axis]
        self._set(operator, self.node("Concat", [self._name(i) for i in operator.inputs], axis=axis))

    def _resize(self, operator: Operator) -> None:
        options = operator.options
        mode = "asymmetric"
        if options["align_corners"]:
            mode = "align_corners"
        elif options["half_pixel_centers"]:
            mode = "half_pixel"
        n, h, w, c = self._shape(operator.outputs[0])
        name = self.node(
            "Resize",
            [self._name(operator.inputs[0]), "", "", self.integers(n, c, h, w)],
            mode="linear",
            coordinate_transformation_mode=mode,
        )
        self._set(operator, name)

    def _depth_to_space(self, operator: Operator) -> None:
        size = operator.options["block_size"]
        self._set(operator, self.node("DepthToSpace", [self._name(operator.inputs[0])], blocksize=size, mode="DCR"))

    def _slice(self, operator: Operator) -> None:
        begin, end, stride = (self._constant(i) for i in operator.inputs[1:])
        if any(operator.options.values()) or np.any(stride != 1):
            raise EngineError("Only plain slices can be converted.")
        if len(begin) == 4:
            begin, end = begin[[0, 3, 1, 2]], end[[0, 3, 1, 2]]
        starts, ends = self.integers(*(int(i) for i in begin)), self.integers(*(int(i) for i in end))
        self._set(operator, self.node("Slice", [self._name(operator.inputs[0]), starts, ends]))

    # -- MediaPipe's landmark attention ------------------------------------

    def _column(self, points: str, axis: int) -> str:
        """Return one coordinate of (1, N, 2 or 3) points.  # (1, N)"""
        return self.node("Gather", [points, self.store(np.array(axis, np.int64))], axis=2)

    def _landmarks_to_matrix(self, operator: Operator) -> None:
        """Write the matrix that maps the 16x16 sampling window onto the landmarks' rotated box.

        Source: mediapipe/util/tflite/operations/landmarks_to_transform_matrix.cc.
        The rotation brings the line between two landmarks to the target angle; the
        box of the chosen landmarks in that frame is enlarged by the scale.
        """
        from flatbuffers import flexbuffers

        options = flexbuffers.Loads(operator.custom_options)
        points = self._name(operator.inputs[0])  # (1, 468, 3)
        if options["target_rotation_radians"] != 0.0:
            raise EngineError("A target rotation in the landmark attention cannot be converted.")
        ends = self.node(
            "Gather", [points, self.integers(options["left_rotation_idx"], options["right_rotation_idx"])], axis=1
        )
        subset = self.node("Gather", [points, self.integers(*options["subset_idxs"])], axis=1)
        delta = self.node("Sub", [self._at(ends, 1), self._at(ends, 0)])  # (1, 3)
        dx, dy = (self.node("Slice", [delta, self.integers(i), self.integers(i + 1), self.integers(1)]) for i in (0, 1))
        squares = [self.node("Mul", [v, v]) for v in (dx, dy)]
        length = self.node("Sqrt", [self.node("Add", squares)])
        cos, sin = self.node("Div", [dx, length]), self.node("Div", [dy, length])  # (1, 1)
        # In the frame rotated by minus the angle: x' = cx + sy, y' = -sx + cy.
        x, y = self._column(subset, 0), self._column(subset, 1)  # (1, N)
        rotated = [
            self.node("Add", [self.node("Mul", [cos, x]), self.node("Mul", [sin, y])]),
            self.node("Sub", [self.node("Mul", [cos, y]), self.node("Mul", [sin, x])]),
        ]
        high = [self.node("ReduceMax", [v], axes=[1], keepdims=1) for v in rotated]
        low = [self.node("ReduceMin", [v], axes=[1], keepdims=1) for v in rotated]
        half = self.floats(0.5)
        cx, cy = (self.node("Mul", [self.node("Add", [h, k]), half]) for h, k in zip(high, low, strict=True))
        size = [self.node("Sub", [h, k]) for h, k in zip(high, low, strict=True)]
        width, height = options["output_width"], options["output_height"]
        sx = self.node("Mul", [size[0], self.floats(options["scale_x"] / width)])
        sy = self.node("Mul", [size[1], self.floats(options["scale_y"] / height)])
        a, b = self.node("Mul", [cos, sx]), self.node("Neg", [self.node("Mul", [sin, sy])])
        c, d = self.node("Mul", [sin, sx]), self.node("Mul", [cos, sy])
        center_x = self.node("Sub", [self.node("Mul", [cos, cx]), self.node("Mul", [sin, cy])])
        center_y = self.node("Add", [self.node("Mul", [sin, cx]), self.node("Mul", [cos, cy])])
        middle = self.floats([[width / 2, height / 2]])
        rows = []
        for first, second, center in ((a, b, center_x), (c, d, center_y)):
            pair = self.node("Concat", [first, second], axis=1)  # (1, 2)
            shift = self.node("ReduceSum", [self.node("Mul", [pair, middle]), self.integers(1)], keepdims=1)
            rows.append(self.node("Concat", [pair, self.floats([[0.0]]), self.node("Sub", [center, shift])], axis=1))
        rows.append(self.floats([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]]))
        flat = self.node("Concat", rows, axis=1)  # (1, 16)
        self._set(operator, self.node("Reshape", [flat, self.integers(1, 4, 4)]))

    def _at(self, points: str, index: int) -> str:
        return self.node("Gather", [points, self.store(np.array(index, np.int64))], axis=1)

    def _affine(self, matrix: str) -> tuple[str, str]:
        """Return the 2x2 part transposed, and the shift, of a (1, 4, 4) matrix.  # (1, 2, 2), (1, 1, 2)"""
        top = self.node("Slice", [matrix, self.integers(0), self.integers(2), self.integers(1)])
        linear = self.node("Slice", [top, self.integers(0), self.integers(2), self.integers(2)])
        shift = self.node("Slice", [top, self.integers(3), self.integers(4), self.integers(2)])
        return self.node("Transpose", [linear], perm=[0, 2, 1]), self.node("Transpose", [shift], perm=[0, 2, 1])

    def _sample_tensor(self, operator: Operator) -> None:
        """Write the bilinear sampling of a feature map through the matrix; 0 outside.

        Source: mediapipe/util/tflite/operations/transform_tensor_bilinear.cc:
        pixel centers, half a pixel apart from the matrix's pixel corners.
        """
        features, matrix = operator.inputs
        _, in_h, in_w, _ = self._shape(features)
        _, out_h, out_w, _ = self._shape(operator.outputs[0])
        linear, shift = self._affine(self._name(matrix))
        xs, ys = np.meshgrid(np.arange(out_w) + 0.5, np.arange(out_h) + 0.5)
        centers = np.stack([xs, ys], -1).reshape(1, -1, 2).astype(np.float32)
        where = self.node("Add", [self.node("MatMul", [self.floats(centers), linear]), shift])
        where = self.node("Sub", [where, self.floats(0.5)])  # (1, h * w, 2) in feature pixels
        scale = self.floats([[[2 / (in_w - 1), 2 / (in_h - 1)]]])
        unit = self.node("Sub", [self.node("Mul", [where, scale]), self.floats(1.0)])
        grid = self.node("Reshape", [unit, self.integers(1, out_h, out_w, 2)])
        sampled = self.node(
            "GridSample", [self._name(features), grid], mode="bilinear", padding_mode="border", align_corners=1
        )
        reach = self.node("ReduceMax", [self.node("Abs", [grid])], axes=[3], keepdims=0)  # (1, h, w)
        inside = self.node("Cast", [self.node("LessOrEqual", [reach, self.floats(1.0)])], to=1)
        inside = self.node("Reshape", [inside, self.integers(1, 1, out_h, out_w)])
        self._set(operator, self.node("Mul", [sampled, inside]))

    def _transform_landmarks(self, operator: Operator) -> None:
        linear, shift = self._affine(self._name(operator.inputs[1]))
        turned = self.node("MatMul", [self._name(operator.inputs[0]), linear])
        self._set(operator, self.node("Add", [turned, shift]))
