"""A face recorded elsewhere moves a portrait, from the window."""

from __future__ import annotations

import numpy as np

from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import write_curves
from tests.ui.conftest import PHONE
from tests.ui.test_story import shoot


def recording(path):
    frames = 90
    t = np.arange(frames, dtype=np.float32) / 60
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = 0.3 - 0.3 * np.cos(2 * np.pi * t)
    none = np.zeros(frames, np.float32)
    return write_curves(
        Performance(60.0, weights, np.zeros((frames, 3), np.float32), none, none.copy(), none.copy()), path
    )


def test_a_recording_moves_a_portrait_and_survives_a_refresh(visit, portrait, tmp_path):
    v = visit(PHONE)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#animate-recorded button.label-wrap")
    v.settle()
    page.set_input_files("#animate-motion input[type=file]", str(recording(tmp_path / "take-7.csv")))
    page.wait_for_selector("#animate-motion :text('take-7')")
    page.wait_for_function("sessionStorage['likeness-studio-draft-animate']?.includes('take-7')")
    v.reload()
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.wait_for_selector("#animate-motion :text('take-7')", state="attached")
    page.click("#animate-make")
    v.done("#animate-progress")
    page.wait_for_selector("#animate-video video")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 1.4")
    shoot(v, "recorded-phone")


def test_a_file_that_is_no_recording_is_refused_in_words(visit, portrait, tmp_path):
    v = visit()
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#animate-recorded button.label-wrap")
    wrong = tmp_path / "shopping.csv"
    wrong.write_text("bread,milk\n1,2\n")
    page.set_input_files("#animate-motion input[type=file]", str(wrong))
    page.wait_for_selector("#animate-motion :text('shopping')")
    shoot(v, "recorded-desktop")
    page.click("#animate-make")
    v.toast("is not a Live Link Face table")
