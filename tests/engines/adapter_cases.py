"""A random base wearing a random adapter, and the file it was saved to, for both families.

Rank and alpha differ, in the UNet and in the text encoders, so that a lost
alpha shows; attention, feed-forward and convolutions are adapted. The numbers
are large, so that the adapter changes pictures by far more than rounding does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import Family
from studio.domain.training import TrainingPlan
from studio.engines.diffusion.adapters.files import AdapterMetadata, adapter_tensors, load_adapters, save_adapter
from studio.engines.diffusion.adapters.parity import draw_probe
from studio.engines.diffusion.bases.loading import LoadedBase, load_base
from studio.engines.diffusion.training.trainable import TEXT_PARTS, attach
from tests.engines.tiny_base import tiny_location

PROMPT = "a photo of sks person"
STEPS = 2
PLAN = TrainingPlan(rank=4, alpha=6, text_rank=3, text_alpha=5)
RELOADED = 1e-4
"""How far pictures may differ that the same weights drew, on two ways."""


@dataclass
class Case:
    """One family.

    Attributes:
        loaded: wears nothing; whoever puts something on takes it off.
        plain, trained: the probe of the base, and of the model as it was trained.  # (3, H, W)
        own: every number of the base's networks, to compare bit by bit.
    """

    family: Family
    loaded: LoadedBase
    plain: torch.Tensor
    trained: torch.Tensor
    file: Path
    tensors: dict[str, torch.Tensor]
    own: dict[str, torch.Tensor]

    @property
    def location(self):
        return self.loaded.location

    @property
    def metadata(self) -> AdapterMetadata:
        return metadata_of(self.family)

    def probe(self) -> torch.Tensor:
        return draw_probe(self.loaded, PROMPT, steps=STEPS)

    def is_itself(self) -> bool:
        """Whether the base has exactly its own layers, numbers and words."""
        now = numbers(self.loaded)
        return now.keys() == self.own.keys() and all(torch.equal(now[k], v) for k, v in self.own.items())


def numbers(loaded: LoadedBase) -> dict[str, torch.Tensor]:
    return {
        f"{i}.{name}": tensor.clone()
        for i, model in enumerate((loaded.unet, *loaded.text_encoders))
        for name, tensor in model.state_dict().items()
    }


def metadata_of(family: Family) -> AdapterMetadata:
    return AdapterMetadata(
        family=family, title="Face", trigger="sks person", base_name=f"tiny-{family}", resolution=64,
        created="2026-11-21T07:00:00Z",
    )  # fmt: skip


def randomize(named: dict[str, torch.nn.Parameter], scale: float = 0.06) -> None:
    generator = torch.Generator().manual_seed(5)
    for parameter in named.values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale


def make_case(folder: Path, family: Family) -> Case:
    location = tiny_location(folder / family, family)
    wearing = load_base(location)
    named, configs = attach({"unet": wearing.unet, **dict(zip(TEXT_PARTS, wearing.text_encoders, strict=False))}, PLAN)
    randomize(named)
    file = folder / f"{family}.safetensors"
    tensors = {key: parameter.detach() for key, parameter in named.items()}
    assert adapter_tensors(wearing).keys() == tensors.keys()
    save_adapter(file, tensors, configs=configs, metadata=metadata_of(family))
    loaded = load_base(location)
    trained = draw_probe(wearing, PROMPT, steps=STEPS)
    return Case(family, loaded, draw_probe(loaded, PROMPT, steps=STEPS), trained, file, tensors, numbers(loaded))


def worn(case: Case, *uses: tuple[Path, float], fused: bool = False) -> torch.Tensor:
    """Draw with adapters on."""
    files = [AdapterFile(path=str(path), name=f"a{i}", strength=s) for i, (path, s) in enumerate(uses)]
    load_adapters(case.loaded, files, fused=fused)
    return case.probe()
