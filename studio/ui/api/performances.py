"""The stable API of performances with layers: made, edited, taken back and played by name, for programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from studio.domain.job import Job
from studio.domain.performance_document import KeptPerformance
from studio.errors import UserInputError
from studio.services.clips.timeline import rows_of
from studio.services.sources import MediaSource
from studio.ui.window import Window

Json = dict[str, Any]
Act = Literal[
    "set_layer", "add_layer", "remove_layer", "set_key", "remove_key", "set_emotion", "remove_emotion",
    "move_boundary", "mend_word", "undo", "redo", "copy", "rename", "delete",
]  # fmt: skip


class PerformanceApi:
    """The functions behind the public names; docstrings are their descriptions.

    Args:
        upload, source, file, job_row: of the Api that this belongs to.
    """

    def __init__(
        self,
        window: Window,
        upload: Callable[[Any], Path],
        source: Callable[[Json], MediaSource],
        file: Callable[[Path], Json],
        job_row: Callable[[Job], Json],
    ) -> None:
        """Remember the window and how values come in and go out."""
        self.window = window
        self.studio = window.studio
        self.upload, self.source, self.file, self.job_row = upload, source, file, job_row

    def list_performances(self) -> list[Any]:
        """List all performances with their documents, the one changed last first."""
        return [row(kept) for kept in self.studio.performances.list()]

    def show_performance(self, performance: str) -> dict[str, Any]:
        """Return one performance, by id or name: its document, and what can be taken or brought back."""
        return row(self.studio.performances.get(performance))

    def performance_timeline(self, performance: str) -> dict[str, Any]:
        """Return words and sounds of a performance as [text, start, end], and keys and emotions, in seconds."""
        return dict(rows_of(self.studio.performances.timeline(performance)))

    def create_performance(
        self,
        name: str,
        sound: Any = None,
        text: str | None = None,
        transcript: str | None = None,
        motion: Any = None,
        render_id: str | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Begin one from a sound, a text, curves (uploads), a clip of the library, or so many seconds of idle life."""
        service = self.studio.performances
        if render_id is not None:
            return row(service.of_render(render_id, name))
        sources = [None if one is None else MediaSource.file(self.upload(one)) for one in (sound, motion)]
        made = service.create(
            name, sound=sources[0], motion=sources[1], text=text, transcript=transcript, seconds=seconds
        )
        return row(made)

    def edit_performance(
        self,
        performance: str,
        act: Act,
        layer: str | None = None,
        fields: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change one: fields of a layer, of a key (control, seconds, value, ease) or of an emotion; or undo, redo..."""
        service, given = self.studio.performances, dict(fields or {})
        if act in ("set_layer", "remove_layer") and not layer:
            raise UserInputError("The layer is missing.", "Name one of the performance's layers.")
        asked: dict[Act, tuple[Callable[..., KeptPerformance], tuple[Any, ...], Json]] = {
            "set_layer": (service.set_layer, (layer, given), {}),
            "add_layer": (service.add_layer, (given,), {}),
            "remove_layer": (service.remove_layer, (layer,), {}),
            "set_key": (service.set_key, (), {**given, "layer": layer}),
            "remove_key": (service.remove_key, (), {**given, "layer": layer}),
            "set_emotion": (service.set_emotion, (), given),
            "remove_emotion": (service.remove_emotion, (), given),
            "move_boundary": (service.move_boundary, (), {**given, "layer": layer}),
            "mend_word": (service.mend_word, (), {**given, "layer": layer}),
            "undo": (service.undo, (), {}),
            "redo": (service.redo, (), {}),
            "copy": (service.copy, (), given),
            "rename": (service.rename, (), given),
            "delete": (service.delete, (), {}),
        }
        change, positional, named = asked[act]
        try:
            inspect.signature(change).bind(performance, *positional, **named)
        except TypeError as exc:
            raise UserInputError(f"The fields do not fit {act}.", "The API's description says what each is.") from exc
        return row(change(performance, *positional, **named))

    def performance_frame(self, performance: str, portrait: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Draw one frame of a performance on a portrait, at once."""
        image = self.studio.performances.frame(
            performance, self.source(portrait), seconds, face_index=portrait.get("face_index"),
            size=portrait.get("size") or 512,
        )  # fmt: skip
        return self.file(self.window.shelf.picture(image))

    def play_performance(
        self, performance: str, portrait: dict[str, Any], fields: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Put a clip of a performance on a portrait into the queue; fields are those of an animation request."""
        asked = self.studio.performances.request(
            performance, self.source(portrait), **{"face_index": portrait.get("face_index"), **(fields or {})}
        )
        return self.job_row(self.studio.animation.submit_render(asked))

    def export_performance(self, performance: str) -> dict[str, Any]:
        """Write a performance with its sounds and curves into one file."""
        kept = self.studio.performances.get(performance)
        out = self.window.shelf.place(f"{kept.name}.performance.zip")
        return self.file(self.studio.performances.export(kept.id, out))

    def import_performance(self, file: Any, name: str = "") -> dict[str, Any]:
        """Read a performance from an uploaded file that was exported."""
        return row(self.studio.performances.import_file(self.upload(file), name))


def row(kept: KeptPerformance) -> Json:
    """Return a performance as JSON values."""
    return {
        "id": kept.id, "name": kept.name, "identity_id": kept.identity_id, "undoes": kept.undoes,
        "redoes": kept.redoes, "created": kept.created.isoformat(), "changed": kept.changed.isoformat(),
        "document": kept.document.as_json(),
    }  # fmt: skip


NAMES: tuple[str, ...] = (
    "list_performances", "show_performance", "performance_timeline", "create_performance", "edit_performance",
    "performance_frame", "play_performance", "export_performance", "import_performance",
)  # fmt: skip
