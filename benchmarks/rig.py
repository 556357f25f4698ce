"""The rig in figures, and its contact sheet.

    python -m studio bench rig
    python benchmarks/rig.py --sheet out/rig.png [--portraits FOLDER]

Without a folder the portraits next to the project (../shared/data/portraits) are
used where they exist, and always scikit-image's public-domain astronaut.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from studio.domain.expression import CONTROLS, ExpressionEdit, FaceState, resolve
from studio.domain.pose import HeadPose
from studio.engines.rig.animator import RigAnimator
from studio.engines.rig.asset import load_head
from studio.engines.rig.fit import HeadFitter, pose_of
from studio.engines.vision.analyser import VisionAnalyser

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT.parent / "shared" / "data" / "portraits"


def portraits(folder: Path | None = None) -> dict[str, np.ndarray]:
    """Return the pictures to measure on, by name."""
    import skimage.data

    found = {"astronaut": skimage.data.astronaut()}
    folder = folder or PORTRAITS
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        image = cv2.imread(str(path))
        if image is not None:
            found[path.stem] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return found


def square(image: np.ndarray, box: tuple[float, float, float, float], side: int, margin: float = 2.2) -> np.ndarray:
    """Cut a square of `margin` face heights around a face and scale it."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    size = max(box[2] - box[0], box[3] - box[1]) * margin
    scale = side / size
    matrix = np.float32([[scale, 0, side / 2 - centre[0] * scale], [0, scale, side / 2 - centre[1] * scale]])
    soft = cv2.GaussianBlur(image, (0, 0), 0.35 / scale) if scale < 0.77 else image
    return cv2.warpAffine(soft, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _median_ms(action: Any, repeat: int) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def run(folder: Path | None = None) -> dict[str, Any]:
    """Measure fit, neutral picture, delivered pose and speed; return the figures."""
    cv2.setNumThreads(1)
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    fitter = HeadFitter(load_head(ROOT / "assets" / "head.npz"))
    before, after, neutral, wrong, names = [], [], [], [], []
    for name, image in portraits(folder).items():
        faces = analyser.detect(image)
        if not faces:
            continue
        fit = fitter.fit(faces[0].landmarks)
        before.append(fit.error * 100)
        after.append(fit.residual_error * 100)
        crop = square(image, faces[0].box, 512)
        found = analyser.detect(crop)
        if not found:
            continue
        names.append(name)
        portrait = animator.prepare(crop, found[0])
        # A hair's breadth off the photo's own state, so that the whole path runs.
        near = portrait.render(FaceState(portrait.own_weights, HeadPose(roll_degrees=1e-3)))
        neutral.append(10 * np.log10(255**2 / max(float(((near - crop.astype(float)) ** 2).mean()), 1e-9)))
        own = fitter.fit(found[0].landmarks).camera.rotation
        for axis in ("yaw", "pitch", "roll"):
            for asked in (-12.0, -6.0, 6.0, 12.0):
                turned = portrait.render(FaceState(portrait.own_weights, HeadPose(**{f"{axis}_degrees": asked})))
                seen = analyser.detect(turned)
                if seen:
                    head = pose_of(fitter.fit(seen[0].landmarks).camera.rotation @ own.T)
                    wrong.append(abs(getattr(head, f"{axis}_degrees") - asked))
                else:
                    wrong.append(float("nan"))
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, one thread",
        "portraits": len(before),
        "fit_error_percent_of_eye_distance": round(float(np.mean(before)), 3),
        "fit_error_after_residual_percent": round(float(np.mean(after)), 3),
        "neutral_psnr_db_lowest": round(float(np.min(neutral)), 1),
        "pose_error_degrees_mean": round(float(np.nanmean(wrong)), 2),
        "pose_within_2_degrees_percent": round(100 * float((np.array(wrong) <= 2).mean()), 1),
        "pose_error_degrees_worst": round(float(np.nanmax(wrong)), 2),
        "pose_pictures_where_the_face_was_lost": int(np.isnan(wrong).sum()),
    }
    astronaut = portraits(Path("nowhere"))["astronaut"]
    for side in (512, 768, 1024):
        picture = square(astronaut, analyser.detect(astronaut)[0].box, side)
        face = analyser.detect(picture)[0]
        portrait = animator.prepare(picture, face)
        edit = ExpressionEdit({"jawOpen": 0.3, "eyesOpen": -0.5, "headYaw": 5, "gazeX": 0.3})
        state = resolve(edit, portrait.own_weights)
        portrait.render(state)
        figures[f"setup_seconds_{side}"] = round(
            _median_ms(lambda p=picture: animator.prepare(p, analyser.detect(p)[0]), 5) / 1000, 3
        )
        figures[f"frame_ms_{side}"] = round(_median_ms(lambda p=portrait, s=state: p.render(s), 30), 1)
    figures["slider_answer_ms_512"] = _slider_answer_ms()
    figures["spoken_frame_ms_512"] = _shutter_ms()
    return figures


