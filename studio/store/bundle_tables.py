"""What a bundle carries of every table, what stays, and which columns mean nothing elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = dict[str, list[dict[str, Any]]]
"""Table -> rows, with JSON values only: bytes stand as {"base64": ...}."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "projects": ("id",),
    "identities": ("id",),
    "consents": ("id",),
    "caption_policies": ("identity_id", "trait"),
    "photos": ("id",),
    "curated_photos": ("photo_id",),
    "embeddings": ("photo_id", "embedder"),
    "variants": ("id",),
    "runs": ("id",),
    "checkpoints": ("id",),
    "run_metrics": ("run_id", "name", "step"),
    "run_samples": ("run_id", "step", "kind", "prompt", "seed"),
    "grid_cells": ("id",),
    "adapters": ("id",),
    "adapter_people": ("adapter_id", "identity_id"),
    "performances": ("id",),
    "performance_steps": ("performance_id", "step"),
    "performance_media": ("performance_id", "sha256"),
    "renders": ("id",),
    "recipes": ("render_id",),
    "render_inputs": ("render_id", "role"),
}
"""Every table that is carried, in the order in which its rows may be written, and what makes a row the same."""
CARRIED = tuple(KEYS)
STAYS: Mapping[str, str] = {
    "adapter_exports": "copies of adapters on a disk that the other studio does not have",
    "bases": "models on this disk",
    "curation_steps": "what can be taken back of sorting",
    "intakes": "heaps that are being sorted",
    "intake_photos": "heaps that are being sorted",
    "intake_links": "heaps that are being sorted",
    "intake_names": "heaps that are being sorted",
    "jobs": "work on this computer",
    "job_lines": "work on this computer",
    "job_previews": "work on this computer",
    "workers": "work on this computer",
    "media": "made anew of the files",
    "media_doomed": "files of this disk",
    "presets": "of nobody",
    "photo_analyses": "measured anew in the photo",
    "photo_faces": "measured anew in the photo",
    "photo_looks": "measured anew in the photo",
    "rigs": "measured anew in the photo",
}
"""Every other table, and why it is not carried."""
LEFT_OUT = {"renders": ("number", "job_id", "deleted"), "runs": ("job_id",), "run_samples": ("number",)}
FORGOTTEN = {"checkpoints": {"has_state": 0}}
"""Columns that mean something on this computer alone, and what stands there on another."""
