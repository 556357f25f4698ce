"""The words and pieces of HTML: escaped, and said as a person says them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.job import Failure, Job
from studio.ui.kit import jobcard, text
from studio.ui.shelf import Shelf, file_name

NASTY = "<script>alert('x')</script>\"'&"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def a_job(**changes) -> Job:
    base = {"id": "j1", "owner": "local", "kind": "animate", "title": NASTY, "params": {}, "state": "running",
            "created": NOW, "started": NOW}  # fmt: skip
    return Job(**{**base, **changes})


@pytest.mark.parametrize(
    "made",
    [
        text.empty(NASTY, NASTY),
        text.notice(NASTY, NASTY, "bad"),
        text.hints([NASTY]),
        text.heading(NASTY, NASTY),
        text.facts({NASTY: NASTY}),
        text.table([NASTY], [[NASTY]]),
        text.findings([(NASTY, "ok", NASTY)]),
        text.bars({"a": (NASTY, 0.4)}),
        text.cards(
            [text.Card(NASTY, NASTY, NASTY, NASTY, NASTY, NASTY, extras=((NASTY, NASTY, NASTY),))], "grid", NASTY
        ),
        jobcard.card(a_job(message=NASTY), NASTY),
        jobcard.card(a_job(state="failed", failure=Failure(error="E", message=NASTY, hint=NASTY)), "", NASTY),
    ],
)
def test_nothing_a_person_typed_becomes_html(made):
    assert "<script" not in made
    assert "alert('x')" not in made


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (900, "15 min"), (3900, "1 h 5 min"), (None, "")],
)
def test_span(seconds, said):
    assert text.span(seconds) == said


def test_when_says_today_and_yesterday():
    assert text.when(NOW, NOW).startswith("today ")
    assert text.when(NOW - timedelta(days=1), NOW).startswith("yesterday ")
    assert text.when(NOW - timedelta(days=400), NOW).endswith("2025")


def test_job_buttons_follow_the_state():
    acts = {s: {a for a, _ in jobcard.buttons(a_job(state=s))} for s in ("running", "done", "failed", "interrupted")}
    assert acts["running"] == {"cancel"}
    assert acts["interrupted"] == {"resume", "retry", "forget"}
    assert acts["failed"] == {"retry", "forget"}
    assert acts["done"] == {"forget"}
    assert "show" in {a for a, _ in jobcard.buttons(a_job(state="done", outputs={"render_id": "r1"}))}
    kept = a_job(state="cancelled")
    assert (jobcard.state_words(kept), jobcard.state_words(kept, keeps_its_work=True)) == ("Cancelled", "Stopped")
    assert {a for a, _ in jobcard.buttons(kept, keeps_its_work=True)} == {"forget"}


def test_job_card_tells_progress_to_screen_readers():
    made = jobcard.card(a_job(fraction=0.42, seconds_left=8.0))
    assert 'aria-valuenow="42"' in made
    assert "about 8 s left" in made


@given(st.text(max_size=200))
def test_file_names_never_leave_their_folder(typed):
    name = file_name(typed, ".mp4")
    assert name.endswith(".mp4")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name not in ("..mp4", ".mp4")


def test_shelf_keeps_copies_and_sweeps(tmp_path):
    original = tmp_path / "photo.png"
    original.write_bytes(b"bytes")
    shelf = Shelf(tmp_path / "shelf")
    copy = shelf.put(original, "Ada / Lovelace.png")
    assert copy.is_relative_to(shelf.folder)
    assert copy.read_bytes() == b"bytes"
    assert shelf.put(original, "Ada / Lovelace.png") == copy
    assert shelf.url(copy).startswith("gradio_api/file=")
    assert shelf.sweep() == 5
    assert not copy.exists()
    assert original.exists()
