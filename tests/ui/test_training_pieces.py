"""Plots, the form of the plan, and what the Train and Generate tabs write: complete, escaped, true to the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.job import Job
from studio.domain.render import Render
from studio.domain.training import Calibration, Preflight, TrainingPlan, TrainingRun
from studio.errors import UserInputError
from studio.services.training.states import RunState
from studio.ui.kit import plots, results, text
from studio.ui.pictures.source_picture import drawn_mask
from studio.ui.training import checkpoints, plan_fields, plan_form
from studio.ui.training import run_parts as runs
from studio.ui.training.adapter_cards import leak_card, leak_progress, strengths_of

NASTY = "<script>alert('x')</script>\"'&"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
points = st.lists(
    st.tuples(st.integers(0, 10_000).map(float), st.floats(allow_nan=True, allow_infinity=True)), max_size=400
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def a_run(**changes) -> TrainingRun:
    base = {"id": "r1", "owner": "local", "name": NASTY, "plan": TrainingPlan(trigger="x<y"), "base_sha256": "b",
            "photos": ("p1", "p2"), "identity_id": "i1", "created": NOW}  # fmt: skip
    return TrainingRun(**{**base, **changes})


def a_state(state: str = "done", **changes) -> RunState:
    return RunState(a_run(**changes), state, 40, 100, 40, NASTY)  # type: ignore[arg-type]


def drawing(html: str) -> ElementTree.Element:
    """Return the SVG of a figure, read by an XML parser: whatever is not well-formed raises."""
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", html, re.S)[0])  # type: ignore[index]


# -- plots --------------------------------------------------------------------------


@given(points)
def test_any_numbers_make_a_figure(rows):
    made = plots.figure(plots.Plot("Loss", "about", [plots.Line("raw", rows, "faint"), plots.Line("loss", rows)]))
    finite = [p for p in rows if plots.drawable(p[1])]
    assert ("<svg" in made) == bool(finite)
    if finite:
        numbers = re.findall(r"-?\d+\.?\d*", " ".join(e.get("d", "") for e in drawing(made).iter()))
        assert all(-1 <= float(n) <= plots.WIDTH + 1 for n in numbers), "a line leaves the drawing"


def test_a_figure_tells_people_who_do_not_see_it():
    rows = [(float(k), 1.0 / (k + 1)) for k in range(30)]
    made = plots.figure(plots.Plot("Loss", "It falls.", [plots.Line("loss", rows)]))
    svg = drawing(made)
    assert svg.get("role") == "img"
    named = {e.get("id"): e.text for e in svg if e.get("id")}
    assert [named[i] for i in svg.get("aria-labelledby", "").split()] == ["Loss", "It falls."]
    cells = re.findall(r"<td>(.*?)</td>", made)
    assert 2 <= len(cells) <= plots.TABLE_ROWS
    assert (cells[0], cells[-1]) == ("1", f"{1 / 30:.3g}")


def test_smoothing_starts_at_the_first_value_and_keeps_a_constant():
    assert [y for _, y in plots.smoothed([(0.0, 5.0), (1.0, 5.0)])] == pytest.approx([5.0, 5.0])
    assert [x for x, _ in plots.smoothed([(0.0, 3.0), (1.0, float("nan")), (2.0, 9.0)])] == [0.0, 2.0]


@given(points)
def test_thinning_keeps_the_extremes_and_the_end(rows):
    finite = [p for p in rows if plots.drawable(p[1])]
    thin = plots.thinned(rows, most=40)
    assert set(thin) <= set(finite)
    assert len(thin) <= 45
    if finite:
        assert thin[-1] == finite[-1]
        assert max(y for _, y in thin) == max(y for _, y in finite)
        assert min(y for _, y in thin) == min(y for _, y in finite)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_inside(low, room):
    found = plots.ticks(low, low + room)
    assert all(low - room * 1e-6 <= t <= low + room * (1 + 1e-6) for t in found)
    assert 1 <= len(found) <= 9


def test_the_likeness_plot_shows_how_much_the_own_photos_vary():
    scale = Calibration("dlib", 0.3, 0.03, 0.6, 6)
    made = runs.plots(a_run(calibration=scale), {"likeness": [(0, 0.1), (50, 0.8)], "loss": [(1, 0.5)]}, 50)
    assert 'class="band"' in made
    assert "own photos vary by .10" in made
    assert "suggested: step 50" in made
    without = runs.plots(a_run(), {"distance": [(0, 0.5)]})
    assert "Distance to the photo" in without


# -- the form of the plan ---------------------------------------------------------------


def test_every_field_of_the_plan_is_in_the_form_once():
    shown = [f.name for f in plan_fields.FIELDS]
    assert sorted([*shown, *plan_fields.VISIBLE]) == sorted(TrainingPlan.model_fields)
    assert all(f.label and f.info for f in plan_fields.FIELDS)
    assert not set(plan_fields.WORDS) - set(TrainingPlan.model_fields), "words for fields that are gone"


def test_a_field_without_words_is_named_and_explained_by_the_plan(monkeypatch):
    monkeypatch.setattr(plan_fields, "WORDS", {})
    row = plan_fields._field("min_snr_gamma")
    assert (row.group, row.label) == (plan_fields.MORE, "Min snr gamma")
    assert row.info.startswith("0 turns it off")


@pytest.mark.parametrize(
    "changes", [{}, {"method": "dreambooth", "flip": True, "sample_prompts": ("a", "b"), "sample_seeds": (7, 8, 9)}]
)
def test_the_form_gives_back_the_plan_it_was_filled_with(changes):
    plan = TrainingPlan(**changes)
    read = plan_fields.changes_of(plan_fields.values_of(plan))
    kept = {name: getattr(plan, name) for name in plan_fields.VISIBLE}
    assert TrainingPlan.model_validate({**read, **kept}) == plan


def test_an_empty_number_is_named():
    values = plan_fields.values_of(TrainingPlan())
    at = next(k for k, f in enumerate(plan_fields.FIELDS) if f.name == "rank")
    with pytest.raises(UserInputError, match="Rank"):
        plan_fields.changes_of([*values[:at], None, *values[at + 1 :]])
    at = next(k for k, f in enumerate(plan_fields.FIELDS) if f.name == "sample_seeds")
    with pytest.raises(UserInputError, match="no whole number"):
        plan_fields.changes_of([*values[:at], "1, two", *values[at + 1 :]])


FITS = Preflight(
    memory_bytes=6 * 10**9, memory_free_bytes=8 * 10**9, disk_bytes=10**9, disk_free_bytes=10**11, seconds=600,
    device="cuda:0", trainable_parameters=3_200_000,
)  # fmt: skip


def test_preflight_says_what_fits_instead_with_one_click():
    assert "It fits" in plan_form.preflight_card(FITS)
    assert "about 10 min on cuda:0" in plan_form.preflight_card(FITS)
    tight = replace(
        FITS, memory_bytes=12 * 10**9, problems=(NASTY,), instead={"batch": 1, "gradient_checkpointing": True}
    )
    made = plan_form.preflight_card(tight)
    assert "It will not fit" in made
    assert "batch 1, save memory on" in made
    assert 'data-act="instead"' in made
    assert "<script" not in made
    assert 'data-act="instead"' not in plan_form.preflight_card(replace(tight, instead={}))


# -- runs, checkpoints, grid ---------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        runs.head(a_state("failed"), None, {}, NASTY),
        runs.history([(a_state(), None, NASTY)], None),
        checkpoints.sample_sheet([checkpoints.SampleView(0, "person", NASTY, 1, NASTY)]),
        checkpoints.newest([checkpoints.SampleView(0, "person", NASTY, 1, NASTY)]),
        checkpoints.checkpoint_list([checkpoints.CheckpointView(NASTY, 1, 0.5, 0.1, 0.1, [NASTY], NASTY, NASTY)]),
        checkpoints.grid([checkpoints.CellView(NASTY, 1, 1.0, NASTY, 1, 0.5)]),
        leak_card({"advice": NASTY, "results": []}, NASTY),
    ],
)
def test_nothing_a_person_typed_becomes_html(made):
    assert "<script" not in made
    assert "alert('x')" not in made


def test_what_can_be_done_follows_the_state():
    acts = {s: set(a_state(s).actions(None)) for s in ("done", "stopped", "failed", "interrupted")}
    assert acts["done"] == {"more", "delete"}
    assert acts["stopped"] == acts["failed"] == acts["interrupted"] == {"continue", "delete"}
    assert 'data-act="smaller"' in runs.head(a_state("failed"), None, {}, "last line")
    assert "last line" in runs.head(a_state("failed"), None, {}, "last line")
    assert 'data-act="smaller"' not in runs.head(a_state("done"), None, {})


def test_votes_are_added_up_per_checkpoint_and_strength():
    cells = [checkpoints.CellView(str(k), 50, 0.8, "", vote) for k, vote in enumerate((1, 1, -1))]
    cells += [checkpoints.CellView("x", 100, 1.0, "", -1), checkpoints.CellView("y", 100, 0.8, "", 0)]
    said = checkpoints.vote_summary(cells)
    assert said.index("step 50 × 0.8: 2 up, 1 down") < said.index("step 100 × 1: 0 up, 1 down")
    assert "No votes yet" in checkpoints.vote_summary(cells[4:])


def test_likeness_comes_with_the_spread_of_the_own_photos():
    assert text.likeness(0.83, 0.1) == "likeness .83, own photos 1 ± .10"
    assert text.likeness_tone(0.83, 0.1) == "good"
    assert text.likeness_tone(0.6, 0.1) == "warn"
    assert text.likeness_tone(0.2, 0.1) == "bad"


# -- pictures ------------------------------------------------------------------------------


def a_render(**changes) -> Render:
    recipe = {"request": {"prompt": NASTY, "seed": 3, "steps": 12}, "base": {"name": "preview", "sha256": "abc"},
              "adapters": [{"name": NASTY, "strength": 1}], "measures": {"likeness": 0.83, "spread": 0.1}}  # fmt: skip
    base = {"kind": "image", "media_sha256": "m", "recipe": recipe, "engine": "diffusion", "engine_version": "1",
            "id": "r1", "owner": "local", "created": NOW, "width": 128, "height": 128}  # fmt: skip
    return Render(**{**base, **changes})


def test_a_small_picture_says_that_it_is_enlarged_and_how_alike_it_is():
    made = results.large(a_render(), "u", "f.png", "Preview base: rendered faces")
    assert "Preview base: rendered faces, 128 px, shown enlarged." in made
    assert "likeness .83, own photos 1 ± .10" in made
    assert "<script" not in made + results.recipe_facts(a_render())
    assert "width:min(100%, 384px)" in made
    assert "style=" not in results.large(a_render(width=512, height=512), "u", "f.png")
    assert "shown enlarged" not in results.large(a_render(width=512, height=512), "u", "f.png")
    why = a_render(recipe={"request": {}, "measures": {"likeness": None, "reason": "No face to measure."}})
    assert "No face to measure." in results.large(why, "u", "f.png")


def test_a_painted_mask_is_the_union_of_the_layers():
    layers = [np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6, 4), np.uint8)]
    assert drawn_mask({"layers": layers}) is None
    assert drawn_mask(None) is None
    layers[0][0, 0, 3], layers[1][3, 5, 3] = 9, 255
    mask = drawn_mask({"layers": layers})
    assert mask is not None
    assert mask.shape == (4, 6)
    assert (mask[0, 0], mask[3, 5], int(mask.sum())) == (255, 255, 510)


def test_strengths_of_a_merge():
    assert strengths_of("", 3) == [1.0, 1.0, 1.0]
    assert strengths_of("1; .5", 2) == [1.0, 0.5]
    with pytest.raises(UserInputError, match="3 strengths for 2"):
        strengths_of("1,2,3", 2)
    with pytest.raises(UserInputError, match="no numbers"):
        strengths_of("much", 1)


@pytest.mark.parametrize(("state", "words"), [("queued", "waits for its turn"), ("running", "runs, 40 % done: seed 3")])
def test_a_leak_test_says_whether_it_waits_or_runs(state, words) -> None:
    job = Job(
        id="j", owner="local", kind="leak_test", title="Leak test", params={}, state=state, fraction=0.4,
        message="seed 3", created=NOW,
    )  # fmt: skip
    assert words in leak_progress(job)


def test_an_adapters_card_says_one_likeness_one_spread_and_one_advice():
    results = [
        {"strength": 1.0, "leak": 0.3, "noise": 0.05, "likeness": 0.8, "drift": 0.2},
        {"strength": 0.8, "leak": 0.1, "noise": 0.04, "likeness": 0.72, "drift": 0.1},
    ]
    found = {"advice": "Lower the strength to 0.8: strangers move.", "results": results}
    made = leak_card(found, "", 0.9, 0.1)
    assert "Lower the strength" in made
    assert "90 %" in made, "of the likeness at full strength"
    assert ".72" not in made
    assert "±" not in made
    far = leak_card(found, "", -0.31, 0.1)
    assert "not alike yet" in far
    assert "Lower the strength" not in far
