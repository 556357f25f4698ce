"""From a prompt to the frames of a clip: the sampling loop of a base, with or without motion, and its windows.

All frames are one batch of latents that the sampler moves together. The noise
of the anchor is the noise that the seed means for a picture, so that the anchor
is the picture that the base draws for the same prompt and seed. The others'
noise is partly that noise and partly their own: the more of it they share, the
less they flicker and the less they move.

Without motion modules every frame is a picture of its own: only what the frames
start from and the noise that they share hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from studio.domain.anchor import Anchor
from studio.domain.picture_size import check_size
from studio.engines.base import Image
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.prompts import added_conditions
from studio.engines.diffusion.drawing.sampling import (
    Conditioning,
    check_numbers,
    conditioning,
    decode_latents,
    encode_picture,
    fit,
    noise_of,
)
from studio.engines.diffusion.video.motion import has_motion, longest_window
from studio.engines.diffusion.video.windows import Border, Window, predicted, windows
from studio.errors import UserInputError

if TYPE_CHECKING:
    import torch

    from studio.engines.diffusion.bases.loading import LoadedBase

OnClipStep = Callable[[int, int], None]


@dataclass(frozen=True)
class ClipRequest:
    """What clip to draw.

    Attributes:
        seed: of the anchor, >= 0; frame i has noise of its own from seed + 1 + i.
        steps: of the sampler; with `start`, the share `denoise` of them is made.
        guidance: how closely the prompt is followed.
        width, height: pixels, multiples of 8.
        frames: of the clip, the anchor counted.
        anchor: how it is kept; None draws without.
        shared: share of the noise's variance that all frames have in common, 0..1.
        start: frames to start from, as many as the clip has; None starts from noise.
        denoise: how much of the start may change, over 0 to 1.
        photo: a picture that the anchor shall be; None draws it from the prompt.
        photo_by: "noise" lays the noised photo into the anchor at every step, so that it ends as the photo;
            "inversion" begins the anchor at the noise from which the base draws the photo.
        window, overlap: frames seen together, the anchor counted, and shared by neighbors.
        features: control by the motion module's name, as `Steering` takes it, with 1 frame or as many as the clip.
    """

    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    frames: int
    negative: str = ""
    anchor: Anchor | None = field(default_factory=Anchor)
    shared: float = 0.0
    start: Sequence[Image] | None = None
    denoise: float = 1.0
    photo: Image | None = None
    photo_by: Literal["noise", "inversion"] = "noise"
    window: int = 16
    overlap: int = 4
    features: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class DrawnClip:
    """The frames of a clip, without an anchor that was to be dropped.

    Attributes:
        frames: each (height, width, 3) uint8 RGB.
        anchor: the anchor's picture; None without one.
        worst_border: where windows disagreed most at the last step; None with one window.
    """

    frames: list[Image]
    anchor: Image | None
    worst_border: Border | None


def draw_clip(loaded: LoadedBase, request: ClipRequest, on_step: OnClipStep | None = None) -> DrawnClip:
    """Draw a clip; the frames see each other where the base has motion modules (`with_motion`).

    Args:
        on_step: called after each step with (step, of how many); what it raises ends the drawing.

    Raises:
        UserInputError: numbers, sizes or counts that cannot be.
        EngineError: the result is not a number.
        OutOfMemoryError: it does not fit.
    """
    import torch

    _check(loaded, request)
    runtime.prepare()
    about = f"Drawing {request.frames} frames of {request.width} x {request.height} pixels"
    with torch.inference_mode(), runtime.memory_guard(about, "Choose a smaller size, or fewer frames in a window."):
        loop = _ClipLoop(loaded, request)
        latents = loop.run(on_step)
        pictures = [decode_latents(loaded, latents[:, :, f])[0] for f in range(request.frames)]
    k = loop.anchor
    kept = [p for f, p in enumerate(pictures) if f != k or not (request.anchor and request.anchor.drop)]
    return DrawnClip(kept, None if k is None else pictures[k], loop.worst_border)


def clip_noise(loaded: LoadedBase, request: ClipRequest) -> torch.Tensor:
    """Return the noise of all frames; the anchor's is what the seed means for a picture.  # (1, C, F, h, w)"""
    import torch

    common = noise_of(loaded, request.seed, request.width, request.height)
    k = None if request.anchor is None else request.anchor.frame(request.frames)
    out = []
    for f in range(request.frames):
        own = noise_of(loaded, request.seed + 1 + f, request.width, request.height)
        out.append(common if f == k else request.shared**0.5 * common + (1 - request.shared) ** 0.5 * own)
    return torch.stack(out, 2)


