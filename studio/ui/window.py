"""What every tab is handed: the services, the shelf, and a few values of this window.

The window knows the studio only as an object with these services; it never
sees Settings, the store or an engine. Nothing here belongs to one person or
one browser: that is kept in gr.State and gr.BrowserState.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import gradio as gr

from studio.domain.job import Job
from studio.domain.render import Render
from studio.errors import NotFoundError
from studio.services.bases import Bases
from studio.services.bundles import Bundles
from studio.services.clips.animation import Animation
from studio.services.clips.dialogue import Dialogue
from studio.services.clips.dubbing import Dubbing
from studio.services.clips.live import Live
from studio.services.clips.performances import Performances
from studio.services.jobs import Jobs
from studio.services.library import Library
from studio.services.people.curation import Curation
from studio.services.people.identities import Identities
from studio.services.people.training_set import TrainingSets
from studio.services.people.variants import Variants
from studio.services.people.withdrawal import Withdrawals
from studio.services.pictures.generation import Generation
from studio.services.portraits.expressions import Expressions
from studio.services.portraits.head_models import HeadModels
from studio.services.portraits.presets import Presets
from studio.services.portraits.templates import Templates
from studio.services.portraits.units import ActionUnits
from studio.services.projects import Projects
from studio.services.provenance import Provenance
from studio.services.training.history import RunHistory
from studio.services.training.runs import Training
from studio.services.upkeep import Upkeep
from studio.services.video.video import Video
from studio.ui.clips.moments import Moments
from studio.ui.kit import jobcard
from studio.ui.shelf import Shelf

if TYPE_CHECKING:
    from studio.services.adapters.exchange import AdapterExchange
    from studio.services.adapters.shelf import AdapterShelf

BUSY_SECONDS, IDLE_SECONDS = 1.0, 5.0
"""How often the page asks for news, while a job is active and while none is."""


class OpenStudio(Protocol):
    """The services of one owner, as the window uses them."""

    projects: Projects
    bundles: Bundles
    identities: Identities
    withdrawals: Withdrawals
    curation: Curation
    training_sets: TrainingSets
    variants: Variants
    bases: Bases
    training: Training
    runs: RunHistory
    adapters: AdapterShelf
    adapter_exchange: AdapterExchange
    generation: Generation
    expressions: Expressions
    templates: Templates
    action_units: ActionUnits
    head_models: HeadModels
    animation: Animation
    performances: Performances
    live: Live
    library: Library
    video: Video
    dubbing: Dubbing
    dialogue: Dialogue
    presets: Presets
    provenance: Provenance
    jobs: Jobs


@dataclass(frozen=True)
class Window:
    """One window on a studio.

    Attributes:
        upkeep: of the whole data folder.
        data_dir: shown in the Settings tab and kept out of the page's reach.
        timer: ticks while the page is open; not inside a tab, where it would sleep until the tab is opened.
        drawn: set when a browser has drawn the page for the first time.
    """

    studio: OpenStudio
    upkeep: Upkeep
    shelf: Shelf
    data_dir: Path
    version: str
    scheme: str = "system"
    max_upload_mb: int = 512
    timer: gr.Timer = field(default_factory=lambda: gr.Timer(BUSY_SECONDS, render=False))
    tabs: gr.Tabs = field(default_factory=lambda: gr.Tabs(render=False))
    drawn: threading.Event = field(default_factory=threading.Event)
    moments: Moments = field(default_factory=Moments)

    def act_on_job(self, act: str, job_id: str) -> Job:
        """Do what a job card's button says: cancel, resume or retry."""
        jobs = self.studio.jobs
        return {"cancel": jobs.cancel, "resume": jobs.resume, "retry": jobs.retry}[act](job_id)

    def job_card(self, job: Job, log_tail: str = "", *, with_open: bool = True) -> str:
        """Return a job as the page shows it, with its newest picture or the icon of its kind."""
        jobs = self.studio.jobs
        return jobcard.card(
            job, self.job_picture(job), log_tail, with_open=with_open, icon=jobs.icon(job),
            keeps_its_work=jobs.keeps_its_work(job),
        )  # fmt: skip

    def job_picture(self, job: Job) -> str:
        """Return the address of a job's newest frame, or of what it made; empty when there is neither."""
        render_id = made_by(job)
        if render_id:
            try:
                return self.picture_url(self.studio.library.thumbnail(self.studio.library.show(render_id)))
            except NotFoundError:  # the render was deleted since
                return ""
        path = self.studio.jobs.preview(job.id) if job.preview_number else None
        return self.picture_url(path) if path else ""

    def handed_out(self, render: Render, name: str = "") -> Path:
        """Lay a render on the shelf as it leaves the studio: signed, once, under a name for the person."""
        key = hashlib.sha256(f"signed {render.id} {render.media_sha256}".encode()).hexdigest()[:20]
        library = self.studio.library
        named = f"{name or render.title or 'likeness'}{render.file_extension}"
        return self.shelf.once(key, named, lambda out: library.export(render.id, out))

    def picture_url(self, path: Path) -> str:
        """Put a picture on the shelf and return its address."""
        return self.shelf.url(self.shelf.put(path))


def made_by(job: Job) -> str | None:
    """Return the id of the (first) render that a finished job made; None when it made none."""
    several = job.outputs.get("render_ids")
    found = several[0] if several else job.outputs.get("render_id")
    return None if found is None else str(found)
