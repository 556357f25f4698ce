"""The form of a training plan: base, preset, the few settings that matter, everything else in a fold.

A preset fills every field; what is changed afterwards is laid over it. The
preflight under the form says before the start whether the plan fits this
computer, and applies what would fit with one click. Rules live in
services/training.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from studio.domain.base_model import FAMILY_TITLES
from studio.domain.training import Preflight, TrainingPlan, resolutions
from studio.errors import NotFoundError, StudioError, UserInputError
from studio.services.bases import BaseEntry
from studio.services.training.plans import DEFAULT_PRESET, TrainingPreset
from studio.ui import guard
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.kit.draft import Draft, Kept, fitting
from studio.ui.training.plan_fields import FIELDS, WORDS, changes_of, component, values_of
from studio.ui.window import Window

FULL_STEPS = 3000
CHECKING = '<div class="preflight"><div class="verdict"><span>Looking whether it fits…</span></div></div>'
STATE_WORDS = {"ready": "ready", "partial": "half downloaded", "absent": "not downloaded"}


def base_title(entry: BaseEntry) -> str:
    """Return a base's name for a list, with what keeps it from being used."""
    return entry.card.title if entry.state == "ready" else f"{entry.card.title} ({STATE_WORDS[entry.state]})"


def base_note(entry: BaseEntry) -> str:
    """Return what a base is; of one that is not here its licence and size, and a button to fetch it."""
    card = entry.card
    if entry.state == "ready":
        return f'<p class="fine">{escape(card.about)}</p>' if card.about else ""
    facts = f"{text.size(card.download_bytes)} to download · licence {card.licence}"
    gate = " Its owners ask for an agreement and a token first." if card.gated else ""
    label = "Go on downloading" if entry.state == "partial" else "Download"
    return (
        f'<div class="notice info" role="status"><strong>{escape(card.title)} is {STATE_WORDS[entry.state]}.</strong>'
        f"<span>{escape(facts + '.' + gate)}</span>"
        f"{text.button('download', card.name, label, f'{label}: {card.title}')}</div>"
    )


def preset_cards(presets: tuple[TrainingPreset, ...], chosen: str, photos: int | None) -> str:
    """Return the presets as cards to choose from: what for, memory, steps."""
    rows = ""
    for preset in presets:
        fine = f"{preset.memory_gb:g} GB · {preset.steps(photos)} steps"
        rows += (
            f'<button type="button" class="choice" data-act="preset" data-id="{escape(preset.name)}" '
            f'data-key="preset-{escape(preset.name)}" aria-pressed="{str(preset.name == chosen).lower()}">'
            f"<strong>{escape(preset.title)}</strong><span>{escape(preset.help)}</span><small>{fine}</small></button>"
        )
    return f'<div class="choices" role="group" aria-label="Presets">{rows}</div>'


def _gauge(label: str, used: int, free: int) -> str:
    over = " over" if used > free else ""
    share = min(used / free, 1.0) if free else 1.0
    return (
        f'<div class="gauge{over}"><span>{label} <b>{text.size(used)}</b> of {text.size(free)}</span>'
        f'<i style="--amount:{share:.3f}"></i></div>'
    )


def change_words(changes: Mapping[str, Any]) -> str:
    """Return changes of a plan as a person says them: "batch 1, save memory on"."""
    said = []
    for name, value in changes.items():
        label = WORDS[name][1] if name in WORDS else name.replace("_", " ").capitalize()
        said.append(f"{label.lower()} {('on' if value else 'off') if isinstance(value, bool) else value}")
    return ", ".join(said)


