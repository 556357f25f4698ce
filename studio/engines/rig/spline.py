"""A color between pixels: Catmull-Rom over four by four neighbors of red, green, blue and alpha.

Half of a frame's time is spent here. A row of four neighbors is sixteen numbers that lie
side by side, which the processor reads, weighs and adds at one go; numba does not see
that by itself, so this one step is written in LLVM's words. This module knows no maps
and no photos.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]

_LANE, _INDEX = ir.FloatType(), ir.IntType(32)


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def weights_at(t: Any) -> Any:
    """Return the four weights of a Catmull-Rom spline at 0 <= t < 1, all of float32."""
    half, one = np.float32(0.5), np.float32(1.0)
    return (
        t * (t * (one - half * t) - half),
        one + t * t * (np.float32(1.5) * t - np.float32(2.5)),
        t * (half + t * (np.float32(2.0) - np.float32(1.5) * t)),
        t * t * (half * t - half),
    )


def _typed(typing: Any, line: Any, start: Any, step: Any, across: Any, down: Any) -> Any:
    """Return red, green, blue and alpha of four by four neighbors, each weighed by its column and row.

    Args:
        typing: numba's own; not given by callers.
        line: pixels of four numbers, row after row.  # (H * W * 4,) float32 contiguous
        start: where the first neighbor stands in it.
        step: from a row to the next.
        across: weights of the columns.  # 4 float32
        down: weights of the rows.  # 4 float32
    """
    return across(line, types.uintp, types.uintp, across, down), _blended


def _blended(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write in LLVM's words what `_typed` says."""
    line, at, step, across, down = values
    data = context.make_array(signature.args[0])(context, builder, line).data
    rows = None
    for n in range(4):
        place = builder.bitcast(builder.gep(data, [at]), ir.VectorType(_LANE, 16).as_pointer())
        row = builder.fmul(builder.load(place, align=4), _spread(builder, down, n, 16), flags=("fast",))
        rows = row if rows is None else builder.fadd(rows, row, flags=("fast",))
        at = builder.add(at, step)
    color = None
    nothing = ir.Constant(ir.VectorType(_LANE, 16), ir.Undefined)
    for n in range(4):
        lanes = ir.Constant(ir.VectorType(_INDEX, 4), list(range(4 * n, 4 * n + 4)))
        column = builder.fmul(
            builder.shuffle_vector(rows, nothing, lanes), _spread(builder, across, n, 4), flags=("fast",)
        )
        color = column if color is None else builder.fadd(color, column, flags=("fast",))
    out = ir.Constant(ir.ArrayType(_LANE, 4), ir.Undefined)
    for k in range(4):
        out = builder.insert_value(out, builder.extract_element(color, _INDEX(k)), k)
    return out


def _spread(builder: Any, weights: Any, n: int, lanes: int) -> Any:
    """Return weight `n` in every lane."""
    nothing = ir.Constant(ir.VectorType(_LANE, lanes), ir.Undefined)
    first = builder.insert_element(nothing, builder.extract_value(weights, n), _INDEX(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes))


blend: Any = intrinsic(_typed)
