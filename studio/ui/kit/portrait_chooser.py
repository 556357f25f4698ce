"""The portrait chooser: a photo of one of the people, or a picture from disk.

A picture with several faces shows them as numbered crops to pick from. The
choice is a small dictionary in a gr.State, so that each browser has its own:
`photo_id` or `path`, `face_index`, `title`. What happens with a chosen
portrait is the tab's affair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.render import Render
from studio.errors import NotFoundError
from studio.services.people.identities import PhotoInspection
from studio.services.sources import MediaSource
from studio.ui.kit import text
from studio.ui.kit.controls import PICTURE_TYPES, Updates, clickable, clicked, html, listen
from studio.ui.kit.draft import hidden, parsed
from studio.ui.window import Window

Choice = dict[str, Any]
CHOSEN = "chosen"
"""In place of a photo's id: the picture from elsewhere that is chosen now."""


def source_of(choice: Choice) -> MediaSource:
    """Return the choice as services want it."""
    if choice.get("photo_id"):
        return MediaSource.photo(choice["photo_id"])
    return MediaSource.file(choice["path"])


def face_cards(window: Window, inspection: PhotoInspection, prefix: str = "", picked: int | None = None) -> str:
    """Return the faces of a picture as numbered crops to pick from."""
    items = [
        text.Card(
            id=f"{prefix}{face.index}",
            act="face",
            title=f"Face {face.index + 1}",
            line=""
            if face.likely == "person"
            else f"looks like {'an' if face.likely == 'animal' else 'a'} {face.likely}",
            picture=window.shelf.url(window.shelf.picture(face.crop)),
            corner=str(face.index + 1),
            selected=face.index == picked,
        )
        for face in inspection.faces
    ]
    return text.cards(items, "strip", "Faces in the picture")


