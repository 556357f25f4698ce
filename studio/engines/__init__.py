"""Every engine in one table, built at its first use.

A row names its class as text ("module:Class"), so that reading the table
imports nothing heavy. A library that is not installed ends as one sentence
that says what to install; no engine ever stands in for another.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from studio import pins
from studio.engines.base import (
    CaptionWriter,
    ClipDubber,
    FaceAnalyser,
    FaceTracker,
    PortraitAnimator,
    SpeechAnalyser,
    SpeechSynthesiser,
)
from studio.engines.base_diffusion import AdapterConverter, BaseFiles, IdentityTrainer, ImageGenerator
from studio.engines.base_video import ClipPainter
from studio.errors import INSTALL_AGAIN, EngineUnavailableError

_DIFFUSION = {
    "torch": "torch",
    "diffusers": "diffusers",
    "transformers": "transformers",
    "peft": "peft",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
}

Role = Literal[
    "faces", "tracking", "dubbing", "captions", "speech", "synthesis", "portrait", "bases", "trainer", "generator",
    "painter", "adapters",
]  # fmt: skip
PROTOCOLS: dict[Role, type] = {
    "faces": FaceAnalyser,
    "tracking": FaceTracker,
    "dubbing": ClipDubber,
    "captions": CaptionWriter,
    "speech": SpeechAnalyser,
    "synthesis": SpeechSynthesiser,
    "portrait": PortraitAnimator,
    "bases": BaseFiles,
    "trainer": IdentityTrainer,
    "generator": ImageGenerator,
    "painter": ClipPainter,
    "adapters": AdapterConverter,
}
"""What an engine of each role must offer; kept by the contract tests."""


@dataclass(frozen=True)
class EngineEntry:
    """One engine.

    Attributes:
        role: what it does; its class satisfies the Protocol of that role.
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
        "landmarks",
        "Face tracking",
        "tracking",
        "studio.engines.tracking.tracker:LandmarkTracker",
        {
            "cv2": "opencv-python",
            "onnxruntime": "onnxruntime",
            "numba": "numba",
            "scipy": "scipy",
            "threadpoolctl": "threadpoolctl",
        },
        ("head.npz", "models"),
        "Apache-2.0 (MediaPipe models); head asset CC0-1.0",
        "Follows a face through a video: 52 expression weights, head, lids, gaze and lips for every frame.",
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
        {"cv2": "opencv-python", "numba": "numba", "scipy": "scipy", "threadpoolctl": "threadpoolctl"},
        ("head.npz",),
        "Apache-2.0; head asset CC0-1.0",
        "Moves one photo by 52 expression weights and three head angles, on a plain CPU.",
    ),
    EngineEntry(
        "rig-dubbing",
        "Lip-sync of videos",
        "dubbing",
        "studio.engines.dubbing.dubber:MouthDubber",
        {
            "cv2": "opencv-python",
            "onnxruntime": "onnxruntime",
            "numba": "numba",
            "scipy": "scipy",
            "threadpoolctl": "threadpoolctl",
        },
        ("head.npz", "models"),
        "Apache-2.0 (MediaPipe models); head asset CC0-1.0",
        "Lets the face in a video say something else: its mouth is drawn anew, all else stays as it was filmed.",
    ),
    EngineEntry(
        "captioner",
        "Captions by a model",
        "captions",
        "studio.engines.vision.captioner:Captioner",
        {"torch": "torch", "diffusers": "diffusers", "transformers": "transformers"},
        (),
        "BSD-3-Clause (torch), Apache-2.0 (diffusers, transformers); captioning models have licences of their own",
        "Describes photos in words, by an image-to-text model that you have chosen.",
        required=False,
    ),
    EngineEntry(
        "base-files",
        "Base model files",
        "bases",
        "studio.engines.diffusion.bases.files:DiffusersFiles",
        {},
        (),
        "Apache-2.0; base models have licences of their own",
        "Says what the files of a base model are, without loading them, and fetches them from the hub.",
        required=False,
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
        "diffusion-clips",
        "Clips from words",
        "painter",
        "studio.engines.diffusion.video.painter:DiffusionPainter",
        _DIFFUSION,
        (),
        "BSD-3-Clause (torch), Apache-2.0 (diffusers, transformers, peft); base models have licences of their own",
        "Draws the frames of a clip with a base model and adapters, also over the frames of another clip.",
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
        "Writes adapters for other programs, reads theirs, and merges several into one.",
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
        raise EngineUnavailableError(
            f"{entry.title} cannot start: {', '.join(missing)} is missing.",
            hint,
            window=f"Install what it needs: {hint}" if packages else INSTALL_AGAIN,
        )
    refused = pins.refused(tuple(entry.needs.values()))
    if refused:
        raise EngineUnavailableError(f"{entry.title} cannot start: {pins.sentence(refused)}.", pins.mending())
    module, _, name = entry.factory.partition(":")
    try:
        return cast("Callable[..., Any]", getattr(importlib.import_module(module), name))
    except ImportError as exc:
        raise EngineUnavailableError(
            f"{entry.title} cannot start: {exc}.",
            "Run `python -m studio doctor` to see what is missing.",
            window="The Settings tab says what is missing.",
        ) from exc


def _import(module: str) -> None:
    """Import a module, and let it make its libraries ready where it knows how."""
    with contextlib.suppress(ImportError):
        getattr(importlib.import_module(module), "warm_up", lambda: None)()


class Engines:
    """The engines of one process; each is built once, at its first use.

    `lock` is held by whoever uses the face analyser or prepares a portrait,
    `speech_lock` by whoever uses the speech analyser: engines promise nothing
    about threads, but speech may be heard while a portrait is made ready.
    """

    def __init__(self, assets: Path) -> None:
        self.assets = assets
        self.lock = threading.RLock()
        self.speech_lock = threading.RLock()
        self._building = threading.RLock()
        self._built: dict[str, Any] = {}

    def _once(self, name: str, *arguments: Callable[[], Any]) -> Any:
        with self._building:
            if name not in self._built:
                self._built[name] = load(ENGINE[name], self.assets)(*(a() for a in arguments))
            return self._built[name]

    def warm_up(self, name: str) -> None:
        """Import an engine's libraries in a thread of its own, while this one waits for something else.

        Half of the time before the first picture of a process is imports. What goes wrong here goes wrong
        again, and is reported, where the engine is really used.
        """
        entry = ENGINE.get(name)
        if entry is None or name in self._built or entry.missing(self.assets):
            return
        module = entry.factory.partition(":")[0]
        threading.Thread(target=_import, args=(module,), daemon=True, name=f"warm-up {name}").start()

    def faces(self) -> FaceAnalyser:
        """Return the face analyser."""
        return cast("FaceAnalyser", self._once("vision", lambda: self.assets / "models"))

    def tracker(self) -> FaceTracker:
        """Return what follows a face through a video."""
        return cast("FaceTracker", self._once("landmarks", lambda: self.assets / "head.npz", self.faces))

    def dubber(self) -> ClipDubber:
        """Return what lets the face in a video say something else."""
        return cast("ClipDubber", self._once("rig-dubbing", lambda: self.assets / "head.npz", self.faces))

    def speech(self) -> SpeechAnalyser:
        """Return the speech analyser."""
        return cast("SpeechAnalyser", self._once("pocketsphinx"))

    def speech_name(self) -> str:
        """Return name and version of the speech analyser, for recipes."""
        speech = self.speech()
        return f"{speech.name} {speech.version}"

    def languages(self) -> tuple[tuple[str, str], ...]:
        """Return code and title of every language of speech: English first, any other one last; loads no engine."""
        from studio.engines.voice.languages import ANY, load_languages

        found = sorted(load_languages().values(), key=lambda one: (one.code == ANY, one.code != "en", one.title))
        return tuple((one.code, one.title) for one in found)

    def synthesiser(self) -> SpeechSynthesiser:
        """Return the offline voice.

        Raises:
            EngineUnavailableError: it is not installed.
        """
        return cast("SpeechSynthesiser", self._once("espeak"))

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

    def captioner(self, model: str) -> CaptionWriter:
        """Return what describes pictures by a model; made anew each time, for it holds the model's weights.

        Args:
            model: a folder, or a name on the hub whose files are on this computer.

        Raises:
            EngineUnavailableError: the model or its libraries are not here.
            EngineError: the files are no image-to-text model, or are damaged.
        """
        return cast("CaptionWriter", load(ENGINE["captioner"], self.assets)(model))

    def base_files(self) -> BaseFiles:
        """Return what reads and fetches the files of base models."""
        return cast("BaseFiles", self._once("base-files"))

    def generator(self) -> ImageGenerator:
        """Return what draws pictures from words.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("ImageGenerator", self._once("diffusion"))

    def painter(self) -> ClipPainter:
        """Return what draws the frames of clips; it shares the base in memory with `generator`.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("ClipPainter", self._once("diffusion-clips", self.generator))

    def trainer(self) -> IdentityTrainer:
        """Return what learns a person from photos.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("IdentityTrainer", self._once("diffusion-trainer"))

    def adapters(self) -> AdapterConverter:
        """Return what writes, reads and merges adapter files.

        Raises:
            EngineUnavailableError: torch or one of its companions is not installed.
        """
        return cast("AdapterConverter", self._once("adapter-files"))
