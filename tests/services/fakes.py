"""Engines that cost nothing: the rules of the services are tested without models.

A picture says itself how many faces it shows: the red value of its first
pixel. A portrait is a flat picture whose color follows the face's weights.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio.domain.driving import TrackedFace
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.face import DetectedFace, FaceEmbedding, PhotoQuality
from studio.domain.performance import MouthResponse, Performance
from studio.domain.pose import HeadPose
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis, Word
from studio.engines import Engines
from studio.engines.base import HeadModel, ModelPart, unheard
from studio.engines.media.pictures import write_png
from studio.engines.vision.appearance import measure
from studio.engines.vision.face_mask import face_mask
from studio.engines.vision.fingerprint import fingerprint
from studio.errors import EngineUnavailableError, NoFaceError


def at_home(opened):
    """Return the services of the person at this computer; `whole` is the studio they belong to."""
    services = opened.for_owner()
    services.whole = opened
    return services


def picture(path: Path, faces: int = 1, size: tuple[int, int] = (300, 280), shade: int = 120) -> Path:
    """Write a picture that shows so many faces."""
    image = np.full((size[1], size[0], 3), shade, np.uint8)
    image[:8, :8] = (faces, 0, 0)
    write_png(path, image)
    return path


class RealMeasures:
    """The part of a face analyser that needs no model."""

    def face_mask(self, image, face):
        return face_mask(image, face)

    def measure(self, image, face, matte):
        return measure(image, face, matte)

    def fingerprint(self, image):
        return fingerprint(image)


class FakeAnalyser(RealMeasures):
    def __init__(self) -> None:
        self.detections = 0
        self.embedder = True

    def detect(self, image):
        self.detections += 1
        height, width = image.shape[:2]
        faces = []
        for index in range(int(image[0, 0, 0])):
            side = min(width, height) * (0.6 - 0.1 * index)
            box = (10.0 * index, 10.0, 10.0 * index + side, 10.0 + side)
            marks = np.zeros((478, 3), np.float32) + np.float32(side / 2)
            quality = PhotoQuality(1, 1, 1, 1, 1, ("It is a fake.",))
            faces.append(DetectedFace(box, 1.0, marks, HeadPose(), quality, ("person", "drawing", "animal")[index % 3]))
        return tuple(faces)

    def matte(self, image):
        return np.full(image.shape[:2], 255, np.uint8)

    def embed(self, image, face, *, rendered=False):
        if not self.embedder:
            raise EngineUnavailableError("There is no embedder.")
        return FaceEmbedding("fake", np.ones(8, np.float32))


class FakePortrait:
    def __init__(self, image) -> None:
        self.image = image
        self.own_weights = np.zeros(52, np.float32)
        self.own_weights[INDEX["mouthSmileLeft"]] = 0.25
        none = np.zeros(52, np.float32)
        self.mouth = MouthResponse(0.0, none, 50.0, none, 0.0, none, none, self.own_weights)
        self.alive = weakref.WeakSet()
        self.most_alive = 0
        self.drawn = 0

    @property
    def size(self):
        return self.image.shape[1], self.image.shape[0]

    def render(self, state, *, lip_seal=0.0, breath=0.0):
        self.drawn += 1
        if np.array_equal(state.weights, self.own_weights) and not state.head.as_array().any():
            frame = self.image.copy()
        else:
            shade = int(255 * state.weights[INDEX["jawOpen"]])
            frame = np.full_like(self.image, shade)
        self.alive.add(_Tracked.track(frame))
        self.most_alive = max(self.most_alive, len(self.alive))
        return frame

    def render_with_alpha(self, state, *, lip_seal=0.0, breath=0.0):
        rgb = self.render(state)
        return np.dstack([rgb, np.full(rgb.shape[:2], 200, np.uint8)])

    def soft_parts(self, state, *, lip_seal=0.0, breath=0.0):
        where = np.zeros(self.image.shape[:2], np.uint8)
        where[100:140, 80:160] = 255
        return where

    def shaded_maps(self, state, *, lip_seal=0.0, breath=0.0):
        return np.zeros((*self.image.shape[:2], 2), np.uint8)

    def model(self):
        points = np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
        targets = np.zeros((52, 3, 3), np.float32)
        targets[INDEX["jawOpen"], 2, 1] = -0.5
        part = ModelPart("skin", np.array([[0, 1, 2]], np.int32), color=(0.5, 0.4, 0.3))
        return HeadModel(
            points, np.zeros((3, 2), np.float32), targets, ARKIT_NAMES, self.own_weights, (part,),
            np.zeros(3, np.float32),
        )  # fmt: skip

    def hints(self, state):
        return ("The head is turned far.",) if abs(state.head.yaw_degrees) > 12 else ()


class _Tracked:
    """Lives as long as a frame does: numpy arrays cannot be put into weak sets."""

    @staticmethod
    def track(frame):
        token = _Tracked()
        _KEPT[id(token)] = token
        weakref.finalize(frame, _KEPT.pop, id(token), None)
        return token


_KEPT: dict[int, _Tracked] = {}


class FakeAnimator:
    name = "rig"
    version = "1"

    def __init__(self) -> None:
        self.portraits: list[FakePortrait] = []

    def prepare(self, image, face, others=()):
        self.portraits.append(FakePortrait(image))
        return self.portraits[-1]


class FakeSpeech:
    name = "fake-speech"
    version = "1"

    def __init__(self) -> None:
        self.heard: list[tuple[float, str | None, str]] = []

    def analyse(self, sound, transcript=None, language="en"):
        self.heard.append((sound.duration_seconds, transcript, language))
        return SpeechAnalysis(
            sound.duration_seconds, (Phone(SILENCE, 0.0, sound.duration_seconds),), (), "energy", ("By loudness.",)
        )

    def perform(self, sound, analysis, mouth, *, frame_rate_hz=25.0, seed=0, emotions=(), amounts=None):
        frames = round(sound.duration_seconds * frame_rate_hz)
        weights = np.zeros((frames, 52), np.float32)
        weights[:, INDEX["jawOpen"]] = 0.5 + 0.15 * np.sin(np.arange(frames) / 3 + seed)
        none = np.zeros(frames, np.float32)
        return Performance(frame_rate_hz, weights, np.zeros((frames, 3), np.float32), none + 1, none, none)

    def respell(self, sound, text, language="en"):
        """Say each letter as long as any other."""
        length = sound.duration_seconds
        letters = [letter.upper() for letter in text if letter.isalpha()]
        step = length / max(len(letters), 1)
        phones = tuple(Phone(letter, i * step, (i + 1) * step) for i, letter in enumerate(letters))
        words = (Word(text, 0.0, length),) if letters else ()
        return SpeechAnalysis(length, phones or (Phone(SILENCE, 0.0, length),), words, "aligned")

    def live(self, mouth):
        return FakeLiveMouth()


class FakeTracker:
    """Opens the jaw as bright as a frame is; the red of its first pixel says how many faces it shows."""

    name = "fake-tracker"
    version = "1"

    def track(self, frames, frame_rate_hz, *, face_index=None, on_frame=unheard):
        bright = []
        for count, image in enumerate(frames, 1):
            bright.append(float(image[image.shape[0] // 2, image.shape[1] // 2].mean()) / 255)
            on_frame(count)
        if max(bright) < 0.05:
            raise NoFaceError("No face was found in the video.", "Use a clip that shows one.")
        frames_seen = len(bright)
        weights = np.zeros((frames_seen, 52), np.float32)
        weights[:, INDEX["browInnerUp"]] = bright
        lids = np.tile(np.array([0.2, -0.1], np.float32), (frames_seen, 2, 1))
        none = np.zeros((frames_seen, 3), np.float32)
        return TrackedFace(
            frame_rate_hz, weights, none, lids, none[:, :2].copy(), none[:, 0].copy(), np.ones(frames_seen, bool),
            np.zeros(frames_seen, np.int32), ("It is a fake.",),
        )  # fmt: skip

    def read(self, landmarks, neutral=None):
        """Smile where a picture is read against another one, else raise the brows."""
        seen = self.track([np.full((8, 8, 3), 200, np.uint8)] * (1 if neutral is None else 2), 1.0)
        name = "browInnerUp" if neutral is None else "mouthSmileLeft"
        seen.weights[:] = 0.0
        seen.weights[-1, INDEX[name]] = 0.6
        return seen

    def solve(self, landmarks, found, frame_rate_hz):
        """Raise the brows as far as the first point lies to the right."""
        seen = self.track([np.full((8, 8, 3), 200, np.uint8)] * len(landmarks), frame_rate_hz)
        seen.weights[:] = 0.0
        seen.weights[:, INDEX["browInnerUp"]] = landmarks[:, 0, 0] / 100
        return replace(seen, found=np.asarray(found))

    def live(self):
        return FakeLiveFace(self)


class FakeLiveFace:
    """Reads one frame as FakeTracker.solve does."""

    def __init__(self, tracker):
        self._tracker = tracker

    def read(self, landmarks):
        return self._tracker.solve(landmarks[None], [True], 1.0)

    def rest(self, landmarks):
        pass


class FakeLiveMouth:
    """Opens the jaw as far as the sound is loud."""

    def hear(self, samples):
        weights = np.zeros((1, 52), np.float32)
        weights[0, INDEX["jawOpen"]] = np.abs(samples).max(initial=0.0)
        none = np.zeros(1, np.float32)
        return Performance(1.0, weights, np.zeros((1, 3), np.float32), none + 1, none, none)


class FakeDubbed:
    """Frames that become as bright as the jaw is open."""

    def __init__(self, frames, rate):
        self.frame_rate_hz, self._count = rate, frames
        self.mouth = FakePortrait(np.zeros((64, 64, 3), np.uint8)).mouth
        self.share, self.notes = np.ones(frames), ("It is a fake.",)

    def __len__(self):
        return self._count

    def redraw(self, frames, performance, first=0):
        for index, frame in enumerate(frames, first):
            if index >= min(len(performance), self._count):
                return
            yield np.clip(frame * (0.5 + performance.weights[index, INDEX["jawOpen"]]), 0, 255).astype(np.uint8)


class FakeDubber:
    """Sees a face where a frame is not dark."""

    name = "fake-dubber"
    version = "1"

    def study(self, frames, frame_rate_hz, *, face_index=None, on_frame=unheard):
        bright = []
        for count, image in enumerate(frames, 1):
            bright.append(float(image.mean()))
            on_frame(count)
        if max(bright) < 12:
            raise NoFaceError("No face was found in the video.", "Use a clip that shows one.")
        return FakeDubbed(len(bright), frame_rate_hz)


class FakeEngines(Engines):
    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.analyser, self.listener, self.mover = FakeAnalyser(), FakeSpeech(), FakeAnimator()
        self.follower, self.dubs = FakeTracker(), FakeDubber()

    def faces(self):
        return self.analyser

    def speech(self):
        return self.listener

    def dubber(self):
        return self.dubs

    def tracker(self):
        return self.follower

    def animator(self, name="rig"):
        if name != "rig":
            return super().animator(name)
        return self.mover

    def voices(self):
        return ()
