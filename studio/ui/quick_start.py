"""Spares the start what Gradio does on each start and this window never uses, and what hurries it.

Loading Gradio renders and compares type stubs for editors, class by class (.7 s
of the processor), and putting a page together makes a web server at every step,
of which only the last, that of `launch`, ever serves (.3 s). And Gradio gives
its server five seconds to come up and three to answer, which on a busy machine
are over before it does: it then says that localhost cannot be reached. All of
it is left out from the outside, so each looks first whether this Gradio still has the place
(requirements.txt pins it); where it has not, it runs as Gradio means it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

STUB_MODULE, STUB_WRITER = "gradio.component_meta", "create_or_modify_pyi"
SERVER_MAKER = "create_app"
LOOK_SECONDS = 0.01


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


@contextmanager
def without_hurry() -> Iterator[None]:
    """Launch a page inside this block and its server may take as long as it needs; it fails when it has ended.

    That it can be reached needs no second look: Gradio has asked it, without a limit, to start its queue.
    """
    from gradio import http_server, networking

    places: tuple[tuple[Any, str, Any], ...] = (
        (http_server.Server, "run_in_thread", _run_in_thread),
        (networking, "url_ok", lambda url: True),
    )
    with ExitStack() as stack:
        for where, name, ours in places:
            if hasattr(where, name):
                stack.callback(setattr, where, name, getattr(where, name))
                setattr(where, name, ours)
        yield


def _run_in_thread(server: Any) -> None:
    """Run Gradio's server in a thread of its own, and return when it is up.

    Raises:
        ServerFailedToStartError: it ended before.
    """
    from gradio.exceptions import ServerFailedToStartError

    server.thread = threading.Thread(target=server.run, daemon=True)
    server.thread.start()
    while not server.started:
        if not server.thread.is_alive():
            raise ServerFailedToStartError("The server ended while it started.")
        time.sleep(LOOK_SECONDS)
