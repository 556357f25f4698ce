"""What a file says of its own making, and what is known of it here.

A file that leaves carries a statement that is signed (C2PA content credentials): that it is synthetic, what it was made
from, by which engine and recipe, and under which consents, without anything that tells who a person is. This module
knows no signatures and no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SourceType = Literal["generated", "composite"]
"""Drawn by a trained model from words alone, or made from a photo, a drive or a sound as well."""

OWN_NAME = "Likeness Studio, this installation"
"""The organization in the certificate that an installation makes for itself."""


def credentials_beside(path: Path) -> Path:
    """Return the name of the file beside one that cannot carry its credentials."""
    return path.with_name(path.name + ".c2pa")


Standing = Literal["ours", "others", "changed"]
"""Of credentials: signed by this installation, by somebody else, or no longer true of the file."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is signed.

    Attributes:
        source_type: how the pixels came to be.
        kind: "image", "clip", "head" or another noun for the title; nothing a person wrote.
        content_sha256: of the file as it was before it was signed; by it the studio knows it again.
        recipe_sha256: of the recipe in one line of JSON; "" where there is none.
        engines: role -> "name version".
        inputs: role -> sha256 of what it was made from.
        consents: ids of the agreements under which it was made; they mean something in this studio alone.
    """

    source_type: SourceType
    kind: str
    content_sha256: str
    recipe_sha256: str = ""
    engines: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    consents: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the manifest."""
        return {
            "kind": self.kind, "content_sha256": self.content_sha256, "recipe_sha256": self.recipe_sha256,
            "engines": dict(self.engines), "inputs": dict(self.inputs), "consents": list(self.consents),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Signed credentials that were read from a file, or from the file beside it.

    Attributes:
        standing: whether they hold, and who signed.
        signer: the organization in the certificate.
        generator: the program that wrote them, with its version.
        source_types: last words of the IPTC digital source types, such as "trainedAlgorithmicMedia".
        ingredients: titles of what it was made from.
        content_sha256: of the file before it was signed, where this studio's program says so; else "".
        consents: see Statement.
        problems: what failed, in the words of the C2PA specification.
        beside: whether they lay beside the file.
    """

    standing: Standing
    signer: str
    generator: str
    source_types: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    content_sha256: str = ""
    consents: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    beside: bool = False

    @property
    def is_synthetic(self) -> bool:
        """Whether they say that an algorithm made the content, or a part of it."""
        return any("algorithmic" in word.lower() or "synthetic" in word.lower() for word in self.source_types)


Layer = Literal["credentials", "recipe", "mark", "store"]
LAYERS: Mapping[Layer, str] = {
    "credentials": "Signed credentials",
    "recipe": "Recipe in the file",
    "mark": "Invisible mark",
    "store": "Known in this studio",
}
"""Where an answer can come from, in the order in which it is trusted, with titles."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one layer answers.

    Attributes:
        found: whether it says anything of the file.
        says: one sentence.
    """

    layer: Layer
    found: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known of a file.

    Attributes:
        is_synthetic: True where a layer that can be trusted says so; None where nothing is known, which is no proof
            that a file is genuine.
        findings: one for each of LAYERS.
        credentials: as read; None where there are none.
        render_id: of the render in this studio; "" where it is not known here.
    """

    is_synthetic: bool | None
    findings: tuple[Finding, ...]
    credentials: Credentials | None = None
    render_id: str = ""

    @property
    def says(self) -> str:
        """The answer in one sentence."""
        if self.credentials is not None and self.credentials.standing == "changed":
            return "This file was changed after it was signed."
        if self.is_synthetic:
            return "This was made or changed by a machine."
        if self.is_synthetic is None:
            return "Nothing is known of this file; that does not make it genuine."
        return "Its credentials say nothing of a machine."
