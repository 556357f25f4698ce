"""Video: a person that an adapter was taught speaks, drawn frame by frame.

The picture that the clip begins with is chosen first, from those that were
drawn; or the clip draws its own. Drawing pictures and making the clip are jobs
which this tab only watches. The request is built here and checked by
services/video.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.adapter import STRENGTH_RANGE, says_trigger, with_trigger
from studio.domain.clip_format import CLIP_FORMATS, USUAL_CLIP_FORMAT
from studio.domain.job import Job
from studio.domain.render import Render
from studio.errors import NotFoundError, StudioError, UserInputError
from studio.services.clips.animation import EMOTIONS
from studio.services.pictures.generation import checked_generation
from studio.services.sources import MediaSource
from studio.services.video.request import LARGEST_CHANGE, USUAL_CHANGE
from studio.services.video.video import VideoRequest, checked_video
from studio.ui.guard import warn
from studio.ui.kit import results, text
from studio.ui.kit.clip_stage import ClipStage
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen, scroll_to
from studio.ui.kit.draft import HANDED_OVER, Draft, Kept, fitting, hidden
from studio.ui.kit.speech_form import SpeechForm
from studio.ui.training.plan_form import base_title
from studio.ui.window import Window

PICTURE_ENGINE = "diffusion"
RECENT = 12
FOUR = 4
ANEW = "anew"
"""In place of a picture's id: the clip draws its own."""
RATES = (25, 30)
STILL = ("None: each frame is drawn by itself", "")
EMPTY_STAGE = text.empty(
    "Nothing to play yet",
    "Choose who speaks and what is said; the first frames appear while the rest is drawn.",
    "film",
)