def _shutter_ms(seconds: float = 3.0) -> dict[str, tuple[float, float]]:
    """Return what a frame of speech at 512 pixels costs, by frames per second and degrees of an open shutter.

    Milliseconds of the processor, and of how many moments a frame is made.
    """
    import skimage.data

    from studio.domain.performance import SHUTTERS_DEGREES, exposure
    from studio.engines import Engines
    from studio.engines.media.sound import read_sound, trim
    from studio.services.clips.making import FrameSource
    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    engines = Engines(ASSETS)
    face = engines.faces().detect(skimage.data.astronaut())[0]
    crop = square(skimage.data.astronaut(), face.box, 512)
    portrait = engines.animator().prepare(crop, engines.faces().detect(crop)[0])
    sound = trim(read_sound(sample_speech(ASSETS).path), 0.0, seconds)
    analysis, out = engines.speech().analyse(sound), {}
    for yaw, pitch in ((5, 5), (-5, -5)):  # what a first turn to each side measures is no part of a frame
        portrait.render(FaceState(portrait.own_weights, HeadPose(yaw, pitch)))
    for rate in (25.0, 60.0):
        performance = engines.speech().perform(sound, analysis, portrait.mouth, frame_rate_hz=rate)
        for degrees in SHUTTERS_DEGREES:
            source = FrameSource(portrait, performance, FaceState(portrait.own_weights), degrees)
            start = time.process_time()
            for frame in range(len(source)):
                source.picture(frame)
            spent = time.process_time() - start
            moments = np.mean([len(exposure(performance, frame, degrees)) for frame in range(len(source))])
            cost = round(1000 * spent / len(source), 1)
            out[f"{rate:g} a second, {degrees} degrees"] = (cost, round(float(moments), 2))
    return out


def _slider_answer_ms() -> float:
    """What the window waits for after a slider is let go: the service's answer on the sample portrait at 512 px."""
    import tempfile

    from studio import settings
    from studio.services.sample import sample_portrait
    from studio.services.sources import MediaSource
    from studio.studio import Studio

    values = iter(np.linspace(0.2, 0.9, 40))

    with tempfile.TemporaryDirectory() as folder, Studio.open(settings.load({"data_dir": Path(folder)})) as opened:
        expressions = opened.for_owner().expressions
        handle = expressions.open(MediaSource.file(sample_portrait()), size=512)
        expressions.render(handle, ExpressionEdit({"smile": 0.1, "headYaw": 6.0}))

        def slide() -> None:
            expressions.render(handle, ExpressionEdit({"smile": float(next(values)), "headYaw": 6.0}))

        return round(_median_ms(slide, 20), 1)


def sheet(out: Path, folder: Path | None = None, side: int = 200) -> None:
    """Write contact sheets: every control at half and full range, both ways, on every portrait."""
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    controls = [c for c in CONTROLS if c.group in ("Head", "Mouth", "Eyes and brows")] + [
        c
        for c in CONTROLS
        if c.name in ("jawOpen", "mouthFunnel", "mouthPucker", "mouthLeft", "cheekPuff", "noseSneerLeft")
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    for name, image in portraits(folder).items():
        crop = square(image, analyser.detect(image)[0].box, 2 * side)
        portrait = animator.prepare(crop, analyser.detect(crop)[0])
        rows = []
        for control in controls:
            row = []
            for share in (-1.0, -0.5, 0.5, 1.0):
                limit = control.maximum if share > 0 else -control.minimum
                edit = ExpressionEdit({control.name: share * limit})
                picture = portrait.render(resolve(edit, portrait.own_weights))
                small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
                cv2.putText(small, f"{control.name} {share * limit:g}", (3, 12), 0, 0.38, (255, 255, 0), 1, cv2.LINE_AA)
                row.append(small)
            rows.append(np.hstack(row))
        while len(rows) % 4:
            rows.append(np.zeros_like(rows[0]))
        grid = np.vstack([np.hstack(rows[i : i + 4]) for i in range(0, len(rows), 4)])
        cv2.imwrite(str(out.with_name(f"{out.stem}_{name}{out.suffix}")), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, help="write contact sheets beside this name")
    parser.add_argument("--portraits", type=Path, help="folder of pictures")
    options = parser.parse_args()
    if options.sheet:
        sheet(options.sheet, options.portraits)
    else:
        json.dump(run(options.portraits), sys.stdout, indent=2)