def preflight_card(found: Preflight) -> str:
    """Return whether the plan fits, what it takes, and what to change when it does not."""
    gauges = _gauge("Memory", found.memory_bytes, found.memory_free_bytes)
    gauges += _gauge("Disk", found.disk_bytes, found.disk_free_bytes)
    learned = f"{found.trainable_parameters / 1e6:.2g} million numbers to learn"
    facts = f"about {text.span(found.seconds)} on {found.device} · {learned}"
    if found.fits:
        head = f'<div class="verdict"><strong>It fits.</strong><span>{escape(facts)}</span></div>'
        return f'<div class="preflight fits">{head}<div class="gauges">{gauges}</div></div>'
    problems = "".join(f"<li>{escape(p)}</li>" for p in found.problems)
    change = ""
    if found.instead:
        change = (
            f'<div class="verdict"><span>This will fit: {escape(change_words(found.instead))}.</span>'
            f"{text.button('instead', 'plan', 'Use what fits', 'Change the plan so that it fits')}</div>"
        )
    head = f'<div class="verdict"><strong>It will not fit.</strong><span>{escape(facts)}</span></div>'
    return f'<div class="preflight no">{head}<ul>{problems}</ul><div class="gauges">{gauges}</div>{change}</div>'


class PlanForm:
    """The components of the form; the tab asks it for the plan."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.training = window.studio.training
        self.draft = Draft("train", {"person": "#train-people", "preset": "#train-presets"})

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create base, presets, visible settings and the fold, inside the tab's layout."""
        self.preset = gr.State(DEFAULT_PRESET)
        self.instead = gr.State({})
        self.draft.build()
        html('<h3 class="step"><b>2</b> What learns</h3>')
        self.base = gr.Dropdown(
            [], label="Base model", info="What the person is taught to.", filterable=False, elem_id="train-base"
        )
        self.note = clickable(elem_id="train-base-note")
        self.presets = clickable(elem_id="train-presets")
        html('<h3 class="step"><b>3</b> Settings</h3>')
        with gr.Row():
            self.trigger = gr.Textbox(
                value="sks",
                label="Trigger word",
                info="A rare word that will call the person.",
                max_length=40,
                min_width=130,
                elem_id="train-trigger",
            )
            self.class_word = gr.Textbox(
                value="person",
                label="Class word",
                info="Person, woman or man.",
                max_length=40,
                min_width=130,
                elem_id="train-class",
            )
        with gr.Row(elem_classes=["control-grid"]):
            self.steps = self._slider(1, FULL_STEPS, 1, "Steps", "More learns longer; too many burn in.", "train-steps")
            self.prior = self._slider(
                0, 2, 0.05, "Keep other people", "0 lets everyone turn into this person.", "train-prior"
            )
        self.resolution = gr.Dropdown(
            [], label="Resolution", info="Larger needs much more memory.", filterable=False, visible=False
        )
        with gr.Accordion("Advanced", open=False, elem_id="train-advanced"):
            self.advanced = self._build_advanced()
        self.preflight = clickable(CHECKING, elem_id="train-preflight")

    def _slider(self, low: float, high: float, step: float, label: str, info: str, id: str) -> gr.Slider:
        return gr.Slider(
            low,
            high,
            step=step,
            label=label,
            info=info,
            elem_id=id,
            elem_classes=["control"],
            buttons=[],
            min_width=140,
        )

    def _build_advanced(self) -> list[gr.components.Component]:
        made: list[gr.components.Component] = []
        for group in dict.fromkeys(f.group for f in FIELDS):
            html(f'<h3 class="group">{group}</h3>')
            with gr.Row(elem_classes=["control-grid"]):
                made += [component(f) for f in FIELDS if f.group == group]
        return made

    # -- listeners ------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """Everything that `plan` reads, in its order."""
        return [*self.kept, self.steps, self.prior, self.resolution, *self.advanced]

    @property
    def kept(self) -> list[Any]:
        """What stays when another base or preset is chosen."""
        return [self.preset, self.base, self.trigger, self.class_word]

    @property
    def outputs(self) -> list[Any]:
        """What `filled` updates: the form with its lists, and the preflight emptied."""
        return [self.presets, self.note, *self.inputs, self.instead]

    @property
    def plain(self) -> dict[str, Any]:
        """What of the form is a single value that suits every base, by its name in the plan."""
        few = {"trigger": self.trigger, "class_word": self.class_word, "steps": self.steps, "prior_weight": self.prior}
        return few | {row.name: field for row, field in zip(FIELDS, self.advanced, strict=True)}

    @property
    def checking(self) -> dict[str, Any]:
        """How `check` listens: one after the other; what it is asked for is kept for a refresh of the page."""
        few = ("person", "preset", "base", "trigger", "class_word", "steps", "prior_weight", "resolution")
        keep = self.draft.keeping([*few, *(row.name for row in FIELDS)])
        return {"concurrency_id": "preflight", "concurrency_limit": 1, "show_progress": "hidden", "js": keep}

    def wire(self, person: gr.State) -> None:
        """Attach the listeners; `person` holds the chosen person's id."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        check = self.checking
        asked, answer = [person, *self.inputs], [self.preflight, self.instead]
        for event, handler in ((self.presets.click, self._choose_preset), (self.base.input, self._choose_base)):
            # Only what stays is sent. The page may report a choice twice, and by then the lists are other ones: a
            # resolution sent along would be none of theirs.
            changed = listen(event, handler, [person, *self.kept], self.outputs, **quiet)
            listen(changed.success, self.check, asked, answer, **check)
        changed = listen(self.preflight.click, self._use_what_fits, [self.instead, *asked], self.outputs, **quiet)
        listen(changed.success, self.check, asked, answer, **check)
        listen(self.note.click, self._download, None, self.note)
        fields: list[Any] = [self.resolution, *self.advanced]
        events: list[Any] = [self.steps.release, self.prior.release, self.trigger.blur, self.class_word.blur]
        events += [f.blur if hasattr(f, "blur") else f.input for f in fields if hasattr(f, "input")]
        # one listener for all fields: each of its own would make the page larger by a quarter
        kept = listen(partial(gr.on, events), None, asked, None, js=check["js"], **quiet)  # at once; a check takes time
        listen(kept.then, self.check, asked, answer, trigger_mode="always_last", **check)

    # -- the plan ---------------------------------------------------------------

    def plan(self, preset: str, base: str, *values: Any) -> TrainingPlan:
        """Return what the form says.

        Raises:
            UserInputError: a value cannot be used.
        """
        trigger, class_word, steps, prior, resolution, *rest = values
        if not base:
            raise UserInputError("There is no base model yet.", "Choose one under “What learns”.")
        few: dict[str, Any] = {
            "trigger": (trigger or "").strip(),
            "class_word": (class_word or "").strip(),
            "steps": int(steps or 0),
            "prior_weight": float(prior or 0.0),
        }
        if resolution:
            few["resolution"] = int(resolution)
        return self.training.plan(preset, base, **few, **changes_of(rest))

    def entries(self) -> dict[str, BaseEntry]:
        """Return the bases by name."""
        return {e.card.name: e for e in self.window.studio.bases.list()}

    def filled(self, person: str | None, preset: str | None, base: str | None, **kept: Any) -> Updates:
        """Return the updates of `outputs` for a preset on a base; of what was there only `kept` stays."""
        entries = self.entries()
        base = base if base in entries else next(iter(entries), "")
        offered = self.training.presets_for(base or "")
        names = [p.name for p in offered]
        preset = preset if preset in names else next(iter(names), "")
        photos = self.photo_count(person)
        kept = {k: v.strip() for k, v in kept.items() if v and v.strip()}
        plan = self.training.plan(preset, base, photos=photos, **kept) if preset else TrainingPlan(base=base, **kept)
        return self._updates(plan, preset or "", offered, photos)

    def restored(self, kept: Kept, person: str | None) -> Updates:
        """Return the updates of `outputs` for what was filled in before the page was loaded anew."""
        base, preset = kept.get("base"), kept.get("preset")
        entry = self.entries().get(base) if isinstance(base, str) else None
        if entry is None or preset not in [p.name for p in self.training.presets_for(entry.card.name)]:
            return {}
        updates = self.filled(person, preset, base) | fitting(self.plain, kept)
        size, sizes = kept.get("resolution"), resolutions(entry.card.resolution, entry.card.resolution)
        if size in sizes:
            updates[self.resolution] = gr.Dropdown([(f"{s} px", s) for s in sizes], value=size, visible=len(sizes) > 1)
        return updates

    def updates(self, plan: TrainingPlan, preset: str, person: str | None) -> Updates:
        """Return the updates of `outputs` for a plan, however it came about."""
        return self._updates(plan, preset, self.training.presets_for(plan.base), self.photo_count(person))

    def _updates(
        self, plan: TrainingPlan, preset: str, offered: tuple[TrainingPreset, ...], photos: int | None
    ) -> Updates:
        entries = self.entries()
        entry = entries.get(plan.base)
        cards = preset_cards(offered, preset, photos)
        if not offered and entry is not None:
            family = FAMILY_TITLES[entry.card.family]
            cards = text.notice(f"There is no preset for {family} yet.", "Add one to presets/training.", "warn")
        sizes = resolutions(entry.card.resolution if entry else plan.resolution, plan.resolution)
        return {
            self.presets: cards,
            self.note: base_note(entry) if entry else "",
            self.preset: preset,
            self.base: gr.Dropdown([(base_title(e), n) for n, e in entries.items()], value=plan.base),
            self.trigger: plan.trigger,
            self.class_word: plan.class_word,
            self.steps: gr.Slider(value=plan.steps, maximum=max(FULL_STEPS, plan.steps)),
            self.prior: plan.prior_weight,
            self.resolution: gr.Dropdown(
                [(f"{s} px", s) for s in sizes], value=plan.resolution, visible=len(sizes) > 1
            ),
            **dict(zip(self.advanced, values_of(plan), strict=True)),
            self.instead: {},
        }

    def photo_count(self, person: str | None) -> int | None:
        """Return how many photos a person has; None when nobody is chosen."""
        return len(self.window.studio.identities.photos(person)) if person else None

    # -- handlers ---------------------------------------------------------------

    def _choose_preset(
        self, event: gr.EventData, person: str | None, preset: str, base: str, trigger: str, class_word: str
    ) -> Updates:
        return self.filled(person, clicked(event)[1], base, trigger=trigger, class_word=class_word)

    def _choose_base(self, person: str | None, preset: str, base: str, trigger: str, class_word: str) -> Updates:
        return self.filled(person, preset, base, trigger=trigger, class_word=class_word)

    def check(self, person: str | None, *values: Any) -> tuple[Any, ...]:
        """Return the preflight card and what would fit instead."""
        if not person:
            return "", {}
        try:
            found = self.training.preflight(person, self.plan(*values))
        except NotFoundError as error:  # the base is not downloaded: its own note says so
            return text.notice(error.in_window.message, "Download it above, or choose another base.", "warn"), {}
        except StudioError as error:
            return text.notice(*guard.sentence(error), "bad"), {}
        known = "".join(text.notice(s, tone="warn") for s in self.training.advice(person, self.plan(*values)))
        return preflight_card(found) + known, dict(found.instead)

    def _use_what_fits(self, instead: dict[str, Any], person: str | None, *values: Any) -> Updates:
        plan = self.plan(*values)
        changed = self.training.plan(values[0], plan.base, **{**plan.model_dump(exclude={"base"}), **instead})
        return self.updates(changed, values[0], person)

    def _download(self, event: gr.EventData) -> str:
        _, name = clicked(event)
        job = self.window.studio.bases.submit_download(name)
        return text.notice(f"{job.title} has begun.", "The Jobs tab shows how far it is.", "good")
