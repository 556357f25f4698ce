"""Reading a TFLite model file: its operators, tensors and constants.

A TFLite file is a FlatBuffer; the few tables needed here are read by field
number, so that no machine-learning library is needed to build the models.
Field numbers: TensorFlow's `tensorflow/lite/schema/schema.fbs`. Build time
only. Knows nothing of ONNX, of quantised (integer) models, or of files with
more than one subgraph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studio.errors import EngineError

# schema.fbs, enum TensorType (only the types these models use).
_DTYPES: dict[int, Any] = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}

# schema.fbs, enum BuiltinOperator (only the operators these models use).
_BUILTIN_NAMES = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    34: "PAD",
    45: "STRIDED_SLICE",
    54: "PRELU",
    117: "HARD_SWISH",
    124: "DENSIFY",
}

FieldKind = Literal["int8", "uint8", "int32"]

# Options tables: name -> (field number, type); every default is 0 unless said.
_OPTION_FIELDS: dict[str, dict[str, tuple[int, FieldKind, int]]] = {
    "CONV_2D": {
        "padding": (0, "int8", 0),
        "stride_w": (1, "int32", 0),
        "stride_h": (2, "int32", 0),
        "activation": (3, "int8", 0),
        "dilation_w": (4, "int32", 1),
        "dilation_h": (5, "int32", 1),
    },
    "DEPTHWISE_CONV_2D": {
        "padding": (0, "int8", 0),
        "stride_w": (1, "int32", 0),
        "stride_h": (2, "int32", 0),
        "multiplier": (3, "int32", 0),
        "activation": (4, "int8", 0),
        "dilation_w": (5, "int32", 1),
        "dilation_h": (6, "int32", 1),
    },
    "MAX_POOL_2D": {
        "padding": (0, "int8", 0),
        "stride_w": (1, "int32", 0),
        "stride_h": (2, "int32", 0),
        "filter_w": (3, "int32", 0),
        "filter_h": (4, "int32", 0),
        "activation": (5, "int8", 0),
    },
    "CONCATENATION": {"axis": (0, "int32", 0), "activation": (1, "int8", 0)},
    "ADD": {"activation": (0, "int8", 0)},
    "MUL": {"activation": (0, "int8", 0)},
    "RESIZE_BILINEAR": {"align_corners": (2, "uint8", 0), "half_pixel_centers": (3, "uint8", 0)},
    "DEPTH_TO_SPACE": {"block_size": (0, "int32", 0)},
    "STRIDED_SLICE": {
        "begin_mask": (0, "int32", 0),
        "end_mask": (1, "int32", 0),
        "ellipsis_mask": (2, "int32", 0),
        "new_axis_mask": (3, "int32", 0),
        "shrink_axis_mask": (4, "int32", 0),
    },
}
_OPTION_FIELDS["AVERAGE_POOL_2D"] = _OPTION_FIELDS["MAX_POOL_2D"]


@dataclass(frozen=True)
class Tensor:
    """One tensor: its name, static shape and, for a constant, its value."""

    name: str
    shape: tuple[int, ...]
    constant: NDArray[Any] | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` and `outputs` are tensor numbers (-1 = absent)."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]
    custom_options: bytes


@dataclass(frozen=True)
class TfliteGraph:
    """The single subgraph of a TFLite file, operators in execution order."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _Record:
    """One FlatBuffer table, its fields read by number."""

    def __init__(self, buffer: bytes, position: int) -> None:
        from flatbuffers.table import Table

        self._table = Table(buffer, position)

    def _offset(self, number: int) -> int:
        return int(self._table.Offset(4 + 2 * number))

    def scalar(self, number: int, kind: FieldKind, default: int = 0) -> int:
        """Return a number."""
        from flatbuffers import number_types

        flags = {"int8": number_types.Int8Flags, "uint8": number_types.Uint8Flags, "int32": number_types.Int32Flags}
        offset = self._offset(number)
        return int(self._table.Get(flags[kind], self._table.Pos + offset)) if offset else default

    def child(self, number: int) -> _Record | None:
        """Return a table (or union) field."""
        offset = self._offset(number)
        if not offset:
            return None
        return _Record(self._table.Bytes, int(self._table.Indirect(offset + self._table.Pos)))

    def children(self, number: int) -> list[_Record]:
        """Return a vector of tables."""
        offset = self._offset(number)
        if not offset:
            return []
        start = self._table.Vector(offset)
        return [
            _Record(self._table.Bytes, int(self._table.Indirect(start + 4 * i)))
            for i in range(self._table.VectorLen(offset))
        ]

    def array(self, number: int, dtype: Any) -> NDArray[Any]:
        """Return a vector of numbers."""
        offset = self._offset(number)
        if not offset:
            return np.zeros(0, dtype)
        return np.frombuffer(self._table.Bytes, dtype, self._table.VectorLen(offset), int(self._table.Vector(offset)))

    def text(self, number: int) -> str:
        """Return a string."""
        offset = self._offset(number)
        return self._table.String(offset + self._table.Pos).decode() if offset else ""