class _ClipLoop:
    """The sampler's loop over one clip."""

    def __init__(self, loaded: LoadedBase, request: ClipRequest) -> None:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        from studio.engines.diffusion.video.anchoring import Steering

        self._loaded, self._request = loaded, request
        # What was inverted with DDIM is found again with DDIM.
        inverted = request.photo is not None and request.photo_by == "inversion"
        sampler: Any = DDIMScheduler if inverted else DPMSolverMultistepScheduler
        self._scheduler: Any = sampler.from_config(loaded.sampler_config)
        self._scheduler.set_timesteps(request.steps, device=loaded.device)
        self._begin = request.steps - max(1, round(request.steps * request.denoise)) if request.start else 0
        if not inverted:
            self._scheduler.set_begin_index(self._begin)
        self._words: Conditioning = conditioning(
            loaded, request.prompt, request.negative, request.guidance, request.width, request.height
        )
        self.anchor = None if request.anchor is None else request.anchor.frame(request.frames)
        self._moving = has_motion(loaded)
        overlap = request.overlap if self._moving else 0
        self._pieces = windows(request.frames, self.anchor, request.window, overlap)
        self._steering = Steering(request.anchor)
        self.worst_border: Border | None = None

    def run(self, on_step: OnClipStep | None) -> torch.Tensor:
        """Return clean latents.  # (1, C, F, h, w) float32"""
        scheduler, times = self._scheduler, self._scheduler.timesteps[self._begin :]
        noise = clip_noise(self._loaded, self._request).to(self._loaded.device)
        latents, photo = self._beginning(noise, times), self._photo()
        with self._steered():
            if photo is not None and self._request.photo_by == "inversion":
                latents[:, :, self.anchor] = self._inverted(photo)
            for index, time in enumerate(times):
                if photo is not None and self._request.photo_by == "noise":
                    kept = scheduler.add_noise(photo, noise[:, :, self.anchor], times[index : index + 1])
                    latents[:, :, self.anchor] = kept
                self._steering.done = index / max(1, len(times) - 1)
                prediction, border = predicted(latents, self._pieces, self._predictor(time))
                self.worst_border = border if self._moving else None
                latents = scheduler.step(prediction, time, latents, return_dict=False)[0]
                if on_step is not None:
                    on_step(index + 1, len(times))
        if photo is not None and self._request.photo_by == "noise":
            latents[:, :, self.anchor] = photo
        return latents

    def _steered(self) -> AbstractContextManager[None]:
        from studio.engines.diffusion.video.anchoring import steered

        return steered(self._loaded.unet, self._steering) if self._moving else nullcontext()

    def _beginning(self, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Return the latents that the loop begins with.  # (1, C, F, h, w)"""
        import torch

        request = self._request
        if request.start is None:
            begun: torch.Tensor = noise * self._scheduler.init_noise_sigma
            return begun
        pictures = [encode_picture(self._loaded, fit(p, request.width, request.height)) for p in request.start]
        noised: torch.Tensor = self._scheduler.add_noise(torch.stack(pictures, 2), noise, times[:1])
        return noised

    def _photo(self) -> torch.Tensor | None:
        """Return the latents of the anchor's photo.  # (1, C, h, w)"""
        request = self._request
        if request.photo is None:
            return None
        return encode_picture(self._loaded, fit(request.photo, request.width, request.height))

    def _inverted(self, photo: torch.Tensor) -> torch.Tensor:
        """Return the noise from which the bare base draws the photo, by DDIM backwards.  # (1, C, h, w)

        Without guidance, and with the anchor kept entirely: that is the picture model alone.
        """
        from diffusers import DDIMInverseScheduler

        backwards: Any = DDIMInverseScheduler
        scheduler = backwards.from_config(self._loaded.sampler_config)
        scheduler.set_timesteps(self._request.steps, device=self._loaded.device)
        alone, kept = Window((0,), (0,), 0), self._steering.anchor
        self._steering.anchor = Anchor(index=0)
        latents = photo[:, :, None]
        for time in scheduler.timesteps:
            out = self._predict(latents, time, alone, guided=False)
            latents = scheduler.step(out, time, latents, return_dict=False)[0]
        self._steering.anchor = kept
        return latents[:, :, 0]

    def _predictor(self, time: torch.Tensor) -> Callable[[torch.Tensor, Window], torch.Tensor]:
        return lambda latents, window: self._predict(latents, time, window, guided=self._request.guidance != 1.0)

    def _predict(self, latents: torch.Tensor, time: torch.Tensor, window: Window, *, guided: bool) -> torch.Tensor:
        """Return the UNet's prediction for the frames of a window.  # (1, C, n, h, w)"""
        import torch

        loaded, words, frames = self._loaded, self._words, len(window.frames)
        if self._steering.anchor is not None:
            self._steering.anchor = self._steering.anchor.model_copy(update={"index": window.anchor})
        self._steering.features = {
            name: f if f.shape[0] == 1 else f[list(window.frames)] for name, f in self._request.features.items()
        }
        rows = [0] * frames + [1] * frames if guided else [1] * frames
        given = self._scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
        pooled = None if words.pooled is None else words.pooled[rows]
        if not self._moving:  # (B, C, F, h, w) -> (B * F, C, h, w)
            given = given.transpose(1, 2).flatten(0, 1)
        out: torch.Tensor = loaded.unet(
            given.to(loaded.dtype), time, encoder_hidden_states=words.hidden[rows],
            added_cond_kwargs=added_conditions(loaded, pooled, words.width, words.height), return_dict=False,
        )[0].float()  # fmt: skip
        if not self._moving:
            out = out.view(-1, frames, *out.shape[1:]).transpose(1, 2)
        if not guided:
            return out
        without, with_prompt = out.chunk(2)
        return torch.lerp(without, with_prompt, self._request.guidance)


def _check_still(request: ClipRequest) -> None:
    """Refuse what only motion modules can do.

    Raises:
        UserInputError: an anchor, control, or nothing to start from.
    """
    hint = "Choose motion for this base, or start from a clip."
    if request.anchor is not None or request.features:
        raise UserInputError("Without motion weights no frame can hold or steer the others.", hint)
    if request.start is None:
        raise UserInputError("Without motion weights a clip needs frames to start from.", hint)


def _check(loaded: LoadedBase, request: ClipRequest) -> None:
    """Refuse what cannot be drawn.

    Raises:
        UserInputError: one sentence for the first fault.
    """
    check_size(request.width, request.height)
    check_numbers(request.seed, request.steps, request.guidance, request.denoise, request.frames, None, None)
    if not has_motion(loaded):
        _check_still(request)
    table = longest_window(loaded) if has_motion(loaded) else request.window
    if not 1 <= request.window <= table:
        raise UserInputError(
            f"Windows of {request.window} frames cannot be drawn: this motion knows {table}.",
            f"Choose at most {table}; longer clips are drawn in several windows.",
        )
    if not 0.0 <= request.shared <= 1.0:
        raise UserInputError(f"The frames cannot share {request.shared:g} of their noise.", "It goes from 0 to 1.")
    if request.start is not None and len(request.start) != request.frames:
        raise UserInputError(
            f"The clip to start from has {len(request.start)} frames, the new one {request.frames}.",
            "Give as many frames as the clip shall have.",
        )
    if request.photo is not None and request.anchor is None:
        raise UserInputError("A photo can only be the anchor, and the clip has none.", "Choose an anchor frame.")
    for name, features in request.features.items():
        if features.shape[0] not in (1, request.frames):
            raise UserInputError(
                f"The control of {name} has {features.shape[0]} frames, the clip {request.frames}.",
                "Give one for each frame, or one for all.",
            )
