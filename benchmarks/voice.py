"""The voice benchmark: speed, the table of checks, and real mouths.

    python -m studio bench voice         speed and checks on the recordings of ../shared, or the golden clip
    python -m studio bench voice --clip CLIP [--transcript TEXT] [--cache FOLDER]      may be repeated

For each clip the sound's skew against the picture is estimated first, then the
predicted lips are compared with the tracked ones, with and without a text. A
text belongs to the clip of the same position; texts of other people's clips
stay outside the repository.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import choreography, mouth_checks, mouth_pixels, mouth_truth
from studio.domain.performance import MouthResponse, take_seed
from studio.domain.speech import Phone, SpeechAnalysis, cover
from studio.engines.base import Amounts, Sound
from studio.engines.media.pictures import read_picture
from studio.engines.media.sound import read_sound
from studio.engines.rig.animator import RigAnimator
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.voice.prosody import at_16_khz, measure
from studio.engines.voice.shapes import AVERAGE_MOUTH
from studio.engines.voice.speech import PocketsphinxSpeech

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
MODELS = ROOT / "assets" / "models"
SAMPLE = ROOT / "assets" / "sample" / "astronaut.jpg"
CURVE_HZ = 100.0


@dataclass(frozen=True)
class Recording:
    """A sound with its text."""

    name: str
    sound: Sound
    text: str


def recordings() -> list[Recording]:
    """Return the developers' LibriVox clips, or the golden clip where they are absent."""
    found = sorted((SHARED / "speech").glob("librivox_*.wav")) or [ROOT / "assets" / "speech" / "golden.wav"]
    return [Recording(p.stem, read_sound(p), p.with_suffix(".txt").read_text(encoding="utf-8")) for p in found]


