"""A taught person speaks: whose consent it needs, what is drawn from what, resuming, and making it again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from studio.domain.clip_format import CLIP_FORMATS
from studio.engines.base_video import PaintedFrames
from studio.engines.media.pictures import read_picture
from studio.engines.media.recipe import read_recipe
from studio.errors import (
    ConsentMissingError,
    JobCancelled,
    NoFaceError,
    NotFoundError,
    UnreadableMediaError,
    UserInputError,
)
from studio.services.pictures.generation import checked_generation
from studio.services.sources import MediaSource
from studio.services.video.painting import PIECE
from studio.services.video.request import VideoRequest
from studio.services.video.video import VideoCost, checked_video
from tests.services.fakes import picture
from tests.services.test_generation import FakeBases, FakeGenerator, consent, keep_adapter, off


class FakePainter:
    """Paints frames in the color of their number in the piece, darker than they were."""

    name = "diffusion-clips"

    def __init__(self) -> None:
        self.version = "1"
        self.pieces: list[tuple] = []

    def libraries(self):
        return {"torch": "0", "diffusers": "0"}

    def paint(self, location, order, frames, adapters=(), *, start=None, on_step=None, **more):
        self.pieces.append((location, order, frames, tuple(adapters)))
        for step in range(order.steps):
            on_step(step + 1, order.steps)
        return PaintedFrames(tuple((s // 2).astype(np.uint8) for s in start), None)


@pytest.fixture
def generator(studio, engines, monkeypatch):
    made = FakeGenerator()
    monkeypatch.setattr(engines, "generator", lambda: made)
    monkeypatch.setattr(studio.generation, "_bases", FakeBases())
    return made


@pytest.fixture
def painter(engines, generator, monkeypatch):
    made = FakePainter()
    monkeypatch.setattr(engines, "painter", lambda: made)
    return made


@pytest.fixture
def ann(studio, tmp_path):
    photos = [picture(tmp_path / f"ann{i}.png", shade=100 + i) for i in range(3)]
    return studio.identities.add("Ann", photos, consent=consent("train", "generate", "animate"))


def ask(speech, **values) -> VideoRequest:
    sound = {} if "text" in values else {"sound": MediaSource.file(speech)}
    return checked_video({"base": "toy", "prompt": "a photo of sks person", "steps": 2, **sound, **values})


def test_a_request_round_trips_through_json(speech) -> None:
    asked = ask(speech, adapters=[{"adapter_id": "x", "strength": 0.5}], emotions={"joy": 0.5}, seed=7, change=0.3)
    assert VideoRequest.model_validate(json.loads(json.dumps(asked.model_dump(mode="json")))) == asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": " "}, {"steps": 0}, {"change": 0}, {"change": 0.9}, {"seed": -1}, {"frame_rate_hz": 12},
        {"size": 100}, {"emotions": {"envy": 1}}, {"emotions": {"joy": 3}}, {"nonsense": 1}, {"text": "and a text"},
        {"sound": None}, {"adapters": [{"adapter_id": "x"}, {"adapter_id": "x"}]},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(speech, wrong) -> None:
    sound = MediaSource.file(speech)
    with pytest.raises(UserInputError) as caught:
        checked_video({"base": "toy", "prompt": "a photo", "sound": sound, **wrong})
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


def test_a_drawn_clip_has_no_transparency(speech) -> None:
    cut_out = next(f.name for f in CLIP_FORMATS.values() if f.has_alpha)
    with pytest.raises(UserInputError, match="background of its own"):
        ask(speech, format=cut_out)


def test_a_queued_clip_is_drawn_in_pieces_from_one_noise_and_kept(studio, painter, generator, ann, tmp_path, speech):
    worn = keep_adapter(studio, tmp_path, person=ann.id)
    asked = ask(speech, adapters=[{"adapter_id": worn.id, "strength": 0.8}], change=0.3, seed=9, own_lips=False)
    job = studio.video.submit_video(asked)
    speech.unlink()  # what waits does not depend on a file that may move
    off(studio)
    done = studio.jobs.get(job.id)
    assert done.state == "done", done.error
    render = studio.library.show(done.outputs["render_id"])
    assert (render.kind, render.engine, render.identity_id) == ("clip", "diffusion-clips", ann.id)
    assert [piece[2] for piece in painter.pieces] == [PIECE, 25 - PIECE]
    location, order, _, adapters = painter.pieces[0]
    assert (location.name, order.seed, order.denoise, order.steps, order.width) == ("toy", 9, 0.3, 2, 64)
    assert all(piece[1] == order for piece in painter.pieces)
    assert [a.strength for a in adapters] == [0.8]
    recipe = read_recipe(studio.library.path(render))
    assert recipe["base"]["sha256"] == "b" * 64
    assert recipe["adapters"][0]["sha256"] == worn.media_sha256
    assert recipe["request"]["adapters"] == [{"adapter_id": worn.id, "strength": 0.8}]
    assert {"painter", "generator", "portrait", "speech", "torch"} <= set(recipe["engines"])
    assert {"anchor", "sound", f"adapter:{worn.name}"} <= set(recipe["inputs"])
    anchor = read_picture(studio.store.media.get(render.inputs["anchor"])).rgb
    assert max(anchor.shape) == 512, "enlarged, so that its face is found"
    assert render.inputs["curves"]


@pytest.fixture
def unmarked(studio, monkeypatch):
    """Frames without the invisible mark, to be compared."""
    monkeypatch.setattr(studio.provenance.marks, "marker", lambda recipe, size: None)


def test_frames_are_those_that_were_painted(studio, painter, speech, unmarked):
    render, result = studio.video.video(ask(speech, own_lips=False, format="png"))
    painted = _zipped(result.path)
    drawn = studio.animation.render(ask(speech).of_clip(_anchor_of(studio, render), 256, None).model_copy(
        update={"format": "png"}))[1]  # fmt: skip
    rig = _zipped(drawn.path)
    assert len(painted) == len(rig) == 25
    assert all(np.abs(p.astype(int) - r // 2).max() <= 1 for p, r in zip(painted, rig, strict=True))


def test_nothing_is_said_of_photos_where_every_frame_is_drawn(studio, painter, speech, monkeypatch):
    lacking = "The face is blurred; a sharper photo gives a crisper result."
    monkeypatch.setattr("studio.services.portraits.prepared.face_hints", lambda face: (lacking,))
    render, drawn = studio.video.video(ask(speech))
    assert lacking not in drawn.hints
    _, moved = studio.animation.render(ask(speech).of_clip(_anchor_of(studio, render), 256, None))
    assert lacking in moved.hints


def test_mouth_and_eyes_of_the_rig_are_laid_back(studio, painter, engines, speech, unmarked):
    _, plain = studio.video.video(ask(speech, own_lips=False, format="png"))
    _, laid = studio.video.video(ask(speech, own_lips=True, format="png"))
    without, with_lips = _zipped(plain.path), _zipped(laid.path)
    where = engines.mover.portraits[-1].soft_parts(None) > 0
    differs = np.any([np.abs(a.astype(int) - b).max(2) > 2 for a, b in zip(without, with_lips, strict=True)], 0)
    assert not differs[~where].any()


def test_whoever_is_in_the_adapter_must_agree_to_be_animated(studio, painter, tmp_path, speech):
    photos = [picture(tmp_path / "bea.png")]
    bea = studio.identities.add("Bea", photos, consent=consent("train", "generate"))
    worn = keep_adapter(studio, tmp_path, name="Bea", person=bea.id)
    with pytest.raises(ConsentMissingError, match="Bea"):
        studio.video.submit_video(ask(speech, adapters=[{"adapter_id": worn.id}]))
    assert not studio.jobs.list()


def test_a_photo_begins_the_clip_if_its_person_agreed(studio, painter, generator, ann, tmp_path, speech):
    photo = studio.identities.photos(ann.id)[0]
    render, _ = studio.video.video(ask(speech, picture=MediaSource.photo(photo.id)))
    assert render.inputs["anchor"] == photo.sha256
    assert generator.calls == [], "nothing is drawn beside the frames"
    bea = studio.identities.add("Bea", [picture(tmp_path / "bea.png")], consent=consent("edit"))
    with pytest.raises(ConsentMissingError, match="Bea"):
        studio.video.video(ask(speech, picture=MediaSource.photo(studio.identities.photos(bea.id)[0].id)))


def test_an_anchor_without_a_face_says_what_to_do_and_leaves_nothing(studio, painter, generator, monkeypatch, speech):
    def faceless(location, order, adapters=(), **more):
        yield np.zeros((64, 64, 3), np.uint8)

    monkeypatch.setattr(generator, "generate", faceless)
    media = studio.whole.data_dir / "media"
    before = sorted(p for p in media.rglob("*") if p.is_file())
    with pytest.raises(NoFaceError) as caught:
        studio.video.video(ask(speech))
    assert "another seed" in caught.value.hint
    sounds = [p for p in sorted(p for p in media.rglob("*") if p.is_file()) if p not in before]
    assert [p.suffix for p in sounds] == [".wav"], "only the sound that was asked for"


def test_an_interrupted_clip_goes_on_behind_its_last_piece(studio, painter, tmp_path, speech):
    whole = studio.video.video(ask(speech))[1].path.read_bytes()
    painter.pieces.clear()
    work = tmp_path / "work"
    work.mkdir()

    def stop(progress) -> None:
        if len(painter.pieces) == 2:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        studio.video.video(ask(speech), work_folder=work, on_progress=stop)
    painter.pieces.clear()
    again = studio.video.video(ask(speech), work_folder=work)[1].path.read_bytes()
    assert again == whole
    assert len(painter.pieces) <= 2


def test_a_clip_is_made_again_with_the_same_frames(studio, painter, ann, tmp_path, speech):
    worn = keep_adapter(studio, tmp_path, person=ann.id)
    render, _ = studio.video.video(ask(speech, adapters=[{"adapter_id": worn.id}]))
    again = studio.library.rerun(render.id)
    assert again.same_frames
    assert again.render.parent_id == render.id
    painter.version = "2"
    with pytest.raises(UserInputError, match="diffusion-clips 1"):
        studio.library.rerun(render.id)
    painter.version = "1"
    studio.store.adapters.delete(worn.id)
    with pytest.raises(NotFoundError, match="Ann"):
        studio.library.rerun(render.id)


class Clock:
    """A clock that a painter or generator sets forward: loading and steps take as long as a test says."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def slow(self, drawing, *, loading: float, step: float):
        """Return `drawing` with its first call loading for so long, and each of its steps taking so long."""
        left = [loading]

        def drawn(*given, on_step, **more):
            def told(*about) -> None:
                self.now += left.pop() + step if left else step
                on_step(*about)

            return drawing(*given, on_step=told, **more)

        return drawn


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_the_cost_counts_the_loading_once_and_every_frame(studio, painter, speech, clock, monkeypatch):
    assert studio.video.cost(ask(speech)) == VideoCost(25, None)
    monkeypatch.setattr(painter, "paint", clock.slow(painter.paint, loading=120.0, step=4.0))
    left = []
    render, made = studio.video.video(ask(speech), on_progress=lambda p: left.append(p.seconds_left))
    assert render.setup_seconds == pytest.approx(120.0)
    assert made.seconds["loading"] == pytest.approx(120.0)
    assert render.seconds - render.setup_seconds == pytest.approx(16.0), "two pieces of two steps"
    cost = studio.video.cost(ask(speech, seconds=0.5))
    assert cost == VideoCost(12, pytest.approx(120.0 + 12 * 16.0 / 25))
    twice = studio.video.cost(ask(speech, seconds=0.5, change=0.8 * ask(speech).change))
    assert twice.seconds == pytest.approx(120.0 + 0.8 * 12 * 16.0 / 25), "less drawn anew takes less"
    said = [s for s in left if s is not None]
    assert max(said) < 20.0, "the loading is over when the time left is said"


