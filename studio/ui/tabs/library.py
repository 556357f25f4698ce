"""Library: everything that was made, in pages of 24, each with its recipe.

A render can be played, starred, made once more, exported and deleted. A file
of ours that is dropped here tells its recipe, also when it left the library
long ago. Paging is by cursor, so that a hundred thousand renders open as fast
as ten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.clip_format import clip_suffixes
from studio.domain.expression import CONTROL, ExpressionEdit, title_of
from studio.domain.likeness import likeness_figure
from studio.domain.provenance import LAYERS
from studio.domain.render import Render
from studio.errors import UnreadableMediaError, UserInputError
from studio.services.library import LONGEST_TITLE
from studio.services.upkeep import TRASH_DAYS
from studio.ui.guard import say
from studio.ui.kit import results, text
from studio.ui.kit.clip_files import ClipFiles
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen, scroll_to
from studio.ui.kit.unit_chart import unit_chart
from studio.ui.window import Window

PAGE_SIZE = 24
KINDS = [("Everything", ""), ("Clips", "clip"), ("Pictures", "image"), ("Curves", "curves")]
ANYONE = ""
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".webp"})
"""Of renders that are no clips."""


def _drawn(render: Render) -> dict[str, str]:
    """Return what a drawn picture was made with; nothing of clips and edits."""
    recipe = render.recipe
    likeness = (recipe.get("measures") or {}).get("likeness")
    seed = (recipe.get("request") or {}).get("seed") if "base" in recipe else None
    return {
        "Seed": "" if seed is None else str(seed),
        "Adapters": results.worn(render),
        "Likeness": "" if likeness is None else f"{likeness_figure(likeness)}, own photos 1",
    }


def _words(render: Render) -> str:
    """Return the whole of what was asked for or said, where the title has only its beginning."""
    request = render.recipe.get("request") or {}
    said = str(request.get("prompt") or request.get("text") or request.get("transcript") or "")
    return text.folded(said, "All words") if " ".join(said.split()) != render.title else ""


def made_in(render: Render) -> str:
    """Return the id of the tab that made a render; empty when its recipe says nothing of it."""
    if not (render.recipe.get("request") or {}):
        return ""
    drawn = "base" in render.recipe
    if render.kind == "image":
        return "generate" if drawn else "expression"
    return "video" if drawn else "animate"


def title_of_render(render: Render) -> str:
    """Return the title as it is shown: one in names of controls, as they were given once, in the sliders' words."""
    request = render.recipe.get("request") or {}
    first = re.split(r"[,.…\s]", render.title, maxsplit=1)[0]
    if first in CONTROL and made_in(render) == "expression":
        return title_of(ExpressionEdit.from_saved(request["values"], request["neutralise"]))
    return render.title or ("Clip" if render.kind == "clip" else "Picture")