def run(
    clips: Sequence[Path] = (),
    transcripts: Sequence[Path] = (),
    cache: Path | None = None,
    mouth: MouthResponse = AVERAGE_MOUTH,
) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary.

    Args:
        clips: talking heads with sound; with none, those of the developers' data are used where present.
        transcripts: one text file per clip, in the same order; may be fewer.
        cache: folder outside the repository in which tracked apertures are kept.
        mouth: the head the curves are made for.
    """
    speech = PocketsphinxSpeech()
    speech.analyse(Sound(np.zeros(1600, np.float32), 16_000))
    spoken = recordings()
    if not clips:
        clips = sorted((SHARED / "driving").glob("*_with_sound.mp4"))
    return {
        "speed": _speed(speech, spoken, mouth),
        "checks": _checks(speech, spoken, mouth),
        "motion": _motion(speech, spoken, mouth),
        "pixels": _pixels(speech, spoken),
        "truth": _truth(speech, clips, transcripts, cache, mouth),
    }


def _speed(speech: PocketsphinxSpeech, spoken: Sequence[Recording], mouth: MouthResponse) -> dict[str, float]:
    """Return medians of seconds per second of sound, by the clock and of this process alone; first call left out."""
    speech.analyse(spoken[0].sound, spoken[0].text)
    speech.analyse(spoken[0].sound)
    ratios: dict[str, list[float]] = {}

    def timed(name: str, length: float, work: Callable[[], Any]) -> Any:
        clock, own = time.perf_counter(), time.process_time()
        done = work()
        ratios.setdefault(name, []).append((time.perf_counter() - clock) / length)
        ratios.setdefault(f"{name}_own", []).append((time.process_time() - own) / length)
        return done

    for recording in spoken:
        sound, length = recording.sound, recording.sound.duration_seconds
        analysis = timed("with_text", length, partial(speech.analyse, sound, recording.text))
        timed("without_text", length, partial(speech.analyse, sound))
        timed("other_language", length, partial(speech.analyse, sound, language="de"))
        timed("perform", length, partial(speech.perform, sound, analysis, mouth))
    return {name: float(np.median(values)) for name, values in ratios.items()}


def _checks(speech: PocketsphinxSpeech, spoken: Sequence[Recording], mouth: MouthResponse) -> dict[str, Any]:
    """Return the table of checks on all recordings laid end to end, half a second apart."""
    aligned = [speech.analyse(r.sound, r.text) for r in spoken]
    together, analysis = joined(spoken, aligned)
    prosody = measure(at_16_khz(together))
    out: dict[str, Any] = {"recordings": len(spoken), "paths": sorted({a.method for a in aligned})}
    for rate in (24.0, 25.0, 30.0, 60.0):
        performance = speech.perform(together, analysis, mouth, frame_rate_hz=rate)
        correlation, lag = mouth_checks.correlation_and_lag(performance, prosody, mouth)
        still_mm, still_weight = mouth_checks.unrest_in_silence(performance, analysis, mouth)
        out[f"{rate:g} fps"] = {
            "T1 bilabials closed": mouth_checks.share_closed(performance, analysis, mouth),
            "T3 closed ms": mouth_checks.closed_ms(performance, analysis, mouth),
            "T4 labiodentals touch": mouth_checks.share_touching(performance, analysis, mouth),
            "T5 vowels falsely closed": mouth_checks.share_false_closed(performance, analysis, mouth),
            "T7 lag ms": lag,
            "r with loudness (no goal)": correlation,
            "T9": asdict(mouth_checks.motion(performance, analysis, mouth)),
            "T10 silence mm": still_mm,
            "T10 silence weight": still_weight,
        }
    out["T11"] = asdict(mouth_checks.blinks(performance))
    out["T12"] = asdict(mouth_checks.head(performance))
    out["T8 closed on another clip's phones"] = _crossed(speech, spoken, aligned, mouth)
    out["T14"] = _paths_agree(speech, together, analysis, mouth)
    return out


def _motion(speech: PocketsphinxSpeech, spoken: Sequence[Recording], mouth: MouthResponse) -> dict[str, Any]:
    """Return the figures of liveliness, the mean of eight takes, and how alike the takes of four photos are."""
    together, analysis = joined(spoken, [speech.analyse(r.sound, r.text) for r in spoken])
    takes = {
        f"{seed}": speech.perform(together, analysis, mouth, seed=take_seed(0, "sound", f"portrait {seed}"))
        for seed in range(8)
    }
    found = choreography.mean([choreography.of_performance(p, mouth) for p in takes.values()])
    alike, most = choreography.likeness(takes)
    return {"curves": asdict(found), "yaw_r_mean": alike, "yaw_r_max": most}


def _pixels(speech: PocketsphinxSpeech, spoken: Sequence[Recording]) -> dict[str, dict[str, int]]:
    """T15: P, B and M that are seen closed in the encoded clip of the sample portrait, with a text and without.

    Without a text a sound may be heard as another: those heard and those said are counted apart.
    """
    analyser = VisionAnalyser(MODELS)
    photo = read_picture(SAMPLE).rgb
    portrait = RigAnimator(ROOT / "assets" / "head.npz", analyser).prepare(photo, analyser.detect(photo)[0])
    sound, aligned = joined(spoken, [speech.analyse(r.sound, r.text) for r in spoken])
    still = Amounts(head=0, blink=0, gaze=0)  # the lips alone are judged
    out = {}
    for name, analysis in (("with_text", aligned), ("without_text", speech.analyse(sound))):
        performance = speech.perform(sound, analysis, portrait.mouth, frame_rate_hz=25.0, amounts=still)
        seen = mouth_pixels.see(portrait, performance, sound, analyser)
        heard, said = seen.closures(analysis.phones), seen.closures(aligned.phones)
        out[name] = {"heard": len(heard), "closed": sum(heard), "said": len(said), "closed_of_said": sum(said)}
    return out


def joined(spoken: Sequence[Recording], analyses: Sequence[SpeechAnalysis]) -> tuple[Sound, SpeechAnalysis]:
    """Lay recordings end to end with a second of silence after each."""
    rate = 16_000
    pieces, phones, at = [], [], 0.0
    for recording, analysis in zip(spoken, analyses, strict=True):
        samples = at_16_khz(recording.sound)
        phones += [Phone(p.label, p.start + at, p.end + at) for p in analysis.phones]
        pieces += [samples, np.zeros(rate, np.float32)]
        at += len(samples) / rate + 1.0
    sound = Sound(np.concatenate(pieces), rate)
    return sound, SpeechAnalysis(sound.duration_seconds, cover(phones, sound.duration_seconds), (), "aligned")


def _crossed(
    speech: PocketsphinxSpeech, spoken: Sequence[Recording], aligned: Sequence[SpeechAnalysis], mouth: MouthResponse
) -> float:
    """T8: the share of bilabials that curves of one recording close on the phones of the next."""
    shares = []
    for i, recording in enumerate(spoken):
        other = aligned[(i + 1) % len(spoken)]
        performance = speech.perform(recording.sound, aligned[i], mouth)
        length = min(other.duration_seconds, aligned[i].duration_seconds)
        cut = replace(other, phones=tuple(p for p in other.phones if p.end < length))
        shares.append(mouth_checks.share_closed(performance, cut, mouth))
    return float(np.mean(shares))


def _paths_agree(
    speech: PocketsphinxSpeech, sound: Sound, analysis: SpeechAnalysis, mouth: MouthResponse
) -> dict[str, float]:
    """T14: correlation of the aperture of the paths without text with the aligned one."""
    apertures = {}
    for name, found in {
        "aligned": analysis,
        "decoded": speech.analyse(sound),
        "phone_loop": speech.analyse(sound, language="de"),
    }.items():
        performance = speech.perform(sound, found, mouth, frame_rate_hz=CURVE_HZ)
        apertures[name] = np.maximum(mouth_checks.gap(performance, mouth), 0)
    return {name: float(np.corrcoef(apertures["aligned"], apertures[name])[0, 1]) for name in ("decoded", "phone_loop")}


def _truth(
    speech: PocketsphinxSpeech,
    clips: Sequence[Path],
    transcripts: Sequence[Path],
    cache: Path | None,
    mouth: MouthResponse,
) -> dict[str, Any]:
    """Compare with real mouths; pooled by Fisher's z weighted with frames."""
    scores: dict[str, list[mouth_truth.TruthScore]] = {}
    out: dict[str, Any] = {"clips": {}}
    for i, clip in enumerate(clips):
        tracked = mouth_truth.track_mouth(clip, MODELS, cache)
        sound = read_sound(clip)
        text = transcripts[i].read_text(encoding="utf-8") if i < len(transcripts) else ""
        guessed = speech.analyse(sound)
        told = speech.analyse(sound, text) if text.strip() else None
        reference = told if told and told.method == "aligned" else guessed
        skew = mouth_truth.estimate_skew(tracked, reference)
        figures = asdict(choreography.of_tracked(tracked))
        entry: dict[str, Any] = {
            "motion": figures,
            "skew_ms": round(1000 * skew),
            "notes": list(told.notes) if told else [],
        }
        for name, analysis in (
            ("without_text", guessed),
            ("with_text", told),
            ("other_language", speech.analyse(sound, language="de")),
        ):
            if analysis is None:
                continue
            prosody_curve = _aperture(speech, sound, analysis, mouth)
            score = mouth_truth.score(tracked, prosody_curve, CURVE_HZ, reference, skew)
            scores.setdefault(name, []).append(score)
            entry[name] = asdict(score)
        out["clips"][clip.name] = entry
    out["pooled"] = {name: mouth_truth.pooled(found) for name, found in scores.items()}
    return out