def test_the_cost_before_the_first_clip_is_told_by_pictures(studio, painter, generator, speech, clock, monkeypatch):
    monkeypatch.setattr(generator, "generate", clock.slow(generator.generate, loading=90.0, step=5.0))
    four = checked_generation({"base": "toy", "prompt": "a photo of sks person", "steps": 2, "count": 4})
    renders = studio.generation.generate(four)
    assert [r.setup_seconds for r in renders] == [pytest.approx(90.0), 0.0, 0.0, 0.0]
    cost = studio.video.cost(ask(speech))
    assert cost == VideoCost(25, pytest.approx(90.0 + 25 * 10.0 * ask(speech).change))


def test_a_part_of_a_clip_tells_no_pace(studio, painter, tmp_path, speech):
    work, asked = tmp_path / "work", {"frame_rate_hz": 60}
    work.mkdir()

    def stop(progress) -> None:
        if progress.stage == "Frame 55 of 60":  # a whole part of 50 is there
            raise JobCancelled

    with pytest.raises(JobCancelled):
        studio.video.video(ask(speech, **asked), work_folder=work, on_progress=stop)
    painter.pieces.clear()
    render, _ = studio.video.video(ask(speech, **asked), work_folder=work)
    assert len(painter.pieces) == 1, "it goes on"
    assert render.setup_seconds is None
    assert studio.video.cost(ask(speech)).seconds is None


def test_a_sound_that_is_none_is_refused_before_anything_is_drawn(studio, painter, generator, tmp_path):
    broken = tmp_path / "no.wav"
    broken.write_bytes(b"not a sound")
    with pytest.raises(UnreadableMediaError):
        studio.video.submit_video(ask(broken))
    assert generator.calls == painter.pieces == []


def _anchor_of(studio, render) -> MediaSource:
    return MediaSource.media(render.inputs["anchor"])


def _zipped(path) -> list[np.ndarray]:
    """Return the pictures of a zip of numbered PNGs."""
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(path) as folder:
        names = sorted(n for n in folder.namelist() if n.endswith(".png"))
        return [np.array(Image.open(io.BytesIO(folder.read(n))).convert("RGB")) for n in names]
