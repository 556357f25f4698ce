"""The fold on Animate in which several people talk: photos and sounds of each, or one of everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.job import Job
from studio.domain.render import Render
from studio.domain.side_by_side import MOST_PEOPLE
from studio.domain.turns import Turn, written
from studio.services.clips.dialogue import DialogueRequest, arranged
from studio.services.clips.dialogue_request import names_of
from studio.services.sources import MediaSource
from studio.ui.kit.controls import PICTURE_TYPES, Updates, html, listen, scroll_to
from studio.ui.kit.draft import Kept, fitting
from studio.ui.window import Window

TOGETHER = -1.0
PAUSES = [("Begin together", TOGETHER), ("One after the other", 0.4), ("With longer pauses", 1.0)]


class DialogueFold:
    """The fold; its clip is made by a job that the tab's stage watches."""

    def __init__(self, window: Window, sounds: Sequence[str]) -> None:
        """Remember the window, and the endings of files that may be heard."""
        self.window, self._sounds = window, sounds
        self.service = window.studio.dialogue

    def build(self) -> None:
        """Create the components, inside the tab's form."""
        with gr.Accordion("Or let several people talk", open=False, elem_id="animate-dialogue") as self.fold:
            html(
                '<p class="fine">Two to four people side by side, or one picture of everybody. Whoever speaks moves '
                "the lips to their own sound; the others listen, look at the speaker and nod. Language, format, size "
                "and frames are those of this form; its portrait and speech are not used.</p>"
            )
            self.people = gr.Dropdown(
                [], value=[], multiselect=True, max_choices=MOST_PEOPLE, label="Photos of your people",
                info="From left to right.", elem_id="animate-dialogue-people",
            )  # fmt: skip
            self.photos = gr.File(
                label="Or drop photos here, or one picture of everybody", file_types=PICTURE_TYPES, type="filepath",
                file_count="multiple", elem_id="animate-dialogue-photos", height=96, elem_classes=["drop"],
            )  # fmt: skip
            self.sounds = gr.File(
                label="Drop a sound of each in the same order, or one of everybody", file_types=list(self._sounds),
                type="filepath", file_count="multiple", elem_id="animate-dialogue-sounds", height=96,
                elem_classes=["drop"],
            )  # fmt: skip
            with gr.Row():
                self.names = gr.Textbox(
                    label="Names", info="With commas between.", placeholder="Anna, Ben", max_lines=1, max_length=200,
                    elem_id="animate-dialogue-names", min_width=140,
                )  # fmt: skip
                self.pause = gr.Dropdown(
                    PAUSES, value=0.4, label="The sounds", info="Where each has their own.", filterable=False,
                    elem_id="animate-dialogue-pause", min_width=140,
                )  # fmt: skip
            self.turns = gr.Textbox(
                label="Who speaks when", lines=3, max_lines=10, placeholder="Anna 0:00 0:03.2\nBen 0:03 0:07.5",
                info="For one sound of everybody: who, from, to. Subtitles with names can be pasted too.",
                elem_id="animate-dialogue-turns",
            )  # fmt: skip
            self.make = gr.Button("Let them talk", size="sm", elem_id="animate-dialogue-make")

    @property
    def told(self) -> dict[str, Any]:
        """What a draft keeps, by name."""
        return {
            "dialogue_people": self.people, "dialogue_photos": self.photos, "dialogue_sounds": self.sounds,
            **self._plain,
        }  # fmt: skip

    @property
    def _plain(self) -> dict[str, Any]:
        return {"dialogue_names": self.names, "dialogue_pause": self.pause, "dialogue_turns": self.turns}

    @property
    def restored(self) -> list[Any]:
        """What `restore` and `of_render` update."""
        return [self.fold, self.people, self.photos, self.sounds, *self._plain.values()]

    def wire(
        self,
        item: gr.Tab,
        lane: Mapping[str, Any],
        form: Sequence[Any],
        watch: Callable[[Job, str | None], Updates],
        watched: list[Any],
    ) -> None:
        """Attach the listeners.

        Args:
            form: the components of language, format, size, frame rate, shutter and seed.
            watch: returns the updates of `watched` for a job, as `ClipStage.of_job`.
        """
        listen(item.select, self._people, self.people, self.people, show_progress="hidden", **lane)

        def submit(*values: Any) -> Updates:
            return watch(self.service.submit_dialogue(self._request(*values)), None)

        inputs = [self.people, self.photos, self.sounds, *self._plain.values(), *form]
        begun = listen(self.make.click, submit, inputs, watched, show_progress="hidden")
        listen(begun.success, None, None, None, js=scroll_to("#animate-progress"))

    def restore(self, kept: Kept) -> Updates:
        """Return the fold as it was before the page was loaded anew."""
        updates: Updates = fitting(self._plain, kept)
        filled = any(kept.get(name) for name in ("dialogue_names", "dialogue_turns"))
        if self._known(kept.get("dialogue_people")):
            updates[self.people], filled = self._people(kept["dialogue_people"]), True
        for name, component in (("dialogue_photos", self.photos), ("dialogue_sounds", self.sounds)):
            if paths := self._held(kept.get(name)):
                updates[component], filled = gr.File(value=paths), True
        return {**updates, self.fold: gr.Accordion(open=True)} if updates and filled else updates

    def of_render(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the fold as it was when a dialogue was made; photos and sounds come back as files."""
        request = render.recipe["request"]
        names = [str(one.get("name") or "") for one in request["people"]]
        put = self.window.shelf.put

        def those(role: str) -> list[str]:
            roles = [f"{role} {number}" for number in range(1, len(names) + 1)]
            return [str(put(files[one])) for one in roles if one in files]

        turns = [Turn(t["start"], t["end"], t["person"], t.get("words") or "") for t in request["turns"]]
        pause = request.get("pause_seconds")
        return {
            self.fold: gr.Accordion(open=True),
            self.people: self._people([]),
            self.photos: gr.File(value=[str(put(files["picture"]))] if "picture" in files else those("portrait")),
            self.sounds: gr.File(value=[str(put(files["sound"]))] if "sound" in files else those("sound")),
            self.names: ", ".join(names) if any(names) else "",
            self.pause: TOGETHER if pause is None else min((p for _, p in PAUSES[1:]), key=lambda p: abs(p - pause)),
            self.turns: written(turns, names_of(names)),
        }

    def _held(self, files: Any) -> list[str]:
        """Return the paths of kept files, where all of them are still there."""
        paths = [one.get("path") for one in files if isinstance(one, dict)] if isinstance(files, list) else []
        return [str(path) for path in paths] if all(map(self.window.shelf.holds, paths)) else []

    def _choices(self) -> list[tuple[str, str]]:
        """Return title and id of every photo of a person."""
        identities = self.window.studio.identities
        out = []
        for person in identities.list():
            photos = identities.photos(person.id)
            out += [(person.name if len(photos) == 1 else f"{person.name}, {p.file_name}", p.id) for p in photos]
        return out

    def _known(self, chosen: Any) -> list[str]:
        """Return those of chosen photos that are still there, in their order."""
        there = {photo_id for _, photo_id in self._choices()} if isinstance(chosen, list) and chosen else set()
        return [one for one in chosen if isinstance(one, str) and one in there] if there else []

    def _people(self, chosen: Any) -> gr.Dropdown:
        return gr.Dropdown(self._choices(), value=self._known(chosen))

    def _request(
        self, people: list[str] | None, photos: list[str] | None, sounds: list[str] | None, names: str | None,
        pause: float, turns: str | None, language: str, form: str, size: int, rate: int, shutter: int, seed: float,
    ) -> DialogueRequest:  # fmt: skip
        """Return what the fold asks for.

        Raises:
            UserInputError: something is missing, or does not fit together.
        """
        said = bool((turns or "").strip())
        return arranged(
            [*map(MediaSource.photo, people or ()), *map(MediaSource.file, photos or ())],
            [MediaSource.file(sound) for sound in sounds or ()],
            turns,
            names=[name.strip() for name in names.split(",")] if (names or "").strip() else (),  # type: ignore[union-attr]
            pause_seconds=None if said or pause == TOGETHER else pause,
            language=language,
            format=form,
            size=size or None,
            frame_rate_hz=rate,
            shutter_degrees=shutter,
            seed=int(seed or 0),
        )
