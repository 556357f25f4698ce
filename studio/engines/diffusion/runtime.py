"""How torch and the diffusion libraries are run here: quiet, offline, one thread, one device.

Every entry point of the diffusion engine calls `prepare` first. The model
libraries look for files on a hub by themselves; that is switched off in this
process, so that nothing is fetched but by `downloads`, where it is shown and
asked for. On a CPU torch is held to one thread: small models gain nothing
from more, and the same thread count is what makes a rerun bit for bit equal.
What fits into memory is not known here, see `estimate`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.errors import EngineUnavailableError, OutOfMemoryError

if TYPE_CHECKING:
    import torch

    from studio.domain.training import Precision

PACKAGES = ("torch", "diffusers", "transformers", "peft", "safetensors")
_QUIET = ("transformers", "diffusers", "peft", "accelerate", "huggingface_hub")
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
_prepared = False


def prepare(threads: int | None = None) -> None:
    """Import torch and set the process up; cheap after the first call.

    Args:
        threads: for work on a CPU; None keeps what OMP_NUM_THREADS says, else one.

    Raises:
        EngineUnavailableError: a library is not installed.
    """
    global _prepared
    if _prepared and threads is None:
        return
    try:
        import diffusers.utils.logging
        import huggingface_hub.constants
        import torch
        import transformers.utils.logging
    except ImportError as exc:
        raise EngineUnavailableError(
            f"Pictures from words cannot be made: {exc.name} is not installed.",
            "pip install torch diffusers transformers peft accelerate safetensors",
        ) from exc
    # Not through the environment: child processes must see what the person set, not what we set.
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    speakers: tuple[Any, ...] = (transformers.utils.logging, diffusers.utils.logging)
    for speaker in speakers:
        speaker.set_verbosity_error()
        speaker.disable_progress_bar()
    wanted = threads or int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0] or 1)
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    _prepared = True


def choose_device() -> str:
    """Return where models run best here: "cuda:0", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(device: str, precision: Precision = "auto") -> torch.dtype:
    """Return the number format of the weights.

    "auto" is fp32 on a CPU and on Apple's GPUs (half precision draws black
    pictures there), bf16 on GPUs that have it, else fp16.
    """
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def versions() -> dict[str, str]:
    """Return name -> version of the libraries that decide a picture's pixels; imports none of them."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


@contextmanager
def memory_guard(what: str, hint: str) -> Iterator[None]:
    """Turn a refused allocation into one sentence.

    Args:
        what: the beginning of the sentence, such as "Drawing 1024 x 1024 pixels".
        hint: what would need less.

    Raises:
        OutOfMemoryError: the block ran out of memory, on a GPU or not.
    """
    import torch

    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as exc:
        raise OutOfMemoryError(f"{what} needs more memory than there is.", hint) from exc
    except RuntimeError as exc:  # torch's CPU allocator has no class of its own
        if any(words in str(exc).lower() for words in _MEMORY_WORDS):
            raise OutOfMemoryError(f"{what} needs more memory than there is.", hint) from exc
        raise
