"""The page that goes with a pushed adapter: what it is, how well it was measured, and what it is not for.

The person's name stays in the studio; the card says the trigger. Metadata at
its head follows the hub's convention for diffusers adapters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from studio.domain.adapter import Adapter
from studio.domain.base_model import FAMILY_TITLES, BaseModelCard
from studio.domain.likeness import likeness_figure

CONSENT_NOTE = (
    "This adapter draws one real person, who agreed to its training. Do not make pictures of them without their "
    "agreement, do not present pictures as photographs of real events, and delete the files when the agreement ends."
)
NO_EFFECT = 1e-4
"""Of a picture's range: what equal weights may differ by."""
_MEASURES = {
    "likeness": "Likeness of samples (0 a stranger, 1 as alike as the person's own photos)",
    "distance": "Distance of samples to the person's photos (embedding)",
    "drift": "Change of the class prompt's pictures (0..1)",
}


def model_card(adapter: Adapter, base: BaseModelCard | None, files: Mapping[str, str]) -> str:
    """Return the text of README.md.

    Args:
        base: its card; None when the studio does not know the base any more.
        files: name in the repository -> what it is.
    """
    head = {
        "library_name": "diffusers",
        "tags": ["text-to-image", "lora" if adapter.method == "lora" else "dreambooth", "likeness"],
        **({"base_model": base.repository} if base is not None and base.repository else {}),
        **({"instance_prompt": f"a photo of {adapter.trigger}"} if adapter.trigger else {}),
    }
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items())
    licence = "unknown" if base is None else " ".join(filter(None, (base.licence, base.licence_url)))
    rows = [
        ("Base model", adapter.base_name or "unknown" if base is None else f"{base.title} (`{base.name}`)"),
        ("Family", FAMILY_TITLES[adapter.family]),
        ("Licence of the base, which also binds this adapter", licence),
        ("Trigger", f"`{adapter.trigger}`" if adapter.trigger else "not said"),
        ("Method", "LoRA" if adapter.method == "lora" else "full DreamBooth weights"),
        *((("Rank", str(adapter.rank)),) if adapter.rank is not None else ()),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    measured = "\n".join(f"- {line}" for line in measured_lines(adapter.measures)) or "- Nothing was measured."
    listed = "\n".join(f"- `{name}`: {what}" for name, what in files.items())
    return (
        f"---\n{front}\n---\n\n# {adapter.name}\n\n| | |\n|---|---|\n{table}\n\n## Files\n\n{listed}\n\n"
        f"## Measured\n\n{measured}\n\n## Consent\n\n{CONSENT_NOTE}\n"
    )


def measured_lines(measures: Mapping[str, Any]) -> list[str]:
    """Return what was measured, a line each."""
    lines = [
        f"{title}: {likeness_figure(measures[key]) if key == 'likeness' else format(measures[key], '.3f')}"
        for key, title in _MEASURES.items()
        if isinstance(measures.get(key), int | float) and not isinstance(measures[key], bool)
    ]
    effect = measures.get("effect")
    if isinstance(effect, int | float) and not isinstance(effect, bool):
        lines.append(
            f"Changes a fixed picture by up to {effect:.2f} (of 1)"
            if effect > NO_EFFECT
            else "Changes nothing: a fixed picture stays the same with it"
        )
    leak = measures.get("leak")
    if isinstance(leak, Mapping) and leak.get("advice"):
        lines.append(f"Leak test: {leak['advice']}")
    return lines