class VideoTab:
    """The tab."""

    id = "video"
    title = "Video"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.video
        self.speech = SpeechForm(window, "video")
        self.stage = ClipStage(window, "video", ("video",), EMPTY_STAGE)
        self.draft = Draft("video")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.drawing = gr.State(None)
        self.seen = gr.State(None)
        self.draft.build()
        self.picture = hidden("video-picture", "Picture to begin with")
        with gr.Row(elem_classes=["split", "workbench"]):
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet"]):
                html('<h3 class="step"><b>1</b> Person</h3>')
                self._build_person()
                html('<h3 class="step"><b>2</b> Speech</h3>')
                self.speech.build()
                html('<h3 class="step"><b>3</b> Drawing</h3>')
                self._build_drawing()
            with gr.Column(scale=6, min_width=320, elem_classes=["stage"]):
                self.stage.build(self._build_acts)

    def _build_person(self) -> None:
        with gr.Row():
            self.base = gr.Dropdown(
                [], label="Base model", info="Draws the frames.", filterable=False, min_width=180, elem_id="video-base"
            )
            self.adapter = gr.Dropdown(
                [], label="Adapter", info="Who speaks.", filterable=False, min_width=180, elem_id="video-adapter"
            )
        self.strength = gr.Slider(
            *STRENGTH_RANGE, value=1.0, step=0.05, label="Strength of the adapter", info="1 as trained.",
            buttons=["reset"], elem_classes=["control"], elem_id="video-strength",
        )  # fmt: skip
        self.prompt = gr.Textbox(
            value="a photo of a person", label="Picture", info="What every frame shows, in words.", lines=2,
            max_lines=6, elem_id="video-prompt",
        )  # fmt: skip
        self.strip = clickable(elem_id="video-strip")
        with gr.Row(elem_classes=["actions"]):
            self.four = gr.Button("Draw four to choose from", size="sm", elem_id="video-four")
        self.drawn = clickable(elem_id="video-drawn")

    def _build_drawing(self) -> None:
        self.change = gr.Slider(
            0.1, LARGEST_CHANGE, value=USUAL_CHANGE, step=0.05, label="Drawn anew",
            info="How much of each frame may differ from the rig's.", buttons=["reset"], elem_classes=["control"],
            elem_id="video-change",
        )  # fmt: skip
        self.own_lips = gr.Checkbox(
            value=True, label="Keep the rig's mouth and eyes", info="Small bases smear them.", elem_id="video-own-lips"
        )
        self.motion = gr.Dropdown(
            [STILL], value="", label="Motion", filterable=False, visible=False, elem_id="video-motion",
            info="Frames see each other, around the picture that the clip begins with.",
        )  # fmt: skip
        with gr.Row(visible=False) as self.moving:
            self.anchored = gr.Slider(
                0.0, 1.0, value=1.0, step=0.05, label="First picture held", info="How strongly all frames keep to it.",
                buttons=["reset"], elem_classes=["control"], min_width=140, elem_id="video-anchored",
            )  # fmt: skip
            self.control = gr.Slider(
                0.0, 1.0, value=1.0, step=0.05, label="3D face steers", info="How strongly lips and turns are led.",
                buttons=["reset"], elem_classes=["control"], min_width=140, elem_id="video-control",
            )  # fmt: skip
        with gr.Row():
            self.emotion = gr.Dropdown(
                [("None", ""), *((e.capitalize(), e) for e in EMOTIONS)], value="", label="Emotion", filterable=False,
                info="Colors the whole performance.", min_width=140,
            )  # fmt: skip
            self.seed = gr.Number(
                value=1, precision=0, minimum=0, maximum=2**31 - 1, label="Seed", info="Of picture and motion.",
                min_width=140, elem_id="video-seed",
            )  # fmt: skip
        with gr.Accordion("Output", open=False, elem_id="video-output"), gr.Row():
            self.format = gr.Dropdown(
                [(f.title, f.name) for f in CLIP_FORMATS.values() if not f.has_alpha], value=USUAL_CLIP_FORMAT,
                label="Format", filterable=False, info="What the file is.", min_width=140,
            )  # fmt: skip
            self.rate = gr.Dropdown(
                [(f"{r} per second", r) for r in RATES], value=25, label="Frames", filterable=False,
                info="More is smoother and slower to make.", min_width=140,
            )  # fmt: skip

    def _build_acts(self) -> None:
        self.make = gr.Button("Make the clip", variant="primary", elem_id="video-make")
        self.cost = html(elem_id="video-cost")

    # -- listeners ------------------------------------------------------------

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        self.stage.wire(item)
        chosen = [self.base, self.adapter, self.picture]
        entered = [self.base, self.adapter, self.strip, self.motion, self.moving]
        listen(item.select, self._enter, [*chosen, self.motion], entered, **quiet, **self.draft.lane)
        self.speech.wire(item, self.draft.lane)
        listen(self.base.input, self._new_base, self.base, [self.adapter, self.motion, self.moving], **quiet)
        listen(self.motion.input, lambda name: gr.Row(visible=bool(name)), self.motion, self.moving, **quiet)
        listen(self.adapter.input, self._new_adapter, [self.adapter, self.prompt], self.prompt, **quiet)
        # in the lane of entering: a strip that was begun before a picture was picked must not come after it
        listen(self.strip.click, self._pick, None, [self.picture, self.strip, self.seed], **quiet, **self.draft.lane)
        self.watch_drawing = [self.drawing, self.seen, self.drawn, self.picture, self.strip, self.seed]
        asked = listen(self.four.click, self._draw_four, self._of_picture, self.watch_drawing, **quiet)
        listen(asked.success, None, None, None, js=scroll_to("#video-drawn"))
        listen(self.drawn.click, self._act_on_drawing, None, self.watch_drawing, **quiet, **self.draft.lane)
        told = (self.speech.sound.change, self.speech.typed.blur, self.base.change, self.change.release)
        for change in (*told, self.rate.input, self.stage.shown.change):  # once a clip is made, more is known
            listen(change, self._say_cost, self._inputs, self.cost, trigger_mode="always_last", **quiet)
        begun = listen(self.make.click, self._submit, self._inputs, self.stage.watch, **quiet)
        listen(begun.success, None, None, None, js=scroll_to("#video-progress"))
        (stage, stage_in, stage_out), count = self.stage.tick, len(self.stage.tick[1])
        self.tick = (
            lambda *values: stage(*values[:count]) | self._tick(*values[count:]),
            [*stage_in, self.drawing, self.seen],
            [*stage_out, *self.watch_drawing],
        )
        self.draft.wire(item, self._kept, self._restore, [self.picture], self._restored)

    def find_running(self) -> Updates:
        """Find the newest active clip again, after a refresh or in a second browser."""
        return self.stage.find_running()

    @property
    def _of_picture(self) -> list[Any]:
        return [self.base, self.adapter, self.strength, self.prompt, self.seed]

    @property
    def _inputs(self) -> list[Any]:
        moved = [self.motion, self.anchored, self.control]
        how = [self.change, self.own_lips, *moved, self.emotion, self.format, self.rate]
        return [*self._of_picture, self.picture, *how, *self.speech.inputs]

    @property
    def _plain(self) -> dict[str, Any]:
        """What of the form is a single value that suits every base, by name."""
        names = ("strength", "prompt", "change", "own_lips", "anchored", "control", "emotion", "seed", "format", "rate")
        return {name: getattr(self, name) for name in names}

    @property
    def _kept(self) -> dict[str, Any]:
        chosen = {"base": self.base, "adapter": self.adapter, "picture": self.picture, "motion": self.motion}
        return {**self._plain, **chosen, **self.speech.told}

    @property
    def _restored(self) -> list[Any]:
        chosen = [self.base, self.adapter, self.strip, self.picture, self.motion, self.moving]
        return [*chosen, *self._plain.values(), *self.speech.restored]

    @property
    def reopened(self) -> list[Any]:
        """What `reopen` updates."""
        return [*self._restored, self.draft.box]

    @property
    def handed(self) -> list[Any]:
        """What `hand_over` updates."""
        chosen = [self.base, self.adapter, self.strip, self.picture, self.motion, self.moving]
        return [*chosen, self.strength, self.prompt, self.seed]

    # -- who speaks -------------------------------------------------------------

    def hand_over(self, render: Render) -> Updates:
        """Return the updates of `handed`: a drawn picture is what the clip begins with."""
        request, worn = render.recipe["request"], self._worn_in(render)
        filled = self._chosen(request["base"], worn[0][0] if worn else None, render.id)
        strength = worn[0][1] if worn else 1.0
        return {**filled, self.strength: strength, self.prompt: request["prompt"], self.seed: request["seed"]}

    def reopen(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the form as it was when a clip was made; what is gone is said.

        Args:
            files: what it was made from, by role.
        """
        request, worn = dict(render.recipe["request"]), self._worn_in(render)
        emotion = next(iter(request.get("emotions") or {}), "")
        kept = {
            **request,
            **self.speech.reopened(request, files),
            "adapter": worn[0][0] if worn else "",
            "strength": worn[0][1] if worn else 1.0,
            "emotion": emotion,
            "rate": request["frame_rate_hz"],
            "picture": self._picture_with((request.get("picture") or {}).get("sha256")),
        }
        gone = [] if worn or not render.recipe.get("adapters") else [render.recipe["adapters"][0]["name"]]
        gone += ["the sound"] if request.get("sound") and "sound" not in files else []
        if gone:
            warn(f"Not everything could be set. No longer here: {', '.join(gone)}.", 10)
        return {self.speech.sound: None, **self._restore(kept, ""), self.draft.box: HANDED_OVER}

    def _worn_in(self, render: Render) -> list[tuple[str, float]]:
        """Return the adapters of a render that are still here, with their strengths."""
        here = {a.media_sha256: a.id for a in self.window.studio.adapters.list()}
        noted = render.recipe.get("adapters") or ()
        return [(here[a["sha256"]], float(a["strength"])) for a in noted if a["sha256"] in here]

    def _picture_with(self, sha256: str | None) -> str:
        """Return the id of the drawn picture with these bytes; "" where it is not among the recent ones."""
        return next((r.id for r in self._recent() if sha256 and r.media_sha256 == sha256), "")

    def _restore(self, kept: Kept, picture: str | None) -> Updates:
        """Return the form as it was before the page was loaded anew; what was handed over since stays."""
        updates = fitting(self._plain, kept) | self.speech.restore(kept)
        if picture:  # handed over, with its base, its adapter and its words
            for part in (self.strength, self.prompt, self.seed):
                updates.pop(part, None)
            return updates
        adapter, shown = str(kept.get("adapter") or ""), str(kept.get("picture") or "")
        return updates | self._chosen(kept.get("base"), adapter, shown, str(kept.get("motion") or ""))

    def _enter(self, base: str | None, adapter: str | None, picture: str | None, motion: str | None) -> Updates:
        chosen = self._chosen(base, adapter, picture, motion)
        return {part: chosen[part] for part in (self.base, self.adapter, self.strip, self.motion, self.moving)}

    def _chosen(self, base: Any, adapter: str | None, picture: str | None, motion: str | None = "") -> Updates:
        """Return base, adapter, motion and strip as they are now, with what was chosen where it is still there."""
        entries = {e.card.name: e for e in self.window.studio.bases.list()}
        name = base if base in entries else next(iter(entries), None)
        bases = gr.Dropdown([(base_title(e), n) for n, e in entries.items()], value=name)
        shown = picture if any(r.id == picture for r in self._recent()) else ""
        return {
            self.base: bases,
            self.adapter: self._adapters(name, adapter),
            self.strip: self._cards(shown),
            self.picture: shown,
            **self._motions(name, motion),
        }

    def _motions(self, base: str | None, chosen: str | None) -> Updates:
        """Return the motions that move a base; where there are none, nothing is asked."""
        card = next((e.card for e in self.window.studio.bases.list() if e.card.name == base), None)
        fit = () if card is None else self.service.motions.ready_for(card)
        value = chosen if chosen in [m.name for m in fit] else ""
        shown = gr.Dropdown([STILL, *((m.title, m.name) for m in fit)], value=value, visible=bool(fit))
        return {self.motion: shown, self.moving: gr.Row(visible=bool(value))}

    def _adapters(self, base: str | None, chosen: str | None) -> gr.Dropdown:
        fit = [] if base is None else [(a.name, a.id) for a in self.window.studio.adapters.fitting(base)]
        return gr.Dropdown([("Nobody taught", ""), *fit], value=chosen if chosen in [i for _, i in fit] else "")

    def _new_base(self, base: str) -> Updates:
        return {self.adapter: self._adapters(base, None), **self._motions(base, "")}

    def _new_adapter(self, adapter: str, prompt: str | None) -> str:
        """Put the adapter's word into the prompt, which without it draws somebody else."""
        if not adapter:
            return prompt or ""
        trigger = self.window.studio.adapters.get(adapter).trigger
        return (prompt or "") if says_trigger(prompt or "", trigger) else with_trigger(prompt or "", trigger)

    # -- the picture to begin with -------------------------------------------------

    def _recent(self) -> list[Render]:
        found = self.window.studio.library.page(kind="image", size=3 * RECENT).renders
        return [r for r in found if r.engine == PICTURE_ENGINE][:RECENT]

    def _cards(self, picture: str | None) -> str:
        """Return the recent drawn pictures to choose from; the first card leaves it to the clip."""
        own = text.Card(ANEW, "Drawn with the clip", "from words", act="begin", selected=not picture, icon="generate")
        library = self.window.studio.library
        shown = [
            text.Card(
                r.id, text.shortened(results.prompt_of(r), 60), f"seed {r.recipe['request']['seed']}",
                self.window.picture_url(library.thumbnail(r)), act="begin", selected=r.id == picture,
                corner=results.short_badge(r.recipe),
            )
            for r in self._recent()
        ]  # fmt: skip
        return text.cards([own, *shown], "strip recent", "The picture that the clip begins with")

    def _pick(self, event: gr.EventData) -> Updates:
        picked = clicked(event)[1]
        if picked == ANEW:
            return {self.picture: "", self.strip: self._cards("")}
        seed = self.window.studio.library.show(picked).recipe["request"]["seed"]
        return {self.picture: picked, self.strip: self._cards(picked), self.seed: seed}

    def _draw_four(self, *values: Any) -> Updates:
        request = checked_generation({**self._picture_fields(*values), "count": FOUR})
        return self._drawing(self.window.studio.generation.submit_generate(request), None)

    def _act_on_drawing(self, event: gr.EventData) -> Updates:
        act, job_id = clicked(event)
        return self._drawing(self.window.act_on_job(act, job_id), None)

    def _tick(self, watched: str | None, seen: str | None) -> Updates:
        if not watched:
            return {}
        try:
            return self._drawing(self.window.studio.jobs.get(watched), seen)
        except NotFoundError:
            return {self.drawing: None, self.seen: None, self.drawn: ""}

    def _drawing(self, job: Job, seen: str | None) -> Updates:
        """Return the updates of `watch_drawing`: the job's card, and its first picture chosen once it is done."""
        state = f"{job.id}/{job.state}/{job.fraction:.3f}/{job.preview_number}/{job.cancel_requested}"
        if state == seen:
            return {self.drawing: job.id}
        if job.state != "done":
            card = self.window.job_card(job, with_open=False)
            return {self.drawing: job.id, self.seen: state, self.drawn: card}
        first = self.window.studio.library.show(str(job.outputs["render_ids"][0]))
        chosen = {self.picture: first.id, self.strip: self._cards(first.id), self.seed: first.recipe["request"]["seed"]}
        return {self.drawing: None, self.seen: None, self.drawn: "", **chosen}

    # -- the request ------------------------------------------------------------

    def _picture_fields(
        self, base: str | None, adapter: str | None, strength: float, prompt: str | None, seed: float | None
    ) -> dict[str, Any]:
        """Return what is asked of a picture.

        Raises:
            UserInputError: there are no words, or no base.
        """
        if not (prompt or "").strip():
            raise UserInputError("There are no words yet.", "Write what every frame shows.")
        if not base:
            raise UserInputError("There is no base model yet.", "Choose one.")
        worn = [{"adapter_id": adapter, "strength": float(strength)}] if adapter else []
        return {"base": base, "prompt": (prompt or "").strip(), "adapters": worn, "seed": int(seed or 0)}

    def _request(self, *values: Any) -> VideoRequest:
        """Return what the person asked for.

        Raises:
            UserInputError: a value cannot be used.
            NotFoundError: the picture to begin with is gone.
        """
        count = len(self._of_picture)
        picture, change, own_lips, motion, anchored, control, emotion, form, rate, *speech = values[count:]
        begun = self.window.studio.library.show(picture).media_sha256 if picture else None
        return checked_video(
            {
                **self._picture_fields(*values[:count]),
                **self.speech.fields(*speech),
                "picture": MediaSource.media(begun) if begun else None,
                "change": float(change),
                "own_lips": bool(own_lips),
                "motion": motion or "",
                "anchored": float(anchored),
                "control": float(control),
                "emotions": {emotion: 0.6} if emotion else {},
                "format": form,
                "frame_rate_hz": int(rate),
            }
        )

    def _submit(self, *values: Any) -> Updates:
        return self.stage.of_job(self.service.submit_video(self._request(*values)), None)

    def _say_cost(self, *values: Any) -> str:
        """Return one line on what the clip will take; nothing while it cannot be said."""
        try:
            cost = self.service.cost(self._request(*values))
        except StudioError:
            return ""  # not everything is filled in yet; pressing the button says what is missing
        if cost.frames is None:
            return ""
        took = "" if cost.seconds is None else f", about {text.span(cost.seconds)}"
        return f'<p class="fine">{cost.frames} frames{took}.</p>'
