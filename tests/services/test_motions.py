"""Motion for base models: cards that make sense, files that are here or what to do, clips that are drawn with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from studio.domain.expression import FaceState
from studio.domain.motion_model import MotionFiles
from studio.domain.performance import Performance
from studio.engines.base_video import ClipOrder, PaintedFrames
from studio.errors import NotFoundError, UserInputError
from studio.services.bases import read_base_card
from studio.services.clips.making import FrameSource
from studio.services.video.motions import Motions, motion_schema, read_motion_card
from studio.services.video.painting import MOVING_PIECE, PIECE, Painting
from studio.studio import ASSETS, MOTION_CARDS
from tests.services.fakes import FakePortrait

CARDS = sorted(MOTION_CARDS.glob("*.json"))


class Files:
    """What the engine says of files, without reading weights."""

    def downloaded(self, folder: Path, card) -> str:
        return "abc" if (folder / "config.json").is_file() else ""

    def weights_sha256(self, folder: Path) -> str:
        return f"sha of {folder.name}"


class Engines:
    def base_files(self) -> Files:
        return Files()


@pytest.fixture
def motions(tmp_path) -> Motions:
    return Motions(Engines(), cards=MOTION_CARDS, assets=tmp_path / "assets", models=tmp_path / "models")


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_schema_file_is_generated() -> None:
    kept = json.loads((MOTION_CARDS.parent / "schema" / "motion.json").read_text("utf-8"))
    assert kept == motion_schema(), "write presets/schema/motion.json anew from motion_schema()"


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_every_card_makes_sense(path: Path) -> None:
    card = read_motion_card(path)
    assert card.about.endswith(".")
    assert not card.ran_here, "until somebody has made a clip with it here"
    assert all(name.endswith((".json", ".safetensors")) for name in card.files)


def test_what_is_not_here_says_how_to_get_it(motions) -> None:
    assert {e.state for e in motions.list()} == {"absent"}
    assert {e.card.family for e in motions.list("sdxl")} == {"sdxl"}
    with pytest.raises(NotFoundError) as caught:
        motions.resolve("animatediff-1-5-3", "sd15")
    assert "studio motion download animatediff-1-5-3" in caught.value.hint
    with pytest.raises(NotFoundError) as caught:
        motions.resolve("preview", "sd15")
    assert "base build --motion" in caught.value.hint
    with pytest.raises(NotFoundError, match="no motion"):
        motions.resolve("/nowhere/at/all", "sd15")
    with pytest.raises(UserInputError, match="family"):
        motions.resolve("animatediff-sdxl-beta", "sd15")
    with pytest.raises(NotFoundError):
        motions.download("nobody")
    with pytest.raises(UserInputError):
        motions.download("preview")


def test_cards_and_folders_are_found_with_the_control_beside_them(motions, tmp_path) -> None:
    put(tmp_path / "assets" / "motion" / "motion")
    assert motions.resolve("preview", "sd15").control is None
    put(tmp_path / "assets" / "motion" / "control")
    found = motions.resolve("preview", "sd15")
    assert (found.name, found.frames, found.sha256) == ("preview", 32, "sha of motion")
    assert found.control == tmp_path / "assets" / "motion" / "control"
    own = put(tmp_path / "mine")
    assert motions.resolve(str(own), "sdxl").folder == own
    put(own / "motion")
    put(own / "control")
    assert motions.resolve(str(own), "sd15") == MotionFiles(
        name="mine", folder=own / "motion", control=own / "control", sha256="sha of motion"
    )


def test_the_studios_own_moves_its_own_base_alone(motions, tmp_path) -> None:
    cards = {card.stem: read_base_card(card) for card in sorted((MOTION_CARDS.parent / "bases").glob("*.json"))}
    own = next(card for card in cards.values() if card.source == "embedded")
    other = next(card for card in cards.values() if card.source != "embedded" and card.family == own.family)
    assert motions.ready_for(own) == motions.ready_for(other) == ()
    put(tmp_path / "assets" / "motion" / "motion")
    put(tmp_path / "models" / "motion-animatediff-1-5-3")
    assert [card.name for card in motions.ready_for(own)] == ["preview"]
    assert [card.name for card in motions.ready_for(other)] == ["animatediff-1-5-3"]


class Painter:
    """Notes what it is asked, and gives back what it starts from, without the anchor."""

    name, version = "fake", "1"

    def __init__(self) -> None:
        self.calls = []

    def paint(self, location, order, frames, adapters=(), **more):
        self.calls.append((order, frames, more))
        kept = [p for k, p in enumerate(more["start"]) if order.anchor is None or k != order.anchor.index]
        return PaintedFrames(tuple(kept), None)


def painted(count: int, motion: MotionFiles | None, first: int = 0, **more):
    image = np.full((64, 64, 3), 90, np.uint8)
    portrait = FakePortrait(image)
    weights = np.zeros((count, 52), np.float32)
    weights[:, 24] = np.linspace(0, 1, count)
    none = np.zeros(count, np.float32)
    source = FrameSource(
        portrait, Performance(25.0, weights, np.zeros((count, 3), np.float32), np.ones(count, np.float32), none, none),
        FaceState(portrait.own_weights),
    )  # fmt: skip
    painter = Painter()
    drawing = type("Drawing", (), {"location": None, "worn": ()})()
    order = ClipOrder(prompt="", seed=1, steps=4, guidance=2.0, width=64, height=64, denoise=0.4)
    painting = Painting(
        painter=painter, drawing=drawing, order=order, cover=np.full((128, 128, 3), 200, np.uint8), note=dict,
        own_lips=False, on_progress=lambda progress: None, motion=motion, **more,
    )  # fmt: skip
    frames = list(painting.paint(source, first))
    return frames, painter.calls, [source.picture(i) for i in range(count)]


def test_without_motion_each_frame_is_drawn_by_itself() -> None:
    frames, calls, rig = painted(20, None)
    assert [np.array_equal(a, b) for a, b in zip(frames, rig, strict=True)] == [True] * 20
    assert [(frames_, order.anchor) for order, frames_, _ in calls] == [(PIECE, None), (4, None)]


def test_with_motion_the_anchor_goes_with_every_piece_and_is_left_out(tmp_path) -> None:
    motion = MotionFiles(name="m", folder=tmp_path / "motion", control=tmp_path / "control", frames=12)
    frames, calls, rig = painted(MOVING_PIECE + 5, motion, anchored=0.7)
    assert [np.array_equal(a, b) for a, b in zip(frames, rig, strict=True)] == [True] * (MOVING_PIECE + 5)
    assert [count for _, count, _ in calls] == [MOVING_PIECE + 1, 6]
    for order, count, more in calls:
        assert order.anchor is not None
        assert (order.anchor.strength, order.anchor.drop, order.window) == (0.7, True, 12)
        assert (more["start"][order.anchor.index] == 200).all(), "the anchor begins as the picture"
        assert more["start"][0].shape == (64, 64, 3)
        assert more["photo"].shape == (128, 128, 3)
        assert (more["motion"], more["control"]) == (motion.folder, motion.control)
        assert more["maps"].shape == (count, 64, 64, 2)


def test_a_clip_that_was_stopped_goes_on_with_the_frames_it_would_have_had(tmp_path) -> None:
    motion = MotionFiles(name="m", folder=tmp_path, frames=None)
    whole, calls, _ = painted(60, motion)
    rest, again, _ = painted(60, motion, first=50)
    assert all(np.array_equal(a, b) for a, b in zip(whole[50:], rest, strict=True))
    assert again[0][1] == calls[1][1]
    assert again[0][2]["maps"] is None, "no control, no maps"


def test_the_cards_of_the_studio_are_those_in_presets() -> None:
    assert {p.stem for p in CARDS} >= {"preview", "animatediff-1-5-2", "animatediff-1-5-3"}
    assert (ASSETS / "base").is_dir()
