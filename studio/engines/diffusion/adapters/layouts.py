"""The layouts of adapter files: one module each, found by the rows of ADAPTER_FORMATS.

A layout reads keys, knows which layer a name means, and writes keys and
metadata. A file may mix several; each key is asked of every layout in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from studio.domain.adapter import ADAPTER_FORMATS, AdapterMetadata, FileFormat
from studio.engines.diffusion.adapters.keys import KeyPlace, Part
from studio.engines.diffusion.adapters.update import ModuleUpdate

if TYPE_CHECKING:
    from torch import Tensor


class Layout(Protocol):
    """What the module of a layout offers.

    Attributes:
        HASHES: metadata that holds the hash of the weights -> what stands in front of it.
    """

    HASHES: Mapping[str, str]

    def place_of(self, key: str) -> KeyPlace | None:
        """Read one key; None when it is none of this layout."""
        ...

    def layer_names(self, part: Part, modules: Iterable[str], unet: Mapping[str, Any]) -> dict[str, str]:
        """Return every name that means a layer of a base: name in files -> layer.

        Args:
            modules: the part's layers with dots, text layers without `text_model.`.
            unet: its config.
        """
        ...

    def written(
        self,
        updates: Iterable[ModuleUpdate],
        words: Mapping[str, Tensor],
        metadata: AdapterMetadata,
        format: FileFormat,
        unet: Mapping[str, Any],
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return what a file holds: tensors by their keys, and metadata.

        Args:
            updates: with the model's own names of layers.
            words: learned words: key in the studio's files -> row.
        """
        ...


LAYOUTS: dict[str, Layout] = {
    name: cast("Layout", import_module(f"{__package__}.{name}"))
    for name in dict.fromkeys(format.layout for format in ADAPTER_FORMATS)
}


def place_of(key: str) -> KeyPlace | None:
    """Read one key in whatever layout it is; None when it is no key of an adapter for these families."""
    return next((place for layout in LAYOUTS.values() if (place := layout.place_of(key)) is not None), None)