def read_tflite(data: bytes, name: str) -> TfliteGraph:
    """Read a model file.

    Args:
        data: a .tflite file with one subgraph.
        name: what to call it in errors.

    Returns:
        Its operators and tensors; sparse constants are made dense.

    Raises:
        EngineError: the file is not such a model, or uses an operator that is
            not known here.
    """
    if data[4:8] != b"TFL3":
        raise EngineError(f"{name} is not a TFLite model.", "Get the wheel again: the file may be damaged.")
    model = _Record(data, int.from_bytes(data[:4], "little"))
    subgraphs = model.children(2)
    if len(subgraphs) != 1:
        raise EngineError(f"{name} has {len(subgraphs)} subgraphs; exactly one was expected.")
    graph = subgraphs[0]
    buffers = [b.array(0, np.uint8) for b in model.children(4)]
    codes = [_operator_name(c, name) for c in model.children(1)]
    return TfliteGraph(
        tensors=tuple(_read_tensor(t, buffers) for t in graph.children(0)),
        operators=tuple(_read_operator(o, codes) for o in graph.children(3)),
        inputs=tuple(int(i) for i in graph.array(1, np.int32)),
        outputs=tuple(int(i) for i in graph.array(2, np.int32)),
    )


def _operator_name(code: _Record, file_name: str) -> str:
    custom = code.text(1)
    if custom:
        return custom
    number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
    if number not in _BUILTIN_NAMES:
        raise EngineError(f"{file_name} uses the TFLite operator {number}, which cannot be converted.")
    return _BUILTIN_NAMES[number]


def _read_operator(record: _Record, codes: list[str]) -> Operator:
    kind = codes[record.scalar(0, "int32")]
    fields = _OPTION_FIELDS.get(kind, {})
    options = record.child(4)
    values = {
        name: options.scalar(number, type_, default) if options else default
        for name, (number, type_, default) in fields.items()
    }
    return Operator(
        kind,
        tuple(int(i) for i in record.array(1, np.int32)),
        tuple(int(i) for i in record.array(2, np.int32)),
        values,
        record.array(5, np.uint8).tobytes(),
    )


def _read_tensor(record: _Record, buffers: list[NDArray[np.uint8]]) -> Tensor:
    shape = tuple(int(n) for n in record.array(0, np.int32))
    type_number = record.scalar(1, "int8")
    data = buffers[record.scalar(2, "int32")]
    constant = None
    if data.size:
        values = np.frombuffer(data.tobytes(), _DTYPES[type_number])
        sparsity = record.child(6)
        constant = _densify(values, shape, sparsity) if sparsity else values.reshape(shape)
    return Tensor(record.text(3), shape, constant)


def _densify(values: NDArray[Any], shape: tuple[int, ...], sparsity: _Record) -> NDArray[Any]:
    """Spread the stored blocks of a sparse constant over a dense array.

    Source: schema.fbs, SparsityParameters: the dimensions are walked in
    `traversal_order`; dimensions beyond the tensor's rank are the insides of
    blocks, and `block_map` says which dimension each of them divides.
    """
    order = [int(i) for i in sparsity.array(0, np.int32)]
    block_map = [int(i) for i in sparsity.array(1, np.int32)]
    dims = [_Dimension.read(d) for d in sparsity.children(2)]
    rank = len(shape)
    # order[level] names the dimension walked at that level; dims is by level.
    block_size = {rank + i: dims[order.index(rank + i)].dense_size for i in range(len(block_map))}
    out = np.zeros(shape, values.dtype)
    written = 0

    def walk(level: int, position: int, where: dict[int, int]) -> None:
        nonlocal written
        if level == len(order):
            index = [where[d] for d in range(rank)]
            for i, divided in enumerate(block_map):
                index[divided] = index[divided] * block_size[rank + i] + where[rank + i]
            out[tuple(index)] = values[position]
            written += 1
            return
        dim = dims[level]
        for here, next_position in dim.steps(position):
            walk(level + 1, next_position, {**where, order[level]: here})

    walk(0, 0, {})
    if written != values.size:
        raise EngineError(f"A sparse constant has {values.size} values but {written} places.")
    return out


@dataclass(frozen=True)
class _Dimension:
    """One level of a sparse tensor: dense with a size, or compressed rows."""

    dense_size: int
    segments: NDArray[Any] | None
    indices: NDArray[Any] | None

    @classmethod
    def read(cls, record: _Record) -> _Dimension:
        if record.scalar(0, "int8") == 0:
            return cls(record.scalar(1, "int32"), None, None)
        return cls(0, _index_vector(record, 2, 3), _index_vector(record, 4, 5))

    def steps(self, position: int) -> list[tuple[int, int]]:
        """Return (coordinate, position at the next level) of every entry."""
        if self.segments is None or self.indices is None:
            return [(i, position * self.dense_size + i) for i in range(self.dense_size)]
        low, high = int(self.segments[position]), int(self.segments[position + 1])
        return [(int(self.indices[i]), i) for i in range(low, high)]


def _index_vector(record: _Record, type_field: int, field_number: int) -> NDArray[Any]:
    # union SparseIndexVector: 1 Int32Vector, 2 Uint16Vector, 3 Uint8Vector
    dtype = {1: np.int32, 2: np.uint16, 3: np.uint8}[record.scalar(type_field, "uint8")]
    vector = record.child(field_number)
    if vector is None:
        raise EngineError("A sparse constant has no index vector.")
    return vector.array(0, dtype)
