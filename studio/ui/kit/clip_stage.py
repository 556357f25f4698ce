"""Where a clip is shown: the player, what is said of it, the job that makes it, the downloads.

The stage only watches its job: it reads the row, so that a refresh or a second
browser finds the running job again.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from studio.domain.clip_format import clip_suffixes
from studio.domain.job import Job
from studio.errors import NotFoundError
from studio.ui.kit import text
from studio.ui.kit.clip_files import ClipFiles
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.window import Window


class ClipStage:
    """The right half of a tab that makes clips."""

    def __init__(self, window: Window, name: str, kinds: tuple[str, ...], empty: str) -> None:
        """Remember the window.

        Args:
            name: of the tab; begins the ids of elements.
            kinds: of the jobs that are watched.
            empty: shown while there is no clip.
        """
        self.window = window
        self.name = name
        self.kinds = kinds
        self.empty = empty
        self.files = ClipFiles(window, name)

    def build(self, acts: Callable[[], None]) -> None:
        """Create the components, inside the tab's layout; `acts` creates its buttons."""
        self.watched = gr.State(None)
        self.shown = gr.State(None)
        self.looked = gr.State(False)
        self.placeholder = html(self.empty)
        self.video = gr.Video(
            label="Clip",
            show_label=False,
            interactive=False,
            visible=False,
            height=440,
            elem_id=f"{self.name}-video",
            buttons=[],
        )
        self.caption = html(elem_id=f"{self.name}-caption")
        with gr.Row(elem_classes=["actions", "clip-acts"], elem_id=f"{self.name}-acts"):
            acts()
        self.progress = clickable(elem_id=f"{self.name}-progress")
        with gr.Column(visible=False) as self.downloads:
            self._build_downloads()

    def _build_downloads(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            self.get_clip = gr.DownloadButton("Download clip", size="sm", elem_id=f"{self.name}-get-clip")
            self.files.build_first()
        self.files.build_more()

    @property
    def parts(self) -> list[Any]:
        """What shows a clip."""
        return [self.video, self.placeholder, self.caption, self.downloads, self.get_clip, *self.files.parts]

    @property
    def watch(self) -> list[Any]:
        """What `of_job` updates."""
        return [self.watched, self.shown, self.progress, *self.parts]

    def wire(self, item: gr.Tab) -> None:
        """Attach the listeners."""
        quiet = {"show_progress": "hidden"}
        listen(item.select, self._show_newest, [self.looked, self.watched], [self.looked, *self.parts], **quiet)
        listen(self.progress.click, self._act, None, self.watch, show_progress="hidden")
        self.files.wire()
        self.tick = (self._tick, [self.watched, self.shown], self.watch)

    def find_running(self) -> Updates:
        """Find the newest active clip again, after a refresh or in a second browser."""
        active = filter(None, map(self.window.studio.jobs.newest_active, self.kinds))
        job = max(active, key=lambda job: job.created, default=None)
        return {} if job is None else self.of_job(job, None)

    def _show_newest(self, looked: bool, watched: str | None) -> Updates:
        """Show the newest finished clip when the tab is first opened: one that ended during a refresh is not lost.

        It is not watched, so that this answer, come late, takes the place of no job that was begun meanwhile.
        """
        if looked or watched:
            return {self.looked: True}
        for job in self.window.studio.jobs.list():
            if job.kind in self.kinds and job.state == "done" and self._is_kept(job):
                return {self.looked: True, **self._finished(job)}
        return {self.looked: True}

    def _is_kept(self, job: Job) -> bool:
        try:
            render = self.window.studio.library.show(str(job.outputs.get("render_id")))
        except NotFoundError:  # deleted since
            return False
        return render.deleted is None

    def of_job(self, job: Job, shown: str | None) -> Updates:
        """Return the updates of `watch`: the job's card, and its clip once it is done."""
        state = f"{job.id}/{job.state}/{job.fraction:.3f}/{job.preview_number}/{job.message}/{job.cancel_requested}"
        if state == shown:
            return {self.watched: job.id}
        now = {self.watched: job.id, self.shown: state}
        if job.state != "done":
            return {**now, self.progress: self.window.job_card(job, with_open=False)}
        note = text.notice(
            f"Done in {text.span(_seconds(job))}.", "The clip is in the Library, with its recipe.", "good"
        )
        return {**now, self.progress: note, **self._finished(job)}

    def _act(self, event: gr.EventData) -> Updates:
        act, job_id = clicked(event)
        return self.of_job(self.window.act_on_job(act, job_id), None)

    def _tick(self, watched: str | None, shown: str | None) -> Updates:
        if not watched:
            return {}
        try:
            return self.of_job(self.window.studio.jobs.get(watched), shown)
        except NotFoundError:
            return {self.watched: None, self.shown: None, self.progress: ""}

    def _finished(self, job: Job) -> Updates:
        """Return the updates of `parts` for a finished job."""
        library = self.window.studio.library
        render = library.show(str(job.outputs["render_id"]))
        path = self.window.handed_out(render)
        playable = render.file_extension in clip_suffixes("video")
        video = gr.Video(value=path if playable else None, visible=playable, autoplay=False)
        name = render.title or "clip"
        fine = f"{escape(name)} · {render.width}×{render.height} px · {text.clock(render.duration_seconds)}"
        said = text.hints(str(h) for h in job.outputs.get("hints", ()))
        return {
            self.video: video,
            self.placeholder: gr.HTML(visible=not playable),
            self.caption: f'<p class="fine">{fine}</p>' + said,
            self.downloads: gr.Column(visible=True),
            self.get_clip: gr.DownloadButton(value=path),
            **self.files.of(render.id),
        }


def _seconds(job: Job) -> float:
    if not (job.started and job.finished):
        return 0.0
    return (job.finished - job.started).total_seconds()