class PortraitChooser:
    """A strip of people's photos, a drop zone, and the faces of a crowded picture."""

    def __init__(self, window: Window, name: str) -> None:
        """Remember the window; `name` keeps element ids of two choosers apart."""
        self.window = window
        self.name = name

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.choice = gr.State(None)
        self.held = hidden(f"{self.name}-held", "Chosen portrait")
        self.people = clickable(elem_id=f"{self.name}-people")
        self.upload = gr.File(
            label="Or drop a picture here",
            file_types=PICTURE_TYPES,
            height=64,
            elem_id=f"{self.name}-upload",
            elem_classes=["drop"],
        )
        self.faces = clickable(elem_id=f"{self.name}-faces")
        self.message = html()

    @property
    def parts(self) -> list[Any]:
        """Everything that `answer` updates."""
        return [self.choice, self.people, self.faces, self.message]

    def wire(self, item: gr.Tab, lane: dict[str, Any]) -> None:
        """Attach the listeners; the tab listens to `choice.change`.

        Args:
            item: the strip is drawn anew when it is opened.
            lane: of the tab's form. All that draws the strip is in it: a strip that was begun before a picture was
                dropped, and comes after, would be one without that picture.
        """
        outputs = self.parts
        listen(item.select, self.strip, self.choice, self.people, show_progress="hidden", **lane)
        listen(self.people.click, self._pick_photo, self.choice, outputs, **lane)
        listen(self.upload.upload, self._take_upload, self.upload, outputs, **lane)
        listen(self.upload.clear, self._forget_upload, self.choice, outputs, **lane)
        listen(self.faces.click, self._pick_face, [self.choice, self.upload], outputs, **lane)
        listen(self.choice.change, json.dumps, self.choice, self.held, show_progress="hidden")

    def restored(self, said: Any) -> Choice | None:
        """Return a choice that `held` has kept, where its picture is still there."""
        kept = parsed(said)
        if kept.get("photo_id"):
            try:
                self.window.studio.identities.photo_path(str(kept["photo_id"]))
            except NotFoundError:
                return None
            return self.photo_choice(str(kept["photo_id"]))
        index = kept.get("face_index")
        if not self.window.shelf.holds(kept.get("path")) or not (index is None or isinstance(index, int)):
            return None
        return {"path": kept["path"], "face_index": index, "title": str(kept.get("title") or "Picture")[:80]}

    def strip(self, choice: Choice | None) -> str:
        """Return the strip of all people's photos; a picture of no person stands in front while it is chosen."""
        items = []
        path = (choice or {}).get("path")
        if path and Path(path).is_file():
            url = self.window.picture_url(Path(path))
            title = str((choice or {}).get("title") or "Picture")
            items.append(text.Card(CHOSEN, title, "chosen", url, act="photo", selected=True))
        for person in self.window.studio.identities.list():
            photos = self.window.studio.identities.photos(person.id)
            for photo in photos:
                path = self.window.studio.identities.photo_path(photo.id)
                items.append(
                    text.Card(
                        id=photo.id,
                        act="photo",
                        title=person.name,
                        line=photo.file_name if len(photos) > 1 else "",  # else all of them read alike
                        picture=self.window.picture_url(path),
                        selected=(choice or {}).get("photo_id") == photo.id,
                        icon="identities",
                    )
                )
        if not items:
            return text.notice("No person yet.", "Add one on the Identities tab, or drop a picture below.")
        return text.cards(items, "strip", "Photos of your people")

    def _pick_photo(self, choice: Choice | None, event: gr.EventData) -> Updates:
        _, photo_id = clicked(event)
        return self.answer(choice if photo_id == CHOSEN else self.photo_choice(photo_id))

    def photo_choice(self, photo_id: str) -> Choice:
        """Return the choice of one stored photo."""
        for person in self.window.studio.identities.list():
            for photo in self.window.studio.identities.photos(person.id):
                if photo.id == photo_id:
                    return {"photo_id": photo_id, "face_index": None, "title": person.name, "identity_id": person.id}
        return {"photo_id": photo_id, "face_index": None, "title": "Photo"}

    def choice_of(self, render: Render, files: Mapping[str, Path]) -> Choice | None:
        """Return the portrait that a render was made from; None where it is gone.

        Args:
            files: what it was made from, by role.
        """
        again = {"for": render.id}  # the same portrait once more is a new choice, with other settings
        if render.photo_id:
            try:
                self.window.studio.identities.photo_path(render.photo_id)
                return self.photo_choice(render.photo_id) | again
            except NotFoundError:
                pass  # the photo left the person's page since; its bytes are still there for the render
        if "portrait" not in files:
            return None
        index = (render.recipe.get("request") or {}).get("face_index")
        path = str(self.window.shelf.put(files["portrait"]))
        return {"path": path, "face_index": index, "title": "Portrait", **again}

    def answer(self, choice: Choice | None, faces: str = "", message: str = "") -> Updates:
        """Return the updates of `parts` after a choice, or while none can be made yet."""
        return {self.choice: choice, self.people: self.strip(choice), self.faces: faces, self.message: message}

    def _take_upload(self, path: str | None) -> Updates:
        if not path:
            return self.answer(None)
        inspection = self.window.studio.identities.inspect(Path(path))
        title = Path(path).stem
        if not inspection.faces:
            hint = "Use a picture that shows a face from the front, larger than 100 pixels."
            return self.answer(None, message=text.notice("No face was found in this picture.", hint, "bad"))
        if len(inspection.faces) > 1:
            ask = text.notice("Several faces are in this picture.", "Pick the one you mean.")
            return self.answer(None, ask + face_cards(self.window, inspection))
        return self.answer({"path": path, "face_index": inspection.faces[0].index, "title": title})

    def _forget_upload(self, choice: Choice | None) -> Updates:
        return self.answer(choice if choice and choice.get("photo_id") else None)

    def _pick_face(self, choice: Choice | None, path: str | None, event: gr.EventData) -> Updates:
        _, index = clicked(event)
        if not path:
            return self.answer(choice)
        inspection = self.window.studio.identities.inspect(Path(path))
        picked = {"path": path, "face_index": int(index), "title": Path(path).stem}
        return self.answer(picked, face_cards(self.window, inspection, picked=int(index)))
