"""The part of a form that says what is spoken: a sound, its words and language, or a text for the offline voice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import UserInputError
from studio.services.clips.request import USUAL_VOICE
from studio.services.sources import MediaSource
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, html, listen
from studio.ui.kit.draft import Kept, fitting
from studio.ui.window import Window

NO_VOICE = (
    "Drop a sound above, or record your own voice there with the microphone. A voice for typed text is an extra: "
    "whoever runs this studio installs it as the README says under “Optional”, and starts the studio again."
)
_SHOW_SOUND = "() => ({ __type__: 'update', visible: true })"


class SpeechForm:
    """The components; the tab asks for the `fields` of its request."""

    def __init__(self, window: Window, name: str) -> None:
        """Remember the window; `name` keeps element ids of two forms apart."""
        self.window = window
        self.service = window.studio.animation
        self.name = name

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.sound = gr.Audio(
            label="Drop speech here, or record it",
            sources=["upload", "microphone"],
            type="filepath",
            editable=False,
            elem_id=f"{self.name}-sound",
            elem_classes=["speech-sound"],
            buttons=[],
            visible=False,  # until the tab is opened: the player is .7 MB of script
        )
        self.transcript = gr.Textbox(
            label="What is said",
            lines=2,
            max_lines=6,
            elem_id=f"{self.name}-transcript",
            info="Optional, but the lips become clearly better with it.",
        )
        self.language = gr.Dropdown(
            [(title, code) for code, title in self.service.languages()],
            value="en",
            label="Language",
            info="Of the speech.",
            filterable=False,
        )
        with gr.Accordion("No sound? Let an offline voice speak", open=False, elem_id=f"{self.name}-typed"):
            self.voice_note = html()
            self.typed = gr.Textbox(
                label="Text to speak",
                lines=2,
                max_lines=6,
                elem_id=f"{self.name}-text",
                info="Used only when there is no sound above.",
            )
            # Empty until the tab is opened: a value that is not among the voices here could not even be sent.
            self.voice = gr.Dropdown([], value=None, label="Voice", info="Installed on this computer.")

    @property
    def inputs(self) -> list[Any]:
        """Everything that `fields` reads, in its order."""
        return [self.sound, self.transcript, self.language, self.typed, self.voice]

    @property
    def plain(self) -> dict[str, Any]:
        """What is a single value, by name."""
        return {"transcript": self.transcript, "language": self.language, "typed": self.typed}

    @property
    def told(self) -> dict[str, Any]:
        """What a draft keeps, by name."""
        return {**self.plain, "sound": self.sound, "voice": self.voice}

    @property
    def restored(self) -> list[Any]:
        """What `restore` updates."""
        return [self.sound, self.voice, self.voice_note, *self.plain.values()]

    def wire(self, item: gr.Tab, lane: Mapping[str, Any]) -> None:
        """Attach the listeners; `lane` is that of the tab's draft."""
        listen(item.select, None, None, self.sound, js=_SHOW_SOUND, show_progress="hidden")
        voices = [self.voice, self.voice_note]
        listen(item.select, self._voices, self.voice, voices, show_progress="hidden", **lane)

    def restore(self, kept: Kept) -> Updates:
        """Return the form as it was before the page was loaded anew."""
        updates = fitting(self.plain, kept)
        sound = kept.get("sound")
        path = sound.get("path") if isinstance(sound, dict) else None
        if self.window.shelf.holds(path):
            updates[self.sound] = gr.Audio(value=path)
        if kept.get("voice"):
            voice, note = self._voices(str(kept["voice"]))
            updates |= {self.voice: voice, self.voice_note: note}
        return updates

    def reopened(self, request: Mapping[str, Any], files: Mapping[str, Path]) -> Kept:
        """Return what `restore` reads, as a render's request says it.

        Args:
            files: what it was made from, by role.
        """
        return {
            "transcript": request.get("transcript") or "",
            "language": request.get("language"),
            "typed": request.get("text") or "",
            "voice": request.get("voice"),
            "sound": {"path": str(self.window.shelf.put(files["sound"]))} if "sound" in files else None,
        }

    def fields(
        self,
        sound: str | None,
        transcript: str | None,
        language: str,
        typed: str | None,
        voice: str | None,
        *,
        is_moved: bool = False,
    ) -> dict[str, Any]:
        """Return these fields of a request.

        Args:
            is_moved: recorded motion moves the face: a sound is only heard, and may be missing.

        Raises:
            UserInputError: there is neither a sound nor a text.
        """
        if not sound and not is_moved and not (typed or "").strip():
            raise UserInputError("There is no speech yet.", "Upload or record a sound, or type a text to speak.")
        return {
            "sound": MediaSource.file(sound) if sound else None,
            "text": None if sound or is_moved else (typed or "").strip(),
            "voice": voice or USUAL_VOICE,
            "transcript": (transcript or "").strip() or None,
            "language": language,
        }

    def _voices(self, chosen: str | None) -> tuple[Any, str]:
        """Return the voices of this computer; the chosen one stays, else an English one is."""
        voices = self.service.voices()
        if not voices:
            return gr.Dropdown(interactive=False), text.notice("No offline voice is installed.", NO_VOICE, "warn")
        english = sorted(v for v in voices if v.startswith("en"))
        first = next((v for v in (chosen, USUAL_VOICE, *english) if v in voices), voices[0])
        return gr.Dropdown(list(voices), value=first, interactive=True), ""
