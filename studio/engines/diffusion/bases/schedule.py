"""The noise schedule of a base, out of whatever scheduler its files name."""

from __future__ import annotations

from typing import Any

_SCHEDULE_KEYS = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
    "prediction_type", "rescale_betas_zero_snr", "timestep_spacing",
)  # fmt: skip


def sampler_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the noise schedule out of any scheduler's config, for any other scheduler.

    Where the last step has no signal left (`rescale_betas_zero_snr`), samplers
    must begin at the very last step: "trailing". Elsewhere "leading" with an
    offset of one is what Stable Diffusion was published with.
    """
    kept = {key: config[key] for key in _SCHEDULE_KEYS if config.get(key) is not None}
    spacing = "trailing" if kept.get("rescale_betas_zero_snr") else "leading"
    return {"prediction_type": "epsilon", **kept, "timestep_spacing": spacing, "steps_offset": 1}
