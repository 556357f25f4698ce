"""Puts the window together: one Blocks, the tabs in order, the stable API.

`build` makes the page from an open studio, `launch` serves it. Gradio's cache
folder lies in the data folder and is swept; the database and the media can
never be fetched by the page; nothing is loaded from or reported to outside.
"""

from __future__ import annotations

import os
import socket
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import gradio as gr
from starlette.responses import FileResponse
from starlette.routing import Route

import studio
from studio.errors import EngineError, EngineUnavailableError, UserInputError
from studio.services.clips.live import Live
from studio.services.upkeep import Upkeep
from studio.ui import gate, live_routes, quick_start, theme
from studio.ui.api import actions as api
from studio.ui.clips.moments import Moments
from studio.ui.kit.controls import html
from studio.ui.pictures.painting import bound_paintings
from studio.ui.shelf import Shelf
from studio.ui.tabs import TABS
from studio.ui.theme import ColorScheme
from studio.ui.window import OpenStudio, Window

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "agents.md"
"""What programs and agents are told, at /agents.md."""
HUB = "https://huggingface.co"
CACHE_SWEEP_SECONDS = (3600, 86400)
"""Every hour, files older than a day."""


class Page(gr.Blocks):
    """The page, whether a browser has drawn it (`drawn`), what moves portraits live in it, and moments to play."""

    drawn: threading.Event
    live: Live
    moments: Moments


def build(
    open_studio: OpenStudio,
    upkeep: Upkeep,
    data_dir: Path,
    *,
    scheme: ColorScheme = "system",
    max_upload_mb: int = 512,
) -> Page:
    """Return the page of an open studio, ready for `launch`.

    Args:
        data_dir: the window keeps its cache below it.
        scheme: colors until the person chooses: system, light or dark.
        upkeep: of the whole data folder, for the Library and Settings tabs.
    """
    cache = data_dir / "cache" / "window"
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    bound_paintings()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    window = Window(open_studio, upkeep, Shelf(cache), data_dir, studio.__version__, scheme, max_upload_mb)
    with quick_start.without_servers():
        with Page(title="Likeness Studio", analytics_enabled=False, delete_cache=CACHE_SWEEP_SECONDS) as page:
            html('<header class="brand"><span class="logo" aria-hidden="true"></span><h1>Likeness Studio</h1></header>')
            window.timer.render()  # type: ignore[no-untyped-call]
            built: dict[str, Any] = {}
            items: dict[str, gr.Tab] = {}
            with window.tabs.render():  # type: ignore[no-untyped-call]
                for kind in TABS:
                    tab = kind(window)
                    with gr.Tab(tab.title, id=tab.id, elem_id=f"tab-{tab.id}") as items[tab.id]:
                        tab.build()
                    built[tab.id] = tab
            for name, tab in built.items():
                tab.wire(built, items[name], page)
        with page.route("For programs", "programs", show_in_navbar=False):
            api.expose(window)
        page.queue(default_concurrency_limit=4)
    page.drawn, page.live, page.moments = window.drawn, open_studio.live, window.moments
    return cast(Page, page)


def rules(data_dir: Path, *, names: str = "", frames: str = "", max_request_mb: int = 4096) -> gate.Rules:
    """Return the gate's rules as settings say them: lists with commas, and MB.

    A hosted Space is reached under the name in SPACE_HOST alone, and shown in a
    frame of the hub's page: without both it could not be used at all.
    """
    hosted = os.environ.get("SPACE_HOST", "")
    all_names = (*_listed(names.lower()), *_listed(hosted.lower()))
    all_frames = _listed(frames) or ((HUB,) if hosted else ())
    return gate.Rules(data_dir, all_names, all_frames, max_request_mb * 1_000_000)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


async def _manual(request: Any) -> FileResponse:
    """Answer with the text for programs and agents."""
    return FileResponse(MANUAL, media_type="text/markdown")


def launch(
    page: gr.Blocks,
    data_dir: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    password: str = "",
    scheme: ColorScheme = "system",
    max_upload_mb: int = 512,
    agents: bool = False,
    *,
    rules: gate.Rules | None = None,
) -> str:
    """Serve the page in the background and return its address.

    Args:
        agents: also serve the named actions as tools of the Model Context Protocol, at gradio_api/mcp/.
        rules: of the gate; default those of a window on this computer.

    Raises:
        UserInputError: another program listens on the port.
        EngineUnavailableError: tools for agents are asked for, and their library is not installed.
        EngineError: the server did not come up.
    """
    if agents and find_spec("mcp") is None:
        raise EngineUnavailableError(
            "Tools for agents need the library mcp, which is not installed.",
            "Install it (pip install 'mcp<2'), or leave the setting agents off.",
        )
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((host, port)) == 0:
            raise UserInputError(f"Port {port} is taken by another program.", "Close it, or set STUDIO_PORT.")
    closed = [str(p) for p in data_dir.iterdir() if p.name != "cache"]
    made_later = ("media", "studio.db", "settings.toml", "keys", "watermark.key", "backups", "runs", "trash", "work")
    closed += [str(data_dir / name) for name in made_later]
    own = live_routes.routes(page.live, page.moments) if isinstance(page, Page) else ()
    try:
        with quick_start.without_hurry():
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                auth=("studio", password) if password else None,
                theme=theme.build(),
                css=theme.icon_css(),
                css_paths=theme.css_paths(),
                head=theme.head(scheme),
                favicon_path=theme.ASSETS / "icons" / "favicon.svg",
                footer_links=[],
                max_file_size=f"{max_upload_mb}mb",
                app_kwargs={
                    "lifespan": gate.lifespan(rules or gate.Rules(data_dir)),
                    "routes": [Route("/agents.md", _manual), *own],
                },
                blocked_paths=sorted(set(closed)),
                show_error=False,
                quiet=True,
                inbrowser=False,
                share=False,
                ssr_mode=False,
                mcp_server=agents,
                enable_monitoring=False,
                run_history=False,
                prevent_thread_lock=True,
            )
    except OSError as exc:  # its server ended at once
        raise EngineError(
            f"The window could not be opened on port {port}: its server did not come up.",
            "See whether a program or a proxy stands in the way, or set STUDIO_PORT to another port.",
        ) from exc
    return address
