"""Animate: a portrait and a sound become a talking clip.

The first three seconds can be seen at once; the whole clip is a job, which
this tab only watches: it reads the row, so that a refresh or a second browser
finds the running job again. The request is built here and checked by
services/animation.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.clip_format import CLIP_FORMATS, USUAL_CLIP_FORMAT
from studio.domain.expression import CONTROL, ExpressionEdit
from studio.domain.render import Render
from studio.errors import UserInputError
from studio.services.clips.animation import (
    EMOTIONS,
    FRAME_RATES_HZ,
    Amounts,
    AnimationRequest,
    checked_request,
)
from studio.services.clips.dialogue import is_dialogue
from studio.services.clips.dubbing import is_dubbed
from studio.services.clips.request import MOVING_ROLES
from studio.ui.clips.dialogue import DialogueFold
from studio.ui.clips.dub import DubFold
from studio.ui.clips.layers import LayersFold
from studio.ui.clips.live import LiveFold
from studio.ui.clips.mover import MoverFolds
from studio.ui.guard import warn
from studio.ui.kit import text
from studio.ui.kit.clip_stage import ClipStage
from studio.ui.kit.controls import Updates, clickable, html, listen
from studio.ui.kit.draft import HANDED_OVER, Draft, Kept, fitting, hidden, parsed
from studio.ui.kit.portrait_chooser import Choice, PortraitChooser, source_of
from studio.ui.kit.speech_form import SpeechForm
from studio.ui.window import Window

PREVIEW_SECONDS = 3.0
SIZES: list[tuple[str, int]] = [
    ("As the photo, at most 1024", 0),
    *((f"{s} px", s) for s in (256, 512, 720, 1024, 1536, 2048)),
]
SHUTTERS: list[tuple[str, int]] = [("None", 0), ("Slight, 90°", 90), ("Film, 180°", 180)]
_CALLED = {
    "sound": "the sound",
    "motion": "the motion",
    "driving": "the driving video",
    "performance": "the performance",
}
SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".opus", ".aac")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
AMOUNT_HELP = {
    "jaw": "How far the jaw drops.",
    "lips": "How much the lips shape each sound.",
    "articulation": "From mumbled (0) to over-clear (2).",
    "head": "How much the head moves with the voice.",
    "blink": "How often the eyes blink.",
    "gaze": "How much the eyes wander.",
    "brows": "How much the brows follow the voice.",
    "breath": "How much chest and shoulders rise.",
    "asymmetry": "How different left and right may be.",
}
EMPTY_STAGE = text.empty(
    "Nothing to play yet",
    "Choose a portrait and a sound or a video of a face, then see the first seconds or make the whole clip.",
    "animate",
)
AMOUNT_NAMES = tuple(f.name for f in fields(Amounts))


def checked_expression(kept: Kept) -> dict[str, Any] | None:
    """Return an expression that was kept, where its controls are still there; None without one."""
    try:
        edit = ExpressionEdit(dict(kept["values"]), bool(kept["neutralise"]))
    except (KeyError, TypeError, ValueError, UserInputError):
        return None
    return {"values": dict(edit.values), "neutralise": edit.neutralise}


class AnimateTab:
    """The tab."""

    id = "animate"
    title = "Animate"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.animation
        self.chooser = PortraitChooser(window, "animate")
        self.speech = SpeechForm(window, "animate")
        self.stage = ClipStage(window, "animate", ("animate", "dub", "dialogue"), EMPTY_STAGE)
        self.find_running = self.stage.find_running
        self.layers = LayersFold(window)
        self.dub = DubFold(window, self.speech, VIDEO_SUFFIXES)
        self.mover = MoverFolds(window, VIDEO_SUFFIXES)
        self.live = LiveFold(window)
        self.dialogue = DialogueFold(window, (*SOUND_SUFFIXES, *VIDEO_SUFFIXES))
        self.draft = Draft("animate")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.expression = gr.State(None)
        self.draft.build()
        self.held = hidden("animate-expression", "Expression")
        with gr.Row(elem_classes=["split", "workbench"]):
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet"]):
                html('<h3 class="step"><b>1</b> Portrait</h3>')
                self.chooser.build()
                self.expression_note = clickable()
                html('<h3 class="step"><b>2</b> Speech</h3>')
                self.speech.build()
                self.mover.build()
                self.live.build()
                self.dub.build()
                self.dialogue.build()
                html('<h3 class="step"><b>3</b> Performance</h3>')
                self._build_performance()
                self.layers.build()
            with gr.Column(scale=6, min_width=320, elem_classes=["stage"]):
                self.stage.build(self._build_acts)

    def _build_acts(self) -> None:
        self.make = gr.Button("Make the clip", variant="primary", elem_id="animate-make")
        self.preview = gr.Button("Preview 3 s", elem_id="animate-preview")

    def _build_performance(self) -> None:
        with gr.Row():
            self.emotion = gr.Dropdown(
                [("None", ""), *((e.capitalize(), e) for e in EMOTIONS)],
                value="",
                label="Emotion",
                filterable=False,
                info="Colors the whole performance.",
                min_width=140,
            )
            self.strength = gr.Slider(
                0,
                1,
                value=0.6,
                step=0.05,
                label="Strength",
                info="How strongly.",
                min_width=140,
                buttons=["reset"],
                elem_classes=["control"],
            )
        with gr.Accordion("Amounts", open=False, elem_id="animate-amounts"):
            self.still = gr.Checkbox(label="Hold the head still", info="Blinks and gaze stay alive.")
            natural = asdict(Amounts())
            with gr.Row(elem_classes=["control-grid"]):
                self.amounts = [
                    gr.Slider(
                        0,
                        2,
                        value=natural[n],
                        step=0.05,
                        label=n.capitalize(),
                        info=AMOUNT_HELP[n],
                        min_width=150,
                        buttons=["reset"],
                        elem_classes=["control"],
                    )
                    for n in AMOUNT_NAMES
                ]
        with gr.Accordion("Output", open=False, elem_id="animate-output"):
            with gr.Row():
                self.format = gr.Dropdown(
                    [(f.title, f.name) for f in CLIP_FORMATS.values()],
                    value=USUAL_CLIP_FORMAT,
                    label="Format",
                    filterable=False,
                    info="What the file is.",
                    min_width=140,
                )
                self.size = gr.Dropdown(
                    SIZES, value=0, label="Size", info="Of the longer side.", filterable=False, min_width=140
                )
            with gr.Row():
                self.rate = gr.Dropdown(
                    [(f"{r} per second", r) for r in FRAME_RATES_HZ],
                    value=25,
                    label="Frames",
                    filterable=False,
                    info="More is smoother and slower to make.",
                    min_width=140,
                )
                self.shutter = gr.Dropdown(
                    SHUTTERS,
                    value=0,
                    label="Motion blur",
                    filterable=False,
                    info="As a film camera's open shutter; slower to make.",
                    min_width=140,
                    elem_id="animate-shutter",
                )
            with gr.Row():
                self.seed = gr.Number(
                    value=0,
                    precision=0,
                    label="Seed",
                    info="Same seed, same blinks and head motion.",
                    minimum=0,
                    maximum=2**31 - 1,
                    min_width=140,
                )

    # -- listeners ------------------------------------------------------------

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        self.chooser.wire(item, self.draft.lane)
        self.stage.wire(item)
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        self.speech.wire(item, self.draft.lane)
        listen(self.expression.change, json.dumps, self.expression, self.held, **quiet)
        listen(self.expression_note.click, lambda: (None, ""), None, [self.expression, self.expression_note], **quiet)
        inputs = [
            self.chooser.choice,
            self.expression,
            *self.speech.inputs,
            *self.mover.inputs,
            self.emotion,
            self.strength,
            self.still,
            self.format,
            self.size,
            self.rate,
            self.shutter,
            self.seed,
            *self.amounts,
        ]
        shown = self.stage.files.shown
        form = self.chooser.choice, self.expression
        self.layers.wire(item, self.draft.lane, inputs, self._request, *form, shown)
        self.live.wire(self.chooser.choice, self.layers)
        self.dub.wire(item, self.draft.lane, self.format, self.stage.of_job, self.stage.watch)
        output = [self.speech.language, self.format, self.size, self.rate, self.shutter, self.seed]
        self.dialogue.wire(item, self.draft.lane, output, self.stage.of_job, self.stage.watch)
        inputs = [self.layers.chosen, *inputs]
        listen(
            self.preview.click,
            self._previewed,
            inputs,
            [*self.stage.parts, self.stage.shown],
            concurrency_id="draw",
            concurrency_limit=1,
            show_progress="full",
            show_progress_on=self.stage.caption,
            trigger_mode="once",
        )
        listen(self.make.click, self._submit, [*self.dub.inputs, *inputs], self.stage.watch, **quiet)
        self.tick = self.stage.tick
        told = {"choice": self.chooser.held, "expression": self.held, **self.speech.told, **self.mover.files}
        told |= {"performance": self.layers.chosen, **self.dub.told, **self.dialogue.told}
        now = [self.chooser.choice, self.expression]
        self.draft.wire(item, told | self._plain, self._restore, now, self._restored)

    @property
    def _restored(self) -> list[Any]:
        folds = [*self.mover.restored, *self.dub.restored, *self.dialogue.restored]
        told = [self.expression, self.expression_note, *self.speech.restored, *folds]
        return [*self.chooser.parts, *told, *self._plain.values(), *self.layers.restored]

    @property
    def reopened(self) -> list[Any]:
        """What `reopen` updates."""
        return [*self._restored, self.draft.box]

    def reopen(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the form as it was when a clip was made; a portrait or sound that is gone is said.

        Args:
            files: what it was made from, by role.
        """
        request = render.recipe["request"]
        if is_dubbed(render.recipe):
            if "clip" not in files or ("sound" not in files and not request.get("text")):
                warn("Not everything could be set: the video or its sound is no longer here.", 10)
            spoken = self.speech.restore(self.speech.reopened(request, files))
            return {self.speech.sound: None, **spoken, **self.dub.of_render(render, files), self.draft.box: HANDED_OVER}
        if is_dialogue(render.recipe):
            if set(render.recipe["inputs"]) - set(files):
                warn("Not everything could be set: a photo or a sound is no longer here.", 10)
            return {**self.dialogue.of_render(render, files), **self._output_of(request), self.draft.box: HANDED_OVER}
        choice = self.chooser.choice_of(render, files)
        emotion, strength = next(iter((request.get("emotions") or {}).items()), ("", self.strength.value))
        still = request["amounts"].get("head") == 0
        amounts = request["amounts"] | ({"head": Amounts().head} if still else {})
        kept = {
            **request,
            **amounts,
            **self.speech.reopened(request, files),
            **self.mover.of_request(request, files),
            "performance": "",
            "emotion": emotion,
            "strength": strength,
            "still": still,
            "size": request.get("size") or 0,
            "rate": request["frame_rate_hz"],
            "shutter": request.get("shutter_degrees") or 0,
            "choice": json.dumps(choice),
            "expression": json.dumps({"values": request["expression"], "neutralise": request["neutralise"]}),
        }
        gone = [] if choice else ["the portrait"]
        gone += [_CALLED[role] for role in MOVING_ROLES if request.get(role) and role not in files]
        if gone:
            warn(f"Not everything could be set. No longer here: {', '.join(gone)}.", 10)
        nothing = {
            self.speech.sound: None,
            **dict.fromkeys(self.mover.files.values()),
            self.expression: None,
            self.expression_note: "",
        }
        chosen: Updates = {} if choice is None else self.chooser.answer(choice)
        if request.get("performance") and "performance" in files:
            chosen |= {self.layers.fold: gr.Accordion(open=True), **self.layers.of_clip(render.id)}
        else:
            nothing |= self.layers.none()
        return {**nothing, **self._restore(kept, choice, None), **chosen, self.draft.box: HANDED_OVER}

    def _output_of(self, request: Mapping[str, Any]) -> Updates:
        """Return what a dialogue shares with the form."""
        return {
            self.speech.language: request["language"],
            self.format: request["format"],
            self.size: request.get("size") or 0,
            self.rate: request["frame_rate_hz"],
            self.shutter: request["shutter_degrees"],
            self.seed: request["seed"],
        }

    @property
    def _plain(self) -> dict[str, Any]:
        """What of the form is a single value, by name."""
        names = ("emotion", "strength", "still", "format", "size", "rate", "shutter", "seed")
        amounts = dict(zip(AMOUNT_NAMES, self.amounts, strict=True))
        return self.mover.plain | {name: getattr(self, name) for name in names} | amounts

    def _restore(self, kept: Kept, choice: Choice | None, expression: dict[str, Any] | None) -> Updates:
        """Return the form as it was before the page was loaded anew; what was handed over since stays."""
        updates = fitting(self._plain, kept) | self.speech.restore(kept)
        updates |= self.mover.restore(kept, updates)
        found = None if choice else self.chooser.restored(kept.get("choice"))
        if found:
            updates |= self.chooser.answer(found)
        updates |= self.layers.restore(kept.get("performance")) | self.dub.restore(kept) | self.dialogue.restore(kept)
        worn = None if expression else checked_expression(parsed(kept.get("expression")))
        if worn:
            updates |= {self.expression: worn, self.expression_note: self.expression_words(worn)}
        return updates

    def expression_words(self, kept: dict[str, Any] | None) -> str:
        """Return a note on the expression that lies under the whole clip, with a button to take it off."""
        if not kept or not (kept["values"] or kept["neutralise"]):
            return ""
        names = [CONTROL[n].label.lower() for n in kept["values"]]
        said = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return (
            '<div class="notice info" role="status"><strong>With your expression</strong>'
            f"<span>{said or 'neutral'}</span>"
            '<button type="button" class="mini" data-act="drop" data-key="drop-expression">Take it off</button></div>'
        )

    # -- the request ------------------------------------------------------------

    def _request(self, choice: Choice | None, kept: dict[str, Any] | None, *said: Any) -> AnimationRequest:
        """Return what the person asked for.

        Raises:
            UserInputError: no portrait, nothing that moves it, or a value that cannot be used.
        """
        speech, said = said[: len(self.speech.inputs)], said[len(self.speech.inputs) :]
        mover, said = self.mover.fields(*said[: len(self.mover.inputs)]), said[len(self.mover.inputs) :]
        emotion, strength, still, form, size, rate, shutter, seed, *amounts = said
        if not choice:
            raise UserInputError("There is no portrait yet.", "Choose one of your people's photos, or drop a picture.")
        asked = Amounts(**dict(zip(AMOUNT_NAMES, map(float, amounts), strict=True)))
        return checked_request(
            {
                "portrait": source_of(choice),
                "face_index": choice.get("face_index"),
                **self.speech.fields(*speech, is_moved=any(mover.get(role) for role in ("motion", "driving", "orbit"))),
                **mover,
                "emotions": {emotion: float(strength)} if emotion and strength else {},
                "amounts": replace(asked, head=0.0) if still else asked,
                "expression": kept["values"] if kept else {},
                "neutralise": bool(kept and kept["neutralise"]),
                "seed": int(seed or 0),
                "frame_rate_hz": rate,
                "shutter_degrees": shutter,
                "size": size or None,
                "format": form,
            }
        )

    def _asked(self, performance: str | None, choice: Choice | None, *rest: Any) -> AnimationRequest:
        """Return what the buttons make: the performance that is chosen, else what the form says."""
        if not performance:
            return self._request(choice, *rest)
        if not choice:
            raise UserInputError("There is no portrait yet.", "Choose one of your people's photos, or drop a picture.")
        form, size, rate, shutter, _ = rest[-len(AMOUNT_NAMES) - 5 : -len(AMOUNT_NAMES)]
        return self.layers.service.request(
            performance,
            source_of(choice),
            face_index=choice.get("face_index"),
            format=form,
            size=size or None,
            frame_rate_hz=rate,
            shutter_degrees=shutter,
        )

    # -- handlers ---------------------------------------------------------------

    def _previewed(self, *inputs: Any) -> Iterator[Updates]:
        """Say at once that the preview is being drawn: the first of a portrait takes seconds to prepare."""
        request = self._asked(*inputs)
        yield {
            self.stage.caption: text.notice("Drawing the first seconds…", "A new portrait is prepared first.", "info")
        }
        try:
            yield self._preview(request)
        except Exception:
            yield {self.stage.caption: ""}
            raise

    def _preview(self, request: AnimationRequest) -> Updates:
        request = request.model_copy(update={"format": USUAL_CLIP_FORMAT})
        result = self.service.preview(request, seconds=PREVIEW_SECONDS)
        path = self.window.shelf.put(result.path, f"preview{result.path.suffix}")
        took = (
            f"Preview of the first {result.duration_seconds:.1f} s, made in {result.seconds.get('total', 0.0):.1f} s."
        )
        said = f'<p class="fine">{took}</p>' + text.hints(result.hints)
        stage = self.stage
        return {
            stage.video: gr.Video(value=path, visible=True, autoplay=True),
            stage.placeholder: gr.HTML(visible=False),
            stage.caption: said,
            stage.downloads: gr.Column(visible=False),
            stage.shown: None,
            stage.files.shown: None,
        }

    def _submit(self, clip: str | None, person: str | None, face: float | None, *inputs: Any) -> Updates:
        """Make what is asked for; without a portrait, a video that was dropped is what shall speak."""
        _, choice, *rest = inputs
        if clip and not choice:
            speech, form = rest[1 : len(self.speech.inputs) + 1], rest[-len(AMOUNT_NAMES) - 5]
            return self.stage.of_job(self.dub.submit(clip, person, face, form, *speech), None)
        return self.stage.of_job(self.service.submit_render(self._asked(*inputs)), None)
