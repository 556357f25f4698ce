"""The tabs, in the order in which they stand; one module each.

A tab is a class with `id`, `title`, `build()` (create components, inside a
gr.Tab that build.py opens), `wire(tabs)` (attach listeners; `tabs` holds all
tabs by id, for handing things over) and `refresh` listeners of its own.
"""

from __future__ import annotations

from typing import Any, Protocol

import gradio as gr

from studio.ui.tabs.animate import AnimateTab
from studio.ui.tabs.expression import ExpressionTab
from studio.ui.tabs.generate import GenerateTab
from studio.ui.tabs.identities import IdentitiesTab
from studio.ui.tabs.jobs import JobsTab
from studio.ui.tabs.library import LibraryTab
from studio.ui.tabs.settings import SettingsTab
from studio.ui.tabs.train import TrainTab
from studio.ui.tabs.video import VideoTab
from studio.ui.window import Window


class Tab(Protocol):
    """One tab of the window."""

    id: str
    title: str

    def __init__(self, window: Window) -> None: ...

    def build(self) -> None:
        """Create the components."""
        ...

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        ...


TABS: tuple[type[Tab], ...] = (
    IdentitiesTab,
    TrainTab,
    GenerateTab,
    ExpressionTab,
    AnimateTab,
    VideoTab,
    LibraryTab,
    JobsTab,
    SettingsTab,
)
