"""The fold "Or move it live" on Animate: a camera or a microphone moves the chosen portrait while one looks.

The page does the work (assets/live): it opens the camera, finds the points of
the face, asks for pictures (`ui.live_routes`) and shows them. Here a session is
begun, and ended as a performance. What the page shows is never drawn anew from
here; an unseen piece beside it says which session it is.
"""

from __future__ import annotations

import secrets
from html import escape
from typing import Any

import gradio as gr

from studio.errors import UserInputError
from studio.services.clips.live import LONGEST_SECONDS, By
from studio.ui.clips.layers import LayersFold
from studio.ui.guard import say, tell
from studio.ui.kit.controls import Updates, html, listen
from studio.ui.kit.portrait_chooser import Choice, source_of
from studio.ui.window import Window

_LOAD = """
let module = null;
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-live]')?.dataset.live;
  if (!act) return;
  module ??= import(new URL('live/files/page.js', document.baseURI).href);
  module.then((page) => page.act(element, trigger, act));
});
"""
_SHOWN = """
<div class="live" data-state="idle">
  <div class="live-stage"><canvas width="384" height="384" aria-label="The portrait, live"></canvas>
    <video muted playsinline aria-label="Your camera, seen by this page alone"></video></div>
  <p class="live-says" role="status"></p>
  <p class="live-figures fine"></p>
  <div class="live-acts">
    <button type="button" class="mini when-idle" data-live="camera">Use the camera</button>
    <button type="button" class="mini when-idle" data-live="microphone">Use the microphone</button>
    <button type="button" class="mini when-seen" data-live="rest">My face is at rest</button>
    <button type="button" class="mini primary when-on" data-live="keep">Stop and keep</button>
    <button type="button" class="mini when-on" data-live="stop">Stop</button>
  </div>
</div>
"""


class LiveFold:
    """The fold."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.live

    def build(self) -> None:
        """Create the components, inside the tab's form."""
        with gr.Accordion("Or move it live", open=False, elem_id="animate-live") as self.fold:
            html(
                '<p class="fine">The camera moves the chosen portrait while you look at it. Its pictures never leave '
                "this page: it finds 478 points of your face itself and sends only those to the studio. The microphone "
                "moves the mouth; its sound does go to the studio, and no further. Nothing is kept unless you press "
                f"“Stop and keep”, at most {LONGEST_SECONDS / 60:g} minutes.</p>"
            )
            self.stage = gr.HTML(_SHOWN, js_on_load=_LOAD, apply_default_css=False, elem_id="animate-live-stage")
            self.session = html(elem_id="animate-live-session")

    def wire(self, choice: Any, layers: LayersFold) -> None:
        """Attach the listeners.

        Args:
            choice: state of the chosen portrait.
            layers: the fold in which a kept take is shown.
        """

        def act(chosen: Choice | None, event: gr.EventData) -> Updates:
            return self._act(chosen, event, layers)

        listen(
            self.stage.click,
            act,
            choice,
            [self.session, *layers.restored],
            show_progress="hidden",
        )

    def _act(self, choice: Choice | None, event: gr.EventData, layers: LayersFold) -> Updates:
        said = event._data or {}
        act, token = said.get("act"), str(said.get("token") or "")[:64]
        if act == "open":
            return {self.session: self._opened(choice, "microphone" if said.get("by") == "microphone" else "camera")}
        if act == "keep":
            kept = self.service.keep(token)
            say(f"Kept as “{kept.name}”. “Make the clip” plays it on the chosen portrait.", 8)
            return {self.session: _mark("kept", kept.id), **layers.restore(kept.id)}
        self.service.close(token)
        return {}

    def _opened(self, choice: Choice | None, by: By) -> str:
        """Return the mark of a session; also of one that failed, so that the page lets the camera go."""
        try:
            if not choice:
                raise UserInputError(
                    "There is no portrait yet.", "Choose one of your people's photos, or drop a picture."
                )
            handle = self.service.open(source_of(choice), face_index=choice.get("face_index"), by=by)
        except Exception as error:
            tell(error)
            return _mark("failed", secrets.token_hex(4))  # new each time: the page sees a change
        return _mark("open", handle.token, width=handle.width, height=handle.height)


def _mark(what: str, token: str, **more: int) -> str:
    attributes = "".join(f' data-{name}="{value}"' for name, value in more.items())
    return f'<i hidden data-live="{what}" data-token="{escape(token)}"{attributes}></i>'
