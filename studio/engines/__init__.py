"""Every engine in one table, built at its first use.

A row names its class as text ("module:Class"), so that reading the table
imports nothing heavy. A library that is not installed ends as one sentence
that says what to install; no engine ever stands in for another.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from studio import pins
from studio.engines.base import FaceAnalyser, IdentityTrainer, ImageGenerator, PortraitAnimator, SpeechAnalyser
from studio.errors import EngineUnavailableError

_DIFFUSION = {
    "torch": "torch",
    "diffusers": "diffusers",
    "transformers": "transformers",
    "peft": "peft",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
}
if TYPE_CHECKING:
    from studio.engines.diffusion.adapters.engine import AdapterFiles

Role = Literal["faces", "speech", "synthesis", "portrait", "trainer", "generator", "adapters"]


@dataclass(frozen=True)
class EngineEntry:
    """One engine.

    Attributes:
        role: which Protocol of `base` its class satisfies.
        factory: "module:Class".
        needs: import name -> pip name of the libraries it cannot do without.
        assets: files under the assets folder it cannot do without.
        licence: of the engine with its model files.
        does: what it can do, in one sentence.
        required: whether the studio is of no use without it.
    """

    name: str
    title: str
    role: Role
    factory: str
    needs: dict[str, str]
    assets: tuple[str, ...]
    licence: str
    does: str
    required: bool = True

    def missing(self, assets: Path) -> tuple[str, ...]:
        """Return what keeps the engine from working: pip names, then asset files."""
        packages = [pip for module, pip in self.needs.items() if importlib.util.find_spec(module) is None]
        return (*packages, *(name for name in self.assets if not (assets / name).exists()))


ENGINES: tuple[EngineEntry, ...] = (
    EngineEntry(
        "vision",
        "Face analysis",
        "faces",
        "studio.engines.vision.analyser:VisionAnalyser",
        {"cv2": "opencv-python", "onnxruntime": "onnxruntime"},
        ("models",),
        "Apache-2.0 (MediaPipe models), CC0-1.0 (dlib ResNet)",
        "Finds faces, landmarks, irises, head pose, photo quality, the person matte and identity embeddings.",
    ),
    EngineEntry(
        "pocketsphinx",
        "Speech analysis",
        "speech",
        "studio.engines.voice.listening:ListeningProcess",
        {"pocketsphinx": "pocketsphinx", "scipy": "scipy"},
        (),
        "BSD-2-Clause (pocketsphinx and its English model)",
        "Finds phones in speech and writes the face's motion for them.",
    ),
    EngineEntry(
        "espeak",
        "Offline voice",
        "synthesis",
        "studio.engines.voice.synthesis:EspeakVoice",
        {"espeakng_loader": "espeakng-loader"},
        (),
        "GPL-3.0 (espeak-ng); install it yourself if you want it",
        "Speaks typed text and knows its own phones.",
        required=False,
    ),
    EngineEntry(
        "rig",
        "Parametric head",
        "portrait",
        "studio.engines.rig.animator:RigAnimator",
        {"cv2": "opencv-python", "numba": "numba"},
        ("head.npz",),
        "Apache-2.0; head asset CC0-1.0",
        "Moves one photo by 52 expression weights and three head angles, on a plain CPU.",
    ),
    EngineEntry(
        "diffusion",
        "Pictures from words",
        "generator",
        "studio.engines.diffusion.drawing.generator:DiffusionGenerator",
        _DIFFUSION,
        (),
        "BSD-3-Clause (torch), Apache-2.0 (diffusers, transformers, peft); base models have licences of their own",
        "Draws pictures from a prompt with a base model and adapters, also over a picture or a part of it.",
        required=False,
    ),
    EngineEntry(
        "diffusion-trainer",
        "Personalization",
        "trainer",
        "studio.engines.diffusion.training.trainer:DiffusionTrainer",
        _DIFFUSION,
        (),
        "BSD-3-Clause (torch), Apache-2.0 (diffusers, transformers, peft)",
        "Learns a person from photos as an adapter (LoRA or full DreamBooth) for a base model.",
        required=False,
    ),
    EngineEntry(
        "adapter-files",
        "Adapter files",
        "adapters",
        "studio.engines.diffusion.adapters.engine:AdapterFiles",
        _DIFFUSION,
        (),
        "BSD-3-Clause (torch), Apache-2.0 (diffusers, transformers, peft)",
        "Writes adapters for diffusers, kohya, ComfyUI and A1111, reads theirs, and merges several into one.",
        required=False,
    ),
)
ENGINE: dict[str, EngineEntry] = {e.name: e for e in ENGINES}


def load(entry: EngineEntry, assets: Path) -> Callable[..., Any]:
    """Import an engine's class.

    Raises:
        EngineUnavailableError: a library or an asset is missing, or a library is of a release that does not fit.
    """
    missing = entry.missing(assets)
    if missing:
        packages = [m for m in missing if m in entry.needs.values()]
        hint = f"pip install {' '.join(packages)}" if packages else "Run `python -m studio assets build`."
        raise EngineUnavailableError(f"{entry.title} cannot start: {', '.join(missing)} is missing.", hint)
    refused = pins.refused(tuple(entry.needs.values()))
    if refused:
        raise EngineUnavailableError(f"{entry.title} cannot start: {pins.sentence(refused)}.", pins.mending())
    module, _, name = entry.factory.partition(":")
    try:
        return cast("Callable[..., Any]", getattr(importlib.import_module(module), name))
    except ImportError as exc:
        raise EngineUnavailableError(
            f"{entry.title} cannot start: {exc}.", "Run `python -m studio doctor` to see what is missing."
        ) from exc


class Engines:
    """The engines of one process; each is built once, at its first use.

    `lock` is held by whoever uses the face analyser, the speech analyser, or
    prepares a portrait: engines promise nothing about threads.
    """

    def __init__(self, assets: Path) -> None:
        self.assets = assets
        self.lock = threading.RLock()
        self._built: dict[str, Any] = {}

    def _once(self, name: str, *arguments: Callable[[], Any]) -> Any:
        with self.lock:
            if name not in self._built:
                self._built[name] = load(ENGINE[name], self.assets)(*(a() for a in arguments))
            return self._built[name]

    def faces(self) -> FaceAnalyser:
        """Return the face analyser."""
        return cast("FaceAnalyser", self._once("vision", lambda: self.assets / "models"))

    def speech(self) -> SpeechAnalyser:
        """Return the speech analyser."""
        return cast("SpeechAnalyser", self._once("pocketsphinx"))

    def speech_name(self) -> str:
        """Return name and version of the speech analyser, for recipes."""
        speech: Any = self.speech()
        return f"{speech.name} {speech.version}"

    def synthesiser(self) -> Any:
        """Return the offline voice.

        Raises:
            EngineUnavailableError: it is not installed.
        """
        return self._once("espeak")

    def voices(self) -> tuple[str, ...]:
        """Return the voices for typed text; empty when no synthesis engine is installed."""
        if ENGINE["espeak"].missing(self.assets):
            return ()
        return tuple(voice.name for voice in self.synthesiser().voices())

    def animator(self, name: str = "rig") -> PortraitAnimator:
        """Return a portrait engine by name.

        Raises:
            EngineUnavailableError: no portrait engine has that name, or it cannot start.
        """
        entry = ENGINE.get(name)
        if entry is None or entry.role != "portrait":
            names = ", ".join(e.name for e in ENGINES if e.role == "portrait")
            raise EngineUnavailableError(f"There is no portrait engine named {name!r}.", f"Engines: {names}.")
        return cast("PortraitAnimator", self._once(name, lambda: self.assets / "head.npz", self.faces))

    def generator(self) -> ImageGenerator:
        """Return what draws pictures from words.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("ImageGenerator", self._once("diffusion"))

    def trainer(self) -> IdentityTrainer:
        """Return what learns a person from photos.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("IdentityTrainer", self._once("diffusion-trainer"))

    def adapters(self) -> AdapterFiles:
        """Return what writes, reads and merges adapter files.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("AdapterFiles", self._once("adapter-files"))
