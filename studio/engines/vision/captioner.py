"""Captions written by an image-to-text model that a person has chosen: a folder, or a model of the hub.

Optional: the studio's own captions are measured, not written, and need no
model. Models that answer an empty prompt with a description (BLIP and its kin)
work; weights are read from safetensors only and no code of the model is run.
A name of the hub is taken from this computer's cache; nothing is downloaded here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.engines.base import Image
from studio.errors import EngineError, EngineUnavailableError

LONGEST_WORDS = 40


class Captioner:
    """One loaded model; use it from one thread at a time.

    Attributes:
        name: of the model.
    """

    name = "captioner"

    def __init__(self, model: str) -> None:
        """Load the model.

        Args:
            model: a folder with configuration, processor and safetensors, or a name on the hub ("owner/model").

        Raises:
            EngineUnavailableError: torch or transformers is missing, or the model is not on this computer.
            EngineError: the files are no image-to-text model, or are damaged.
        """
        from studio.engines.diffusion.runtime import prepare

        prepare()
        from transformers import AutoModelForImageTextToText, AutoProcessor

        processors: Any = AutoProcessor
        models: Any = AutoModelForImageTextToText
        self.name = Path(model).name
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._processor = processors.from_pretrained(model, **options)
            self._model = models.from_pretrained(model, use_safetensors=True, **options).eval()
        except OSError as exc:
            raise EngineUnavailableError(
                f"The captioning model {self.name!r} is not on this computer.",
                f"Give a folder that holds it, or fetch it with: hf download {model}",
            ) from exc
        except (ValueError, KeyError, RuntimeError) as exc:
            raise EngineError(f"{self.name} cannot be used to write captions: {exc}") from exc

    def caption(self, image: Image) -> str:
        """Describe a picture in one line.

        Args:
            image: RGB.  # (H, W, 3)
        """
        import torch
        from PIL import Image as Pillow

        inputs = self._processor(images=Pillow.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=LONGEST_WORDS, do_sample=False)
        said = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(str(said).split())
