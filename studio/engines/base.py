"""The interfaces behind which engines of faces, portraits and speech live.

Those of diffusion are in `base_diffusion` and `base_video`.
A service knows these Protocols and nothing of what is behind them. Pictures
are `uint8` RGB, height x width x 3; sound is `float32` mono in -1..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import TrackedFace
from studio.domain.expression import FaceState, Weights
from studio.domain.face import DetectedFace, FaceEmbedding
from studio.domain.performance import MouthResponse, Performance
from studio.domain.speech import SpeechAnalysis
from studio.domain.traits import Measures

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Matte = NDArray[np.uint8]  # (H, W), 0 background .. 255 person


@dataclass(frozen=True)
class Sound:
    """Decoded mono sound.

    Attributes:
        samples: -1..1.  # (N,) float32
        rate_hz: samples per second.
    """

    samples: NDArray[np.float32]
    rate_hz: int

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


def unheard(frame: int) -> None:
    """Listen to nothing."""


class FaceAnalyser(Protocol):
    """Finds and measures faces."""

    def detect(self, image: Image) -> tuple[DetectedFace, ...]:
        """Return every face, largest first; empty when there is none."""
        ...

    def matte(self, image: Image) -> Matte:
        """Return the person matte at the picture's own size."""
        ...

    def embed(self, image: Image, face: DetectedFace, *, rendered: bool = False) -> FaceEmbedding:
        """Return the identity embedding of one face.

        Args:
            rendered: compare as people of the studio's own head model are told apart, not as in photographs.

        Raises:
            EngineUnavailableError: no embedder is installed.
        """
        ...

    def face_mask(self, image: Image, face: DetectedFace) -> Matte:
        """Return where one face is: 255 inside, 0 outside, soft between."""
        ...

    def measure(self, image: Image, face: DetectedFace, matte: Matte) -> Measures:
        """Return what a picture shows of one person besides who it is.

        Args:
            matte: the person's, of any size; it is scaled to the picture's.
        """
        ...

    def fingerprint(self, image: Image) -> int:
        """Return 64 bits in which pictures that look alike differ little."""
        ...


class FaceTracker(Protocol):
    """Follows a face through a video."""

    name: str
    version: str

    def track(
        self,
        frames: Iterable[Image],
        frame_rate_hz: float,
        *,
        face_index: int | None = None,
        on_frame: Callable[[int], None] = unheard,
    ) -> TrackedFace:
        """Follow one face through frames at a constant rate; same frames, same result.

        Args:
            face_index: which face of the first frame that shows any, 0 = largest; None is the largest too, and said.
            on_frame: called with the number of frames seen; what it raises ends the work.

        Raises:
            NoFaceError: no frame shows a face.
            UserInputError: there is no face of that index.
        """
        ...

    def read(self, landmarks: NDArray[np.float32], neutral: NDArray[np.float32] | None = None) -> TrackedFace:
        """Return what one picture shows, as a clip of one frame.

        Args:
            landmarks: of its face.  # (478, 3)
            neutral: landmarks of the same person at rest; there are two rows then, and this is the first.
        """
        ...

    def solve(self, landmarks: NDArray[np.float32], found: NDArray[np.bool_], frame_rate_hz: float) -> TrackedFace:
        """Return what landmarks show that somebody else found, frame by frame at a constant rate, in one shot.

        Args:
            landmarks: of one face; where it was not found those seen last.  # (T, 478, 3)
            found: at least one of them.  # (T,)
        """
        ...

    def live(self) -> LiveFace:
        """Return what reads a face while it moves."""
        ...


class LiveFace(Protocol):
    """Reads the landmarks of one face, frame after frame, as they come."""

    def read(self, landmarks: NDArray[np.float32]) -> TrackedFace:
        """Return what a frame shows, as a clip of one frame; the head is fitted to the first one.

        Args:
            landmarks: pixels, y down, z away.  # (478, 3)
        """
        ...

    def rest(self, landmarks: NDArray[np.float32]) -> None:
        """Fit the head anew, to a face that rests.

        Args:
            landmarks: as of `read`.
        """
        ...


