"""What a training run tells while it works, kept for the curves in the window and for choosing a checkpoint.

The trainer speaks after every step; here that becomes a few rows per second at
most, measured faces, a drift against step 0, and a strip of the newest
pictures. Nothing here changes what is learned, except that it passes on the
wish to stop.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Protocol

import numpy as np

from studio.domain.likeness import likeness_figure
from studio.domain.training import RunSample, TrainingRun
from studio.engines.base import Image
from studio.engines.base_diffusion import SamplePicture
from studio.errors import EngineUnavailableError, JobCancelled
from studio.services.people.likeness import Likeness, Reference
from studio.services.progress import OnProgress, Progress

if TYPE_CHECKING:
    from studio.store import OwnerStore

WRITE_SECONDS = 0.5
PACE_STEPS = 30
CURVE_POINTS = 2000
"""A curve has at most about so many points; longer runs write the mean of several steps."""
STRIP_PIXELS = 128
STRIP_PICTURES = 8


class Place(Protocol):
    """The part of a job's context that a run needs."""

    def progress(
        self,
        fraction: float,
        message: str = "",
        preview_png: bytes | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """See JobContext."""
        ...

    def check_cancelled(self) -> None:
        """See JobContext."""
        ...

    def log(self, line: str) -> None:
        """See JobContext."""
        ...


class RunRecorder:
    """Writes down one stretch of a run; implements engines.base_diffusion.TrainingEvents.

    Args:
        reference: the person to compare with; None measures no likeness.
    """

    def __init__(
        self,
        store: OwnerStore,
        run: TrainingRun,
        place: Place,
        likeness: Likeness,
        reference: Reference | None,
        tell: OnProgress | None = None,
    ) -> None:
        self._store = store
        self._run = run
        self._place = place
        self._likeness = likeness
        self._reference = reference
        self._tell = tell
        self._every = max(1, math.ceil(run.plan.steps / CURVE_POINTS))
        self._points: list[tuple[str, int, float]] = []
        self._bin: list[tuple[float, float]] = []  # (loss, seconds of the step) since the last point
        self._losses: list[float] = []
        self._written = time.monotonic()
        self._mark: float | None = None  # when the last step ended, while nothing else came between
        self._measured: dict[int, tuple[float | None, float | None]] = {}  # step -> distance, drift
        self._step = 0
        self._begun = False
        # (when, step) since training began here, over more than one round of samples: their time counts too
        self._pace: deque[tuple[float, int]] = deque(maxlen=run.plan.sample_every + PACE_STEPS)
        self._first_sample = 0.0  # when the first of the samples that are drawn now was begun
        self._sample_seconds: float | None = None  # what one of the newest samples took
        self._samples_left = 0  # of those that are drawn now

    # -- what the trainer tells ------------------------------------------------------

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """See TrainingEvents."""
        now = time.monotonic()
        if not self._begun:
            self._begun = True
            self._store.runs.forget_after(self._run.id, step - 1)
        seconds = math.nan if self._mark is None else now - self._mark
        self._mark, self._step = now, step
        self._pace.append((now, step))
        self._bin.append((loss, seconds))
        self._losses = [*self._losses[-49:], loss]
        if step % self._every == 0 or step == self._run.plan.steps:
            self._close_bin(step, learning_rate)
        if now - self._written >= WRITE_SECONDS:
            self.flush()
        self._say(f"Step {step} of {self._run.plan.steps}, loss {mean(self._losses[-20:]):.4f}")

    def drawing(self, step: int, number: int, count: int) -> None:
        """See TrainingEvents."""
        now = time.monotonic()
        if number == 1:
            self._first_sample = now
        else:
            self._sample_seconds = (now - self._first_sample) / (number - 1)
        self._samples_left = count - number + 1
        after = f"after step {step}" if step else "of the base, before the first step"
        self._say(f"Drawing sample {number} of {count} {after}")

    def sampled(self, step: int, pictures: tuple[SamplePicture, ...]) -> None:
        """See TrainingEvents."""
        self.flush()
        distances: list[float | None] = []
        for picture in pictures:
            distance = self._distance(picture.image) if picture.kind == "person" else None
            if picture.kind == "person":
                distances.append(distance)
            self._keep(step, picture, distance)
        drift = self._drift(pictures)
        found = [d for d in distances if d is not None]
        distance = mean(found) if found else None
        self._measured[step] = (distance, drift)
        self._store.runs.measure_checkpoint(self._run.id, step, distance=distance, drift=drift)
        self._add_measures(step, distance, drift, len(found), len(distances))
        self.flush()
        strip = contact_strip([p.image for p in pictures])
        self._samples_left = 0
        self._say(self._sample_sentence(step, distance, drift, len(found), len(distances)), strip)
        self._mark = None

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        """See TrainingEvents."""
        self.flush()
        sha256 = self._store.media.put(adapter, ".safetensors")
        loss = mean(self._losses) if self._losses else None
        self._store.runs.put_checkpoint(self._run.id, step, sha256, loss=loss, has_state=has_state)
        # The trainer keeps the newest states only; their folders say from where it can go on.
        states = adapter.parent.parent.glob("step-*/state.json")
        held = [int(path.parent.name.removeprefix("step-")) for path in states]
        self._store.runs.keep_states(self._run.id, held)
        if step in self._measured:
            distance, drift = self._measured[step]
            self._store.runs.measure_checkpoint(self._run.id, step, distance=distance, drift=drift)
        self._place.log(f"Saved step {step}.")
        self._mark = None

    def note(self, text: str) -> None:
        """See TrainingEvents."""
        self._place.log(text)
        self._say(text)

    def should_stop(self) -> bool:
        """See TrainingEvents."""
        try:
            self._place.check_cancelled()
        except JobCancelled:
            return True
        return False

    # -- for the service -------------------------------------------------------------

    def flush(self) -> None:
        """Write the points of the curves that wait."""
        points, self._points = self._points, []
        self._written = time.monotonic()
        if points:
            self._store.runs.add_metrics(self._run.id, points)

    # -- parts -----------------------------------------------------------------------

    def _say(self, message: str, picture: Image | None = None) -> None:
        from studio.engines.media.pictures import png_bytes

        fraction = 0.999 * self._step / self._run.plan.steps
        left = self._seconds_left()
        self._place.progress(fraction, message, None if picture is None else png_bytes(picture), left)
        if self._tell is not None:
            self._tell(Progress(fraction, message, left, picture))

    def _seconds_left(self) -> float | None:
        """Return the time left by what the last steps took with the samples between them; None at the beginning."""
        if self._step >= self._run.plan.steps and self._samples_left:
            return None if self._sample_seconds is None else self._sample_seconds * self._samples_left
        if len(self._pace) < 3:
            return None
        (begun, first), (_, last) = self._pace[0], self._pace[-1]
        each = (time.monotonic() - begun) / (last - first)
        return each * (self._run.plan.steps - last)

    def _close_bin(self, step: int, learning_rate: float) -> None:
        losses = [loss for loss, _ in self._bin if math.isfinite(loss)]
        seconds = [s for _, s in self._bin if math.isfinite(s) and s > 0]
        if losses:
            self._points.append(("loss", step, mean(losses)))
        self._points.append(("learning_rate", step, learning_rate))
        if seconds:
            self._points.append(("steps_per_second", step, 1.0 / mean(seconds)))
        self._bin = []

    def _distance(self, image: Image) -> float | None:
        if self._reference is None:
            return None
        try:
            return self._likeness.distance(image, self._reference.center)
        except EngineUnavailableError as exc:
            self.note(f"Likeness is not measured from here on. {exc}")
            self._reference = None
            return None

    def _keep(self, step: int, picture: SamplePicture, distance: float | None) -> None:
        from studio.engines.media.pictures import png_bytes

        sample = RunSample(
            run_id=self._run.id, step=step, kind=picture.kind, prompt=picture.prompt, seed=picture.seed,
            media_sha256=self._store.media.put(png_bytes(picture.image), ".png"), distance=distance,
        )  # fmt: skip
        self._store.runs.add_sample(sample)

    def _drift(self, pictures: Sequence[SamplePicture]) -> float | None:
        """Return the mean change of the class pictures since step 0, 0..1; None without any at step 0."""
        from studio.engines.media.pictures import read_picture

        first = {
            (s.prompt, s.seed): s.media_sha256 for s in self._store.runs.samples(self._run.id, step=0, kind="class")
        }
        changes = []
        for picture in pictures:
            sha256 = first.get((picture.prompt, picture.seed)) if picture.kind == "class" else None
            if sha256 is not None:
                before = read_picture(self._store.media.get(sha256)).rgb
                changes.append(float(np.abs(before.astype(np.int16) - picture.image).mean()) / 255.0)
        return mean(changes) if changes else None

    def _add_measures(self, step: int, distance: float | None, drift: float | None, found: int, asked: int) -> None:
        scale = None if self._reference is None else self._reference.calibration
        if distance is not None:
            self._points.append(("distance", step, distance))
            if scale is not None:
                self._points.append(("likeness", step, scale.likeness(distance)))
        if drift is not None:
            self._points.append(("drift", step, drift))
        if asked and self._reference is not None:
            self._points.append(("faces_found", step, found / asked))

    def _sample_sentence(self, step: int, distance: float | None, drift: float | None, found: int, asked: int) -> str:
        parts = []
        scale = None if self._reference is None else self._reference.calibration
        if distance is not None:
            parts.append(
                f"distance {distance:.2f}"
                if scale is None
                else f"likeness {likeness_figure(scale.likeness(distance))} of 1"
            )
        if drift is not None:
            parts.append(f"drift {100 * drift:.1f} %")
        if self._reference is not None and found < asked:
            missing = f"No face was found in {asked - found} of {asked} pictures drawn at step {step}."
            self._place.log(missing)
            parts.append(f"no face in {asked - found} of {asked} pictures")
        return f"Pictures at step {step}" + (f": {', '.join(parts)}" if parts else "")


def contact_strip(images: Sequence[Image], side: int = STRIP_PIXELS) -> Image | None:
    """Lay pictures side by side, each made `side` pixels high.  # (side, N * side, 3)"""
    from PIL import Image as Pillow

    if not images:
        return None
    tiles = [
        np.asarray(Pillow.fromarray(image).resize((side, side), Pillow.Resampling.BICUBIC))
        for image in images[:STRIP_PICTURES]
    ]
    return np.ascontiguousarray(np.concatenate(tiles, axis=1))
