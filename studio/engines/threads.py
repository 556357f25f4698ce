"""One thread for linear algebra: sums in another order end in other last digits, and threads only fight here.

A fit is a chain of small products. Shared between threads it is no faster, and a
portrait would look a shade different on a machine with more cores, which no
rerun could explain.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))  # its library is loaded now, and found
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Hold numpy's linear algebra to one thread, in this process, while the context lasts."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited
