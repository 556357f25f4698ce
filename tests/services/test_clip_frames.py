"""A clip in a heap: frames take its place, each says where it is from; what has no face says so; nothing is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.domain.face import DetectedFace, FaceEmbedding, PhotoQuality
from studio.domain.pose import HeadPose
from studio.engines.media import ffmpeg
from studio.engines.media.hiding import hidden
from studio.engines.media.video import open_writer
from studio.errors import UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.people import clip_frames
from studio.studio import JOB_KINDS
from tests.services.fakes import FakeAnalyser, picture

LEFT, RIGHT = (30, 40, 120, 130), (150, 40, 230, 120)
"""Where the people of a clip sit: x0, y0, x1, y1."""


class Sitters(FakeAnalyser):
    """Sees a person where a frame is bright; the brighter, the further they have turned."""

    def detect(self, image):
        self.detections += 1
        scale = image.shape[1] / 256
        faces = []
        for box in (LEFT, RIGHT):
            x0, y0, x1, y1 = (v * scale for v in box)
            light = float(image[int(y0) + 4 : int(y1) - 4, int(x0) + 4 : int(x1) - 4].mean())
            if light > 60:
                marks = np.zeros((478, 3), np.float32)
                marks[33, 0], marks[263, 0] = x0, x1
                quality = PhotoQuality(0.8, 1, 1, 1, 1)
                faces.append(DetectedFace((x0, y0, x1, y1), 1.0, marks, HeadPose((light - 150) / 2, -5, 0), quality))
        return tuple(faces)

    def embed(self, image, face, *, rendered=False):
        vector = np.zeros(8, np.float32)
        vector[0 if face.box[0] < image.shape[1] / 2 else 1] = 1
        return FaceEmbedding("fake", vector)

    def fingerprint(self, image):
        return int(image.mean() * 1000)


def clip(path: Path, lights: list[tuple[int, int]], rate: int = 25, each: int = 13) -> Path:
    """Write a clip; each pair says how bright the left and the right person are, 0 for nobody."""
    with open_writer("mp4", path, (256, 192), rate) as out:
        for left, right in lights:
            frame = np.full((192, 256, 3), 25, np.uint8)
            for light, (x0, y0, x1, y1) in ((left, LEFT), (right, RIGHT)):
                frame[y0:y1, x0:x1] = light
            for _ in range(each):
                out.write(frame)
    return path


@pytest.fixture
def engines(engines):
    engines.analyser = Sitters()
    return engines


TURNING = [(100, 0), (130, 0), (160, 0), (190, 0), (220, 0)]


def names(studio, intake) -> list[str]:
    return [photo.file_name for photo in studio.curation.intake(intake.id).photos]


def test_frames_take_the_place_of_a_clip_and_say_where_they_are_from(studio, engines, tmp_path) -> None:
    source = clip(tmp_path / "party.mp4", TURNING)
    before = source.read_bytes()
    intake = studio.curation.start(source)
    assert (intake.title, names(studio, intake)) == ("party.mp4", ["party.mp4"])
    intake = studio.curation.analyse(intake.id)
    assert source.read_bytes() == before
    assert 3 <= len(intake.photos) <= 5
    assert all(photo.file_name.endswith(" in party.mp4.png") and photo.analysis for photo in intake.photos)
    assert sorted(names(studio, intake)) == names(studio, intake), "in the order of the clip"
    assert any(f"{len(intake.photos)} frames taken of" in note for note in intake.notes)
    with Image.open(studio.curation.path(intake.photos[0].sha256)) as kept:
        assert kept.size == (256, 192), "as large as the clip"
        assert kept.info["Source"] == intake.photos[0].file_name.removesuffix(".png")
    assert studio.whole.upkeep.verify().unused == (), "the clip's own bytes are gone from the studio"
    person = studio.curation.confirm(intake.id, name="Ann").people[0]
    assert all("in party.mp4" in photo.file_name for photo in studio.identities.photos(person.id))


def test_at_most_as_many_as_asked(studio, engines, tmp_path) -> None:
    intake = studio.curation.start([clip(tmp_path / "a.mp4", TURNING), picture(tmp_path / "b.png")])
    intake = studio.curation.analyse(intake.id, frames=2)
    assert len(intake.photos) == 3
    for frames in (0, 101):
        with pytest.raises(UserInputError, match="frames of a clip"):
            studio.curation.analyse(intake.id, frames=frames)
        with pytest.raises(UserInputError, match="frames of a clip"):
            studio.curation.submit_analyse(tmp_path / "a.mp4", frames=frames)


def test_other_people_are_hidden_and_the_person_is_not(studio, engines, tmp_path) -> None:
    both = [(100, 200), (140, 200), (180, 200)]
    intake = studio.curation.start(clip(tmp_path / "both.mp4", both))
    intake = studio.curation.analyse(intake.id, hide_others=True)
    assert all(", others hidden" in photo.file_name for photo in intake.photos)
    for photo in intake.photos:
        with Image.open(studio.curation.path(photo.sha256)) as kept:
            pixels = np.asarray(kept)
        assert pixels[42:48, 152:158].mean() < 160, "the other one's head is mixed with what is around it"
        assert int(np.ptp(pixels[60:110, 50:100])) < 12, "the person is as they were"


def test_the_known_person_is_the_one_who_stays(studio, engines, tmp_path) -> None:
    alone = picture(tmp_path / "right.png", size=(256, 192), shade=20)
    image = np.asarray(Image.open(alone)).copy()
    image[RIGHT[1] : RIGHT[3], RIGHT[0] : RIGHT[2]] = 150
    Image.fromarray(image).save(alone)
    person = studio.identities.add("Bob", [alone])
    intake = studio.curation.start(clip(tmp_path / "both.mp4", [(100, 200), (140, 200)]), identity_id=person.id)
    intake = studio.curation.analyse(intake.id, hide_others=True)
    with Image.open(studio.curation.path(intake.photos[0].sha256)) as kept:
        pixels = np.asarray(kept)
    assert pixels[42:48, 152:158].mean() > 190
    assert pixels[42:48, 32:38].mean() < 130


def test_clips_that_give_nothing_say_why(studio, engines, tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("no clip")
    (tmp_path / "empty.mov").write_bytes(b"")
    dark = clip(tmp_path / "dark.mp4", [(0, 0), (0, 0)])
    intake = studio.curation.start([dark, tmp_path / "text.mp4", tmp_path / "empty.mov"])
    intake = studio.curation.analyse(intake.id)
    said = {photo.file_name: photo.trouble[0] for photo in intake.photos}
    assert said["dark.mp4"] == "No face was found in dark.mp4."
    assert said["text.mp4"].startswith("text.mp4 is not")
    assert "empty" in said["empty.mov"]
    assert intake.waiting == 0


def test_a_clip_that_breaks_off_gives_what_it_has(studio, engines, tmp_path) -> None:
    whole = clip(tmp_path / "whole.mp4", TURNING * 3)
    moved = tmp_path / "moved.mkv"
    subprocess.run([ffmpeg.binary(), "-v", "error", "-i", str(whole), "-c", "copy", str(moved)], check=True)
    data = moved.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    intake = studio.curation.analyse(studio.curation.start(tmp_path / "cut.mkv").id)
    assert intake.photos
    assert any("breaks off" in note and "damaged" in note for note in intake.notes)


def test_a_long_clip_is_looked_through_in_bounded_steps(studio, engines, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(clip_frames, "MOST_LOOKS", 4)
    monkeypatch.setattr(clip_frames, "LONGEST_SECONDS", 10.0)
    intake = studio.curation.analyse(studio.curation.start(clip(tmp_path / "long.mp4", TURNING * 3)).id)
    assert any("of 4 that were looked at" in note for note in intake.notes)
    monkeypatch.setattr(clip_frames, "LONGEST_SECONDS", 1.0)
    intake = studio.curation.analyse(studio.curation.start(clip(tmp_path / "longer.mp4", TURNING)).id)
    assert "hours long" in intake.photos[0].trouble[0]


def test_a_killed_job_leaves_the_clip_and_goes_on(studio, engines, tmp_path, monkeypatch) -> None:
    job = studio.curation.submit_analyse(clip(tmp_path / "a.mp4", TURNING), frames=3, hide_others=True)
    assert (job.params["frames"], job.params["hide_others"]) == (3, True)
    place = Workplace(studio.whole.store, JOB_KINDS, services=lambda owner: studio)
    whole = type(studio.store.curation).unfold

    def breaks(self, *given):
        raise MemoryError("killed here")

    monkeypatch.setattr(type(studio.store.curation), "unfold", breaks)
    work_off(place)
    assert studio.jobs.get(job.id).state == "failed"
    assert [p.file_name for p in studio.curation.intake(job.params["intake_id"]).photos] == ["a.mp4"]
    assert studio.whole.upkeep.verify().unused == (), "frames that nothing refers to are gone"
    monkeypatch.setattr(type(studio.store.curation), "unfold", whole)
    studio.jobs.resume(job.id)
    work_off(place)
    assert studio.jobs.get(job.id).state == "done"
    assert len(studio.curation.intake(job.params["intake_id"]).photos) == 3


def test_a_hidden_face_is_gone_and_the_rest_is_not() -> None:
    random = np.random.default_rng(4)
    image = random.integers(0, 255, (120, 160, 3)).astype(np.uint8)
    out = hidden(image, [(60, 40, 100, 80)])
    assert out[50:70, 70:90].std() < 0.25 * image[50:70, 70:90].std()
    assert np.array_equal(out[:, :40], image[:, :40])
    assert np.array_equal(hidden(image, []), image)
    assert hidden(image, [(-50, -50, -20, -20), (150, 110, 400, 300)]).shape == image.shape
