"""The folds on Animate that move the portrait instead of a speech: a video, recorded motion, a camera around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.clip_format import CURVE_FORMATS, choice
from studio.domain.orbit import FURTHEST_YAW_DEGREES
from studio.errors import UserInputError
from studio.services.sources import MediaSource
from studio.ui.kit.controls import Updates, html
from studio.ui.kit.draft import Kept
from studio.ui.window import Window


class MoverFolds:
    """The folds; what stands in them goes into the tab's request."""

    def __init__(self, window: Window, videos: Sequence[str]) -> None:
        """Remember the window, and the endings of videos."""
        self.window, self._videos = window, videos

    def build(self) -> None:
        """Create the components, inside the tab's form."""
        self._build_driving()
        self._build_motion()
        self._build_orbit()

    @property
    def inputs(self) -> list[Any]:
        """What `fields` takes, in order."""
        return [*self.files.values(), *self.plain.values()]

    @property
    def files(self) -> dict[str, Any]:
        """The files that may move the portrait, by the names of the request's fields."""
        return {"motion": self.motion, "driving": self.driving}

    @property
    def plain(self) -> dict[str, Any]:
        """What is a single value, by name."""
        return {
            "neutral": self.neutral, "driver_face": self.driver_face,
            "orbit": self.orbit, "orbit_gaze": self.orbit_gaze,
        }  # fmt: skip

    @property
    def restored(self) -> list[Any]:
        """What `restore` updates besides `plain`."""
        return [self.motion, self.recorded, self.driving, self.driven, self.around]

    def fields(
        self, motion: str | None, driving: str | None, neutral: str | None, face: float | None, orbit: float, gaze: str
    ) -> dict[str, Any]:
        """Return the fields of a request that say what moves the portrait; all are None where the speech does.

        Raises:
            UserInputError: the neutral moment is no number of seconds.
        """
        return {
            "motion": MediaSource.file(motion) if motion else None,
            **driving_fields(driving, neutral, face),
            "orbit": {"yaw_degrees": orbit, "gaze": gaze} if orbit else None,
        }

    def of_request(self, request: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
        """Return what a draft would have kept of a clip's request, for `restore`."""
        put, around = self.window.shelf.put, request.get("orbit") or {}
        moment = request.get("neutral_seconds")
        return {
            **{role: {"path": str(put(files[role]))} if role in files else None for role in self.files},
            "neutral": f"{moment:g}" if moment is not None else "",
            "driver_face": (request.get("driving_face") or 0) + 1,
            "orbit": around.get("yaw_degrees") or 0,
            "orbit_gaze": around.get("gaze") or "camera",
        }

    def restore(self, kept: Kept, plain: Updates) -> Updates:
        """Return files and folds as they were before the page was loaded anew.

        Args:
            plain: the updates of single values, made already.
        """
        updates: Updates = {}
        folds = {"motion": self.recorded, "driving": self.driven}
        for role, component in self.files.items():
            file = kept.get(role)
            path = file.get("path") if isinstance(file, dict) else None
            if self.window.shelf.holds(path):
                updates |= {component: gr.File(value=path), folds[role]: gr.Accordion(open=True)}
        if plain.get(self.orbit):
            updates[self.around] = gr.Accordion(open=True)
        return updates

    def _build_driving(self) -> None:
        fold = gr.Accordion("Or move as a face in a video", open=False, elem_id="animate-driven")
        with fold as self.driven:
            html(
                '<p class="fine">A clip of a face, from a phone or a webcam, gives the portrait its expression, head, '
                "gaze and blinks. Its own sound is kept; a sound above replaces it. Only motion is taken, never looks."
                "</p>"
            )
            self.driving = gr.File(
                label="Drop a video of a face here",
                file_types=list(self._videos),
                type="filepath",
                elem_id="animate-driving",
                height=72,
                elem_classes=["drop"],
            )
            with gr.Row():
                self.neutral = gr.Textbox(
                    label="Face at rest, second",
                    info="Empty: found by itself.",
                    max_lines=1,
                    elem_id="animate-neutral",
                    min_width=140,
                )
                self.driver_face = gr.Number(
                    value=1,
                    precision=0,
                    minimum=1,
                    maximum=20,
                    label="Which face",
                    info="1 is the largest.",
                    elem_id="animate-driver-face",
                    min_width=140,
                )

    def _build_motion(self) -> None:
        fold = gr.Accordion("Or move as a face was recorded", open=False, elem_id="animate-recorded")
        with fold as self.recorded:
            html(
                '<p class="fine">A table that Live Link Face recorded on a phone, or the curves of an earlier clip, '
                "move the portrait instead of the speech. A sound above is then only heard; emotions stay those of "
                "the recording.</p>"
            )
            self.motion = gr.File(
                label=f"Drop recorded motion here, {choice([f.suffix for f in CURVE_FORMATS.values()])}",
                file_types=sorted({Path(f.suffix).suffix or f.suffix for f in CURVE_FORMATS.values()}),
                type="filepath",
                elem_id="animate-motion",
                height=72,
                elem_classes=["drop"],
            )

    def _build_orbit(self) -> None:
        with gr.Accordion("Or let the camera go around", open=False, elem_id="animate-around") as self.around:
            html(
                '<p class="fine">The face rests, with its blinks and breath, and is seen from a little to each side. A '
                "sound above is only heard. Only the head turns; one photo has no other side of the shoulders.</p>"
            )
            with gr.Row():
                self.orbit = gr.Slider(
                    0,
                    FURTHEST_YAW_DEGREES,
                    value=0,
                    step=1,
                    label="Degrees to each side",
                    info="0 is off.",
                    min_width=140,
                    buttons=["reset"],
                    elem_classes=["control"],
                    elem_id="animate-orbit",
                )
                self.orbit_gaze = gr.Dropdown(
                    [("On the camera", "camera"), ("Where they looked", "world")],
                    value="camera",
                    label="The eyes stay",
                    filterable=False,
                    info="While the camera moves.",
                    min_width=140,
                )


def driving_fields(driving: str | None, neutral: str | None, face: float | None) -> dict[str, Any]:
    """Return the fields of a request that say which video moves the portrait.

    Raises:
        UserInputError: the neutral moment is no number of seconds.
    """
    if not driving:
        return {}
    said = (neutral or "").strip().replace(",", ".")
    try:
        moment = float(said) if said else None
    except ValueError:
        raise UserInputError(f"{said[:40]!r} is no second of the video.", "Write a number such as 1.5.") from None
    # The largest face is also taken where nobody chose; only then is it said that there are others.
    return {
        "driving": MediaSource.file(driving),
        "neutral_seconds": moment,
        "driving_face": None if not face or face <= 1 else int(face) - 1,
    }
