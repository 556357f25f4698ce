"""Paintings: as large as a canvas of ours, and looked at by their header before anything is unpacked."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio.components.image_editor import EditorData, EditorDataBlobs
from gradio.data_classes import FileData
from PIL import Image

from studio.ui.pictures import painting
from studio.ui.pictures.painting import CANVAS_SIDE, LARGEST_BYTES, MOST_LAYERS, bound_paintings
from studio.ui.pictures.source_picture import SourcePicture, drawn_mask


@pytest.fixture
def editor() -> gr.ImageMask:
    bound_paintings()
    bound_paintings()
    return gr.ImageMask(type="numpy")


def saved(kind: str, width: int, height: int, mode: str = "RGBA") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 1).save(out, kind)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """Return a small PNG that says it is `side` pixels wide and high, and is."""
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(side * 4 + 1)) for _ in range(side)) + rows.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def sent(editor: gr.ImageMask, background: bytes, *layers: bytes) -> EditorData:
    """Return a painting as a page sends it: its pictures first, then a word which they are."""
    editor.blob_storage["a"] = EditorDataBlobs(background=background, layers=[*layers], composite=background)
    return EditorData(background=None, layers=[], composite=None, id="a")


def test_what_a_canvas_draws_is_taken(editor) -> None:
    layer = np.zeros((40, 60, 4), np.uint8)
    layer[10:20, 5:15] = 255
    out = io.BytesIO()
    Image.fromarray(layer).save(out, "PNG")
    got = editor.preprocess(sent(editor, saved("PNG", 60, 40), out.getvalue()))
    mask = drawn_mask(got)
    assert mask is not None
    assert mask.sum() == 255 * 100
    assert editor.preprocess(None) is None
    assert editor.preprocess(sent(editor, saved("WEBP", CANVAS_SIDE, 4)))["background"].shape[1] == CANVAS_SIDE


def laid_down(id: str, sent: bytes) -> SimpleNamespace:
    """Return what a page lays down before it asks for its painting."""
    return SimpleNamespace(data={"type": "background", "index": "null", "id": id}, files=[("file", sent)])


def test_paintings_that_nobody_asks_for_are_forgotten_and_said_to_be(editor, monkeypatch) -> None:
    """Many pages may lay one down at the same moment; what all of them hold is bounded, not how many they are."""
    fine = saved("PNG", 60, 40)
    for number in range(50):
        editor.accept_blobs(laid_down(f"left {number}", fine))
    assert len(editor.blob_storage) == 50
    assert editor.accept_blobs._is_server_fn, "pages may still call it"
    monkeypatch.setattr(painting, "MOST_WAITING_BYTES", 3 * len(fine))
    editor.accept_blobs(laid_down("asked for", fine))
    assert len(editor.blob_storage) == 3
    asked = EditorData(background=None, layers=[], composite=None, id="asked for")
    assert editor.preprocess(asked)["background"].shape[:2] == (40, 60)
    assert "asked for" not in editor.blob_storage
    gone = EditorData(background=None, layers=[], composite=None, id="left 3")
    with pytest.raises(gr.Error, match="ask for it once more"):
        editor.preprocess(gone)
    with pytest.raises(gr.Error, match="larger than a canvas"):
        editor.accept_blobs(laid_down("huge", bytes(LARGEST_BYTES + 1)))
    assert "huge" not in editor.blob_storage


@pytest.mark.parametrize("where", ["background", "layer", "file"])
def test_a_bomb_is_refused_before_it_is_unpacked(editor, tmp_path, where) -> None:
    fine, large = saved("PNG", 60, 40), bomb(6000)
    (tmp_path / "bomb.png").write_bytes(large)
    file = FileData(path=str(tmp_path / "bomb.png"))
    payload = {
        "background": lambda: sent(editor, large),
        "layer": lambda: sent(editor, fine, large),
        "file": lambda: EditorData(background=file, layers=[], composite=None),
    }[where]()
    tracemalloc.start()
    with pytest.raises(gr.Error, match="6000 x 6000 pixels"):
        editor.preprocess(payload)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("data", [saved("TIFF", 9, 9), saved("BMP", 9, 9, "RGB"), b"no picture", b""])
def test_other_formats_are_refused(editor, data) -> None:
    with pytest.raises(gr.Error, match="no picture that a page draws"):
        editor.preprocess(sent(editor, data))


def test_layers_without_end_are_refused(editor) -> None:
    with pytest.raises(gr.Error, match="layers"):
        editor.preprocess(sent(editor, saved("PNG", 4, 4), *[saved("PNG", 4, 4)] * (MOST_LAYERS + 1)))


def test_large_photos_are_painted_on_as_a_small_copy(tmp_path) -> None:
    """Else the page would get, and send back, three times as many pixels as the photo has."""
    from studio.studio import Studio
    from studio.ui.shelf import Shelf

    photo = tmp_path / "large.jpg"
    Image.new("RGB", (5000, 3000), "gray").save(photo, exif=Image.Exif())
    with Studio(tmp_path / "data") as studio:
        window = SimpleNamespace(studio=studio.for_owner(), shelf=Shelf(tmp_path / "shelf"))
        part = SourcePicture(window)
        part.painting, part.painted, part.earlier = object(), object(), object()
        shown = part._mask("drawn", {"source": {"path": str(photo)}})[part.painting]
    with Image.open(shown.value["background"]["path"] if isinstance(shown.value, dict) else shown.value) as canvas:
        assert canvas.size == (CANVAS_SIDE, round(CANVAS_SIDE * 3 / 5))


STROKE = """() => {
  const canvas = document.querySelector('#generate-painting canvas').getBoundingClientRect();
  return [canvas.left + canvas.width / 2, canvas.top + canvas.height / 2];
}"""
KEPT = "() => JSON.parse(sessionStorage['likeness-studio-draft-generate'] || '{}').painted"


def test_a_refresh_keeps_what_was_painted(visit, portrait):
    v = visit()
    v.open("generate")
    v.page.click("#generate-from button")
    v.page.set_input_files("#generate-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#generate-source .notice")
    v.page.click("#generate-mask label:has-text('What I draw')")
    v.page.wait_for_selector("#generate-painting canvas")
    v.settle()
    v.page.locator("#generate-painting").scroll_into_view_if_needed()
    x, y = v.page.evaluate(STROKE)
    v.page.mouse.move(x, y)
    v.page.mouse.down()
    v.page.mouse.move(x + 30, y + 10, steps=6)
    v.page.mouse.up()
    v.page.wait_for_function(KEPT)
    before = mask_of(v.page.evaluate(KEPT))
    assert 0 < before.mean() < 128
    v.reload()
    v.page.wait_for_function("() => document.querySelector('#generate-mask input[value=drawn]')?.checked")
    v.page.wait_for_selector("#generate-painting canvas")
    v.settle()
    v.page.locator("#generate-painting").scroll_into_view_if_needed()
    x, y = v.page.evaluate(STROKE)
    v.page.mouse.move(x - 60, y - 60)
    v.page.mouse.down()
    v.page.mouse.move(x - 50, y - 60, steps=4)
    v.page.mouse.up()
    old = v.page.evaluate(KEPT)
    v.page.wait_for_function(f"old => ({KEPT})() !== old", arg=old)
    after = mask_of(v.page.evaluate(KEPT))
    assert after.shape == before.shape
    assert (after[before > 0] > 0).mean() > 0.95, "the stroke before the refresh is still in it"
    assert after.sum() > before.sum(), "and one can paint on"


def mask_of(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L")).astype(float)