class LibraryTab:
    """The tab."""

    id = "library"
    title = "Library"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.library
        self.files = ClipFiles(window, "library")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.trail = gr.State([None])
        self.selected = gr.State(None)
        self.gone = gr.State(None)  # id of what was deleted last
        with gr.Row(elem_classes=["toolbar", "filters"]):
            self.person = gr.Dropdown(
                [("Everyone", ANYONE)],
                value=ANYONE,
                label="Person",
                info="Who is shown.",
                min_width=150,
                filterable=False,
            )
            self.kind = gr.Dropdown(
                KINDS, value="", label="Kind", info="Clips, pictures or curves.", min_width=130, filterable=False
            )
            self.words = gr.Textbox(
                label="Search",
                info="Title, spoken words or notes; press Enter.",
                min_width=180,
                max_lines=1,
                elem_id="library-search",
            )
            self.starred = gr.Checkbox(
                label="Starred only", info="Your favorites.", container=False, min_width=120, elem_id="library-starred"
            )
        with gr.Row(elem_classes=["split"]):
            with gr.Column(scale=7, min_width=320):
                self.grid = clickable(elem_id="library-grid")
                with gr.Row(elem_classes=["pager"]):
                    self.newer = gr.Button("Newer", size="sm", interactive=False, min_width=90, scale=0)
                    self.count = html()
                    self.older = gr.Button("Older", size="sm", interactive=False, min_width=90, scale=0)
                with gr.Row(elem_classes=["actions"]):
                    self.back = gr.Button("Bring back", size="sm", visible=False, elem_id="library-back")
                self._build_tools()
            with gr.Column(
                scale=5, min_width=320, elem_classes=["sheet"], visible=False, elem_id="library-detail"
            ) as panel:
                self.panel = panel
                self._build_detail()

    def _build_detail(self) -> None:
        self.video = gr.Video(
            show_label=False,
            label="Clip",
            interactive=False,
            visible=False,
            height=320,
            elem_id="library-video",
            buttons=[],
        )
        self.image = gr.Image(
            show_label=False,
            label="Picture",
            interactive=False,
            visible=False,
            height=320,
            type="filepath",
            buttons=[],
            elem_id="library-image",
        )
        self.about = html(elem_id="library-about")
        with gr.Row(elem_classes=["actions"]):
            self.reuse = gr.Button(
                "Open with these settings", variant="primary", size="sm", elem_id="library-reuse", min_width=180
            )
            self.dub = gr.Button("New speech", size="sm", elem_id="library-dub", min_width=110, visible=False)
            self.rerun = gr.Button("Make again", size="sm", elem_id="library-rerun", min_width=110)
            self.star = gr.Button("Star", size="sm", elem_id="library-star", min_width=80)
            self.export = gr.DownloadButton("Download", size="sm", elem_id="library-export", min_width=100)
            self.close = gr.Button("Close", size="sm", min_width=80, elem_id="library-close")
        with gr.Row(elem_classes=["actions"]):
            self.files.build_first()
        self.files.build_more()
        with gr.Accordion("Action units over time", open=False, visible=False, elem_id="library-units") as self.chart:
            self.units = html(elem_id="library-units-chart")
        with gr.Accordion("Rename", open=False, elem_id="library-rename"), gr.Row(elem_classes=["inline"]):
            self.new_title = gr.Textbox(
                label="Title",
                info="By which it is found; the file stays as it is.",
                max_length=LONGEST_TITLE,
                max_lines=1,
                elem_id="library-title",
            )
            self.rename = gr.Button("Rename", size="sm", scale=0, min_width=100, elem_id="library-rename-button")
        with gr.Accordion("Recipe", open=False, elem_id="library-recipe"):
            self.recipe = gr.Code(  # hidden until there is one: the editor is .4 MB of script
                language="json", show_label=False, label="Recipe", interactive=False, visible=False, max_lines=18
            )
        with gr.Accordion("Delete", open=False):
            kept = f"It can be brought back for {TRASH_DAYS} days. The photo and the sound stay."
            html(f'<p class="fine">{kept}</p>')
            self.delete = gr.Button("Delete this render", variant="stop", size="sm", elem_id="library-delete")

    def _build_tools(self) -> None:
        with gr.Accordion("Verify a file", open=False, elem_id="library-drop"):
            html('<p class="fine">Who made it, from what, and whether it was changed since; of any maker.</p>')
            self.dropped = gr.File(
                label="Drop a picture, a clip or a sound",
                height=90,
                elem_classes=["drop"],
                elem_id="library-file",
            )
            self.found = html(elem_id="library-found")
            self.found_recipe = gr.Code(language="json", label="Recipe", interactive=False, visible=False, max_lines=18)
        with gr.Accordion("Check all files", open=False, elem_id="library-verify"):
            html('<p class="fine">Reads every file and compares it with what the studio remembers.</p>')
            with gr.Row(elem_classes=["actions"]):
                self.verify = gr.Button("Check now", size="sm", elem_id="library-verify-button", min_width=110)
                self.sweep = gr.Button("Delete left-over files", size="sm", min_width=160)
            self.report = html(elem_id="library-report")

    # -- listeners ------------------------------------------------------------

    @property
    def detail(self) -> list[Any]:
        """Everything that `show` updates."""
        return [
            self.selected, self.panel, self.video, self.image, self.about, self.star, self.export, self.recipe,
            self.new_title, self.reuse, self.dub, self.chart, self.units, *self.files.parts,
        ]  # fmt: skip

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        filters = [self.person, self.kind, self.starred, self.words]
        self.listing = [self.grid, self.count, self.newer, self.older, self.trail]
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        self.files.wire()
        listen(item.select, self._enter, filters, [self.person, *self.listing], **quiet)
        for change in (self.person.input, self.kind.input, self.starred.input, self.words.submit, self.words.blur):
            listen(change, self._first_page, filters, self.listing, **quiet)
        listen(self.older.click, self._older, [*filters, self.trail], self.listing, **quiet)
        listen(self.newer.click, self._newer, [*filters, self.trail], self.listing, **quiet)
        opened = listen(self.grid.click, self._open, None, self.detail)
        listen(opened.success, None, None, None, js=scroll_to("#library-detail"))
        closed = listen(self.close.click, self._closed, None, self.detail, **quiet)
        listen(closed.success, None, None, None, js=scroll_to("#library-grid"))
        again = [*filters, self.trail]
        listen(self.star.click, self._star, [self.selected, *again], [*self.detail, *self.listing], **quiet)
        renamed = [self.selected, self.new_title, *again]
        for asked in (self.rename.click, self.new_title.submit):
            listen(asked, self._rename, renamed, [*self.detail, *self.listing], **quiet)
        self.makers = {name: tabs[name] for name in ("expression", "generate", "animate", "video")}
        filled = [part for maker in self.makers.values() for part in maker.reopened]
        listen(self.reuse.click, self._reuse, self.selected, [*filled, self.window.tabs], **quiet)
        self.dubs = tabs["animate"].dub
        listen(self.dub.click, self._new_speech, self.selected, [*self.dubs.restored, self.window.tabs], **quiet)
        gone = [self.gone, self.back, *self.detail, *self.listing]
        listen(self.delete.click, self._delete, [self.selected, *again], gone)
        listen(self.back.click, self._bring_back, [self.gone, *again], gone)
        rerun = listen(self.rerun.click, self._rerun, self.selected, [self.window.tabs])
        listen(rerun.success, tabs["jobs"].rows, None, tabs["jobs"].list, **quiet)
        listen(self.dropped.change, self._read, self.dropped, [self.found, self.found_recipe])
        listen(self.verify.click, self._verify, None, self.report)
        listen(self.sweep.click, self._sweep, None, self.report)

    # -- pages ------------------------------------------------------------------

    def _enter(self, *filters: Any) -> Updates:
        people = [("Everyone", ANYONE), *((p.name, p.id) for p in self.window.studio.identities.list())]
        known = filters[0] in [p for _, p in people]
        choice = filters[0] if known else ANYONE
        return {self.person: gr.Dropdown(people, value=choice), **self._first_page(choice, *filters[1:])}

    def _first_page(self, *filters: Any) -> Updates:
        return self._page(filters, [None])

    def _older(self, *inputs: Any) -> Updates:
        *filters, trail = inputs
        return self._page(filters, trail)

    def _newer(self, *inputs: Any) -> Updates:
        *filters, trail = inputs
        return self._page(filters, trail[:-2] or [None])

    def _page(self, filters: Any, trail: list[Any]) -> Updates:
        """Return the page that the last cursor of `trail` begins.

        The trail holds the cursors of the pages up to here and, behind them, that of the next page.
        """
        person, kind, starred, words = filters
        page = self.service.page(
            identity_id=person or None,
            kind=kind or None,
            starred=True if starred else None,
            text=(words or "").strip() or None,
            cursor=trail[-1],
            size=PAGE_SIZE,
        )
        if not page.renders:
            filtered = person or kind or starred or (words or "").strip()
            body = (
                text.empty("Nothing matches", "Choose other filters, or clear the search.", "library")
                if filtered
                else text.empty("Nothing made yet", "Save an expression, or make a clip on the Animate tab.", "library")
            )
        else:
            people = {p.id: p.name for p in self.window.studio.identities.list()}
            body = text.cards([self._card(r, people) for r in page.renders], "grid", "Renders")
        first = (len(trail) - 1) * PAGE_SIZE
        said = f"{first + 1}-{first + len(page.renders)} of {page.total}" if page.renders else ""
        older = page.next_cursor is not None
        trail = [*trail, page.next_cursor]
        return {
            self.grid: body,
            self.count: f'<p class="fine">{said}</p>',
            self.newer: gr.Button(interactive=len(trail) > 2),
            self.older: gr.Button(interactive=older),
            self.trail: trail,
        }

    def _card(self, render: Render, people: Mapping[str, str]) -> text.Card:
        """Return the tile of a render: many share a title, so it says whose it is, with which seed, and when."""
        request = render.recipe.get("request") or {}
        seed = f"seed {request['seed']}" if made_in(render) in ("generate", "video") else ""
        said = (people.get(render.identity_id or "", ""), seed, text.when(render.created))
        return text.Card(
            render.id,
            title_of_render(render),
            " · ".join(filter(None, said)),
            self.window.picture_url(self.service.thumbnail(render)),
            corner=text.clock(render.duration_seconds) if render.kind == "clip" else "",
            mark="★" if render.starred else "",
            act="render",
            icon="film",
        )

    # -- one render ---------------------------------------------------------------

    def _open(self, event: gr.EventData) -> Updates:
        return self.show(clicked(event)[1])

    def show(self, render_id: str) -> Updates:
        """Return the updates of `self.detail` for one render."""
        render = self.service.show(render_id)
        path = self.window.handed_out(render)
        playable = render.file_extension in clip_suffixes("video")
        seen = render.file_extension in PICTURE_SUFFIXES | clip_suffixes("picture")
        recipe = json.dumps(dict(render.recipe), indent=2, ensure_ascii=False, default=str)
        return {
            self.selected: render.id,
            self.panel: gr.Column(visible=True),
            self.video: gr.Video(value=path if playable else None, visible=playable),
            self.image: gr.Image(value=str(path) if seen else None, visible=seen),
            self.about: self._facts(render),
            self.star: gr.Button("Unstar" if render.starred else "Star"),
            self.export: gr.DownloadButton(value=path),
            self.recipe: gr.Code(value=recipe, visible=True),
            self.new_title: title_of_render(render),
            self.reuse: gr.Button(visible=bool(made_in(render))),
            self.dub: gr.Button(visible=playable),
            **self._charted(render.id),
            **self.files.of(render.id),
        }

    def _charted(self, render_id: str) -> Updates:
        """Return the chart of a clip's units; a picture, and a clip that nothing moved, has none."""
        scores = self.service.action_units(render_id)
        chart = "" if scores is None else unit_chart(scores)
        return {self.chart: gr.Accordion(visible=bool(chart)), self.units: chart}

    def _facts(self, render: Render) -> str:
        pixels = f"{render.width}×{render.height} px" if render.width else ""
        people = {p.id: p.name for p in self.window.studio.identities.list()}
        rows = {
            "Shows": people.get(render.identity_id or "", ""),
            "Made": text.when(render.created),
            "Size": pixels,
            **_drawn(render),
            "Length": text.clock(render.duration_seconds),
            "Engine": f"{render.engine} {render.engine_version}",
            "Took": text.span(render.seconds) if render.seconds >= 1 else f"{render.seconds * 1000:.0f} ms",
            "Made again from": self._parent(render),
        }
        return text.heading(title_of_render(render)) + _words(render) + text.facts(rows)

    def _parent(self, render: Render) -> str:
        """Return what a render was made again from, in words."""
        if render.parent_id is None:
            return ""
        first = self.service.show(render.parent_id)
        return f"{title_of_render(first)}, {text.when(first.created)}"

    def _closed(self) -> Updates:
        return {
            self.selected: None,
            self.panel: gr.Column(visible=False),
            self.video: gr.Video(value=None),
            self.image: gr.Image(value=None),
            self.about: "",
            self.recipe: "",
        }

    def _rename(self, selected: str, title: str, *again: Any) -> Updates:
        self.service.rename(selected, title or "")
        return self.show(selected) | self._same_page(*again)

    def _reuse(self, selected: str) -> Updates:
        """Go to the tab that made the render, with everything set as it was then."""
        render = self.service.show(selected)
        maker = self.makers[made_in(render)]
        filled: Updates = maker.reopen(render, self.service.inputs(render))
        return filled | {self.window.tabs: gr.Tabs(selected=maker.id)}

    def _new_speech(self, selected: str) -> Updates:
        """Go to Animate with this clip as the video that shall say something else."""
        render = self.service.show(selected)
        path = self.window.shelf.put(self.service.path(render), f"{render.title or 'clip'}{render.file_extension}")
        filled: Updates = self.dubs.with_clip(path, render.identity_id)
        return filled | {self.window.tabs: gr.Tabs(selected="animate")}

    def _star(self, selected: str, *again: Any) -> Updates:
        render = self.service.show(selected)
        self.service.star(selected, not render.starred)
        return self.show(selected) | self._same_page(*again)

    def _delete(self, selected: str, *again: Any) -> Updates:
        title = text.shortened(title_of_render(self.service.show(selected)), 40)
        self.service.delete(selected)
        say(f"“{title}” was deleted.", 4)
        back = gr.Button(f"Bring back “{title}”", visible=True)
        return self._closed() | self._same_page(*again) | {self.gone: selected, self.back: back}

    def _bring_back(self, gone: str, *again: Any) -> Updates:
        self.service.restore(gone)
        return self.show(gone) | self._same_page(*again) | {self.gone: None, self.back: gr.Button(visible=False)}

    def _same_page(self, *again: Any) -> Updates:
        *filters, trail = again
        return self._page(filters, trail[:-1] or [None])

    def _rerun(self, selected: str) -> Any:
        job = self.service.submit_rerun(selected)
        say(f"“{job.title}” is in the queue, to be made again.", 5)
        return gr.Tabs(selected="jobs")

    # -- files --------------------------------------------------------------------

    def _read(self, path: str | None) -> tuple[Any, ...]:
        if not path:
            return "", gr.Code(visible=False, value=None)
        verdict = self.window.studio.provenance.verify(Path(path))
        changed = verdict.credentials is not None and verdict.credentials.standing == "changed"
        tone = "warn" if changed or verdict.is_synthetic is None else "good"
        told = text.notice(verdict.says, "", tone) + text.facts({LAYERS[f.layer]: f.says for f in verdict.findings})
        try:
            recipe = self.service.recipe_of_file(Path(path))
        except (UserInputError, UnreadableMediaError):  # another maker's: the findings say so
            return told, gr.Code(visible=False, value=None)
        shown = json.dumps(dict(recipe), indent=2, ensure_ascii=False, default=str)
        return told, gr.Code(value=shown, visible=True)

    def _verify(self) -> str:
        report = self.window.upkeep.verify()
        if report.ok:
            return text.notice(report.sentence, tone="good")
        lines = [
            *(f"missing: {n}" for n in report.missing[:20]),
            *(f"changed: {n}" for n in report.changed[:20]),
            *(f"left over: {n}" for n in report.orphans[:20]),
        ]
        tone = "bad" if report.missing or report.changed else "warn"
        return text.notice(
            report.sentence, "Left-over files may be deleted; the others come back from a backup.", tone
        ) + text.hints(lines)

    def _sweep(self) -> str:
        freed = self.window.upkeep.sweep()
        return text.notice(f"{text.size(freed)} were set free.", tone="good")