class DubbedClip(Protocol):
    """A clip whose face was followed, so that its mouth can say something else.

    Attributes:
        frame_rate_hz: of its frames.
        mouth: what a performance is written for.
        share: how much of each frame's mouth is spoken anew, 0 as filmed.  # (T,)
        notes: sentences for the person.
    """

    frame_rate_hz: float
    mouth: MouthResponse
    share: NDArray[np.float64]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many frames were seen."""
        ...

    def redraw(self, frames: Iterable[Image], performance: Performance, first: int = 0) -> Iterator[Image]:
        """Yield frames with the mouth of a performance, as long as there are frames and performance.

        Args:
            frames: those that were studied, from number `first` on.
            performance: at `frame_rate_hz`; of it only the mouth is used.
            first: number of the first frame.
        """
        ...


class ClipDubber(Protocol):
    """Lets the face of a clip say something else; all but its mouth stays as it was filmed."""

    name: str
    version: str

    def study(
        self,
        frames: Iterable[Image],
        frame_rate_hz: float,
        *,
        face_index: int | None = None,
        on_frame: Callable[[int], None] = unheard,
    ) -> DubbedClip:
        """Follow one face through frames at a constant rate; same frames, same result.

        Args:
            face_index, on_frame: as of `FaceTracker.track`.

        Raises:
            NoFaceError: no frame shows a face.
            UserInputError: there is no face of that index.
        """
        ...


class CaptionWriter(Protocol):
    """Describes pictures in words, by a model that the person has chosen."""

    name: str

    def caption(self, image: Image) -> str:
        """Describe a picture in one line."""
        ...


@dataclass(frozen=True)
class ModelPart:
    """Some triangles of a head with one material.

    Attributes:
        triangles: rows of the head's vertices.  # (T, 3)
        texture: RGB picture for the head's `uv`; None has one color.  # (S, S, 3)
        color: sRGB, 0..1, where there is no texture.
    """

    name: str
    triangles: NDArray[np.int32]
    texture: Image | None = None
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class HeadModel:
    """A head in three dimensions that other programs can load; meters, y up, z to the viewer.

    Attributes:
        vertices: the face at rest.  # (V, 3)
        uv: places in the textures, 0..1, v down.  # (V, 2)
        targets: displacement per unit weight.  # (N, V, 3)
        names: of the weights, in the same order.
        weights: those of the photo.  # (N,)
        parts: what is drawn; vertices of no part are not.
        pivot: what the head turns about.  # (3,)
    """

    vertices: NDArray[np.float32]
    uv: NDArray[np.float32]
    targets: NDArray[np.float32]
    names: tuple[str, ...]
    weights: NDArray[np.float32]
    parts: tuple[ModelPart, ...]
    pivot: NDArray[np.float32]


class Portrait(Protocol):
    """One photo made ready to move; safe to use from one thread at a time."""

    own_weights: Weights
    mouth: MouthResponse

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of rendered pictures."""
        ...

    def render(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> Image:
        """Draw the photo in the given state; the photo's own state returns the photo."""
        ...

    def render_with_alpha(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> NDArray[np.uint8]:
        """Draw the person cut out of the background.  # (H, W, 4) straight alpha"""
        ...

    def model(self) -> HeadModel:
        """Return the fitted head as a model in three dimensions, with the photo as its texture."""
        ...

    def shaded_maps(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> NDArray[np.uint8]:
        """Draw the head's coarse and detailed shading, gray on black, to steer a drawing by.  # (H, W, 2)"""
        ...

    def soft_parts(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> Matte:
        """Return where mouth and eyes are in that state: 255 inside, soft at the edges.  # (H, W)"""
        ...

    def hints(self, state: FaceState) -> tuple[str, ...]:
        """Return one sentence for each way in which the picture will suffer."""
        ...


class PortraitAnimator(Protocol):
    """Makes portraits."""

    name: str
    version: str

    def prepare(self, image: Image, face: DetectedFace, others: Sequence[DetectedFace] = ()) -> Portrait:
        """Fit the engine's model to one face of a picture.

        Args:
            others: faces whose part of the picture does not move with this one (see `domain.side_by_side.whose`).
        """
        ...


@dataclass(frozen=True)
class Amounts:
    """How much of each layer of a spoken performance, each 0..2 with 1 = natural.

    `still` is head=0; blinks and gaze have their own amounts and stay.
    """

    jaw: float = 1.0
    lips: float = 1.0
    articulation: float = 0.5
    head: float = 1.0
    blink: float = 1.0
    gaze: float = 1.0
    brows: float = 1.0
    breath: float = 1.0
    asymmetry: float = 1.0


class LiveMouth(Protocol):
    """Moves a mouth by loudness and sound while somebody speaks; nothing is understood."""

    def hear(self, samples: NDArray[np.float32]) -> Performance:
        """Hear what was said since, and return the mouth of now, as one frame.

        Args:
            samples: mono, -1..1, 16 kHz.  # (N,)
        """
        ...


class SpeechAnalyser(Protocol):
    """Turns sound into phones, and phones into a performance."""

    name: str
    version: str

    def analyse(self, sound: Sound, transcript: str | None = None, language: str = "en") -> SpeechAnalysis:
        """Find the phones by the best method that works (see PhoneMethod)."""
        ...

    def perform(
        self,
        sound: Sound,
        analysis: SpeechAnalysis,
        mouth: MouthResponse,
        *,
        frame_rate_hz: float = 25.0,
        seed: int = 0,
        emotions: Sequence[tuple[str, float]] = (),
        amounts: Amounts = Amounts(),
    ) -> Performance:
        """Write the face's motion for the sound; same input and seed, same result."""
        ...

    def respell(self, sound: Sound, text: str, language: str = "en") -> SpeechAnalysis:
        """Find the phones of a short sound of which the words are known for sure.

        Args:
            sound: of the words and nothing else.
            text: what is said; "" is silence.

        Returns:
            Phones that fill the sound; where they cannot be found they are laid out evenly, and `notes` says so.

        Raises:
            UserInputError: no words that can be read, more than fit in, or a language whose words are not known.
        """
        ...

    def live(self, mouth: MouthResponse) -> LiveMouth:
        """Return what moves a mouth while somebody speaks."""
        ...


@dataclass(frozen=True)
class SynthesisVoice:
    """One voice.

    Attributes:
        name: what `SpeechSynthesiser.speak` takes.
        language: code such as "en-us".
        title: for the person.
    """

    name: str
    language: str
    title: str


class SpeechSynthesiser(Protocol):
    """Speaks typed text, and knows its own phones."""

    name: str

    def voices(self) -> tuple[SynthesisVoice, ...]:
        """Return the voices, by language.

        Raises:
            EngineUnavailableError: a library is missing.
        """
        ...

    def speak(
        self, text: str, *, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
    ) -> tuple[Sound, SpeechAnalysis]:
        """Speak a text; return the sound, and its phones and words.

        Args:
            voice: a name from `voices`, or a language code such as "de".
            words_per_minute: 80..450.
            pitch: 0 low .. 100 high.

        Raises:
            UserInputError: nothing to say, an unknown voice, a number out of range.
            LimitExceededError: the text is too long.
        """
        ...