def _aperture(speech: PocketsphinxSpeech, sound: Sound, analysis: SpeechAnalysis, mouth: MouthResponse) -> np.ndarray:
    return mouth_checks.gap(speech.perform(sound, analysis, mouth, frame_rate_hz=CURVE_HZ), mouth)


def report(result: dict[str, Any]) -> str:
    """Return the figures as text, with the goals beside them."""
    speed, checks, truth = result["speed"], result["checks"], result["truth"]
    lines = ["work per second of sound: by the clock (which counts other programs too), and this process alone"]
    for name, goal in (("with_text", "<= 0.1"), ("without_text", "<= 0.3"), ("other_language", ""), ("perform", "")):
        lines.append(f"  {name:15} {speed[name]:.3f}   {speed[name + '_own']:.3f}   {goal and 'goal ' + goal}".rstrip())
    lines.append("")
    for key, value in checks.items():
        lines.append(f"{key}: {json.dumps(_rounded(value))}")
    lines.append("")
    for name, goal in (("with_text", "all"), ("without_text", "95 %")):
        seen = result["pixels"][name]
        found = f"{seen['closed']} of {seen['heard']} heard, {seen['closed_of_said']} of {seen['said']} said"
        lines.append(f"T15 P, B, M seen closed on pixels, {name}: {found}; goal: {goal} of those heard")
    lines.append("")
    lines += _motion_lines(result["motion"], truth["clips"])
    for name, entry in truth["clips"].items():
        entry = {key: value for key, value in entry.items() if key != "motion"}
        lines.append(f"{name}: {json.dumps(_rounded(entry), ensure_ascii=False)}")
    for name, entry in truth["pooled"].items():
        lines.append(f"pooled {name}: {json.dumps(_rounded(entry))}")
    return "\n".join(lines)


def _motion_lines(found: dict[str, Any], clips: dict[str, Any]) -> list[str]:
    """Return a table: figure, band of real speakers, ours, each tracked clip."""
    lines = ["liveliness: band of real speakers, our curves, then each tracked clip"]
    for name, (low, high) in choreography.BANDS.items():
        ours = found["curves"][name]
        mark = " " if low <= ours <= high else "!"
        real = "  ".join(f"{entry['motion'][name]:8.3f}" for entry in clips.values())
        lines.append(f"  {name:18} {low:7.3f} .. {high:<7.3f} {ours:8.3f} {mark}  {real}".rstrip())
    alike = f"mean {found['yaw_r_mean']:.2f}, most {found['yaw_r_max']:.2f}"
    return [*lines, f"  yaw of different clips correlates by: {alike}", ""]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a talking head with sound")
    parser.add_argument("--transcript", type=Path, action="append", default=[], help="its text, in the same order")
    parser.add_argument("--cache", type=Path, help="where to keep tracked mouths, outside the repository")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = run(options.clip, options.transcript, options.cache)
    print(json.dumps(_rounded(result), ensure_ascii=False) if options.json else report(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
