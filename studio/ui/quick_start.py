"""Spares the start what Gradio does on each start and this window never uses.

Loading Gradio renders and compares type stubs for editors, class by class (.7 s
of the processor), and putting a page together makes a web server at every step,
of which only the last, that of `launch`, ever serves (.3 s). Both are left out
from the outside, so both look first whether this Gradio still has the place
(requirements.txt pins it); where it has not, everything runs as Gradio means it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

STUB_MODULE, STUB_WRITER = "gradio.component_meta", "create_or_modify_pyi"
SERVER_MAKER = "create_app"


class _WithoutStubs(SourceFileLoader):
    """Loads the module that writes stubs, and takes the writer out of it."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if hasattr(module, STUB_WRITER):
            setattr(module, STUB_WRITER, lambda component_class, class_name, events: None)


class _Finder(MetaPathFinder):
    """Finds one module, and hands it to the loader above."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != STUB_MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _WithoutStubs(fullname, spec.loader.path)
        return spec


def without_stubs() -> None:
    """Let Gradio load without writing stubs; to be called before its first import, and harmless after it."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def without_servers() -> Iterator[None]:
    """Put a page together inside this block and no server is made; `launch` makes the one that serves."""
    from gradio.routes import App

    made = getattr(App, SERVER_MAKER, None)
    if made is None:
        yield
        return

    def none_yet(blocks: Any, *arguments: Any, **options: Any) -> None:
        return None

    setattr(App, SERVER_MAKER, staticmethod(none_yet))
    try:
        yield
    finally:
        setattr(App, SERVER_MAKER, staticmethod(made))
