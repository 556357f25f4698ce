"""Performances with layers: `performance new`, `layer`, `key`, `play` and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.clip_output import clip_text, timed
from studio.commands.meaning import assignments, picture_of, sound_of, words_of
from studio.commands.shared import (
    OPTIONS,
    AsJson,
    ClipFile,
    DataDir,
    Face,
    FrameRate,
    Language,
    Say,
    Seconds,
    Shutter,
    Size,
    Speech,
    Transcript,
    Voice,
    opened,
)
from studio.domain.clip_format import CURVE_FORMATS, choice, clip_format_of
from studio.domain.emotion import EMOTIONS
from studio.domain.performance_document import KINDS, REGIONS, KeptPerformance, Layer, SpeechLayer
from studio.errors import UserInputError

commands = typer.Typer(help="Performances: layers of motion that are kept, edited and played on any face.", **OPTIONS)

Performance = Annotated[str, typer.Argument(help="A performance's name or id.")]
LayerName = Annotated[str, typer.Argument(help="The layer, as `show` calls it; with --add a new one's kind or name.")]
_CURVES = choice([f.suffix for f in CURVE_FORMATS.values()])


@commands.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the performances, the one changed last first."""
    with opened(data_dir) as studio:
        kept = studio.performances.list()
        lines = [
            f"{k.id}  {k.document.duration_seconds:7.1f} s  {len(k.document.layers)} layers  {k.name}" for k in kept
        ]
        Output(as_json).result({"performances": [_body(k) for k in kept]}, "\n".join(lines) or "No performances yet.")


@commands.command()
def new(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    speech: Speech = None,
    say: Say = None,
    voice: Voice = "en-us",
    transcript: Transcript = None,
    language: Language = "en",
    motion: Annotated[Path | None, typer.Option(help=f"Recorded motion, {_CURVES}.", show_default=False)] = None,
    clip: Annotated[str | None, typer.Option(help="A clip of the library, by its id.", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(help="So long, with idle life only.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same blinks and head.")] = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Begin a performance from speech, recorded motion, a finished clip, or from idle life."""
    with opened(data_dir) as studio:
        if clip is not None:
            if speech or say or motion or seconds:
                raise UserInputError("A clip brings its own speech and motion.", "Leave the other options out.")
            kept = studio.performances.of_render(clip, name)
        else:
            kept = studio.performances.create(
                name,
                sound=sound_of(speech),
                text=say,
                voice=voice,
                transcript=words_of(transcript),
                language=language,
                motion=sound_of(motion),
                seconds=seconds,
                seed=seed,
            )
        _show(kept, as_json)


@commands.command()
def show(performance: Performance, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show a performance's layers, and what can be taken back."""
    with opened(data_dir) as studio:
        _show(studio.performances.get(performance), as_json)


@commands.command()
def layer(
    performance: Performance,
    name: LayerName,
    add: Annotated[str | None, typer.Option(help=f"Add a layer: {', '.join(KINDS[2:])}.", show_default=False)] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the layer away.")] = False,
    amount: Annotated[float | None, typer.Option(help="0 to 1.5; 1 as it was made.", show_default=False)] = None,
    regions: Annotated[
        str | None, typer.Option(help=f"Where it counts, of {','.join(REGIONS)}.", show_default=False)
    ] = None,
    blend: Annotated[str | None, typer.Option(help="add or override.", show_default=False)] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Whether it counts.", show_default=False)] = None,
    start: Annotated[float | None, typer.Option(help="Second at which it begins.", show_default=False)] = None,
    end: Annotated[float | None, typer.Option(help="Second at which it ends.", show_default=False)] = None,
    ease: Annotated[float | None, typer.Option(help="Seconds to come and to go.", show_default=False)] = None,
    neutral: Annotated[
        str | None, typer.Option(help="Face at rest of curves: a second, calm, or none.", show_default=False)
    ] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="control=value of an expression; repeat.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change a layer, add one, or take one away."""
    changes: dict[str, Any] = {
        "amount": amount,
        "regions": None if regions is None else [r.strip() for r in regions.split(",") if r.strip()],
        "blend": blend,
        "on": on,
        "start_seconds": start,
        "end_seconds": end,
        "ease_in_seconds": ease,
        "ease_out_seconds": ease,
        "values": assignments(values, "=", "--set") if values else None,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    if neutral is not None:
        changes["neutral"] = _neutral(neutral)
    with opened(data_dir) as studio:
        if remove:
            kept = studio.performances.remove_layer(performance, name)
        elif add is not None:
            kept = studio.performances.add_layer(performance, {"kind": add, "id": name, **changes})
        elif changes:
            kept = studio.performances.set_layer(performance, name, changes)
        else:
            raise UserInputError("Nothing is to be changed.", "Give --amount, --regions, --blend, --off, --set, ...")
        _show(kept, as_json)


@commands.command()
def key(
    performance: Performance,
    seconds: Annotated[float, typer.Argument(min=0.0, help="The moment.")],
    values: Annotated[list[str] | None, typer.Option("--set", help="control=value there; repeat.")] = None,
    emotion: Annotated[list[str] | None, typer.Option(help="joy:0.6 there; repeat.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A control or emotion whose key goes; repeat.")] = None,
    layer: Annotated[str | None, typer.Option(help="Which layer of keyframes.", show_default=False)] = None,
    ease: Annotated[str, typer.Option(help="smooth, linear or hold: how it goes on.")] = "smooth",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Set controls and emotions at a moment, or take keys away."""
    with opened(data_dir) as studio:
        kept = studio.performances.get(performance)
        for gone in remove or ():
            if gone in EMOTIONS:
                kept = studio.performances.remove_emotion(kept.id, gone, seconds)
            else:
                kept = studio.performances.remove_key(kept.id, gone, seconds, layer=layer)
        for control, value in assignments(values or (), "=", "--set").items():
            kept = studio.performances.set_key(kept.id, control, seconds, value, layer=layer, ease=ease)
        for name, strength in assignments(emotion or (), ":", "--emotion").items():
            kept = studio.performances.set_emotion(kept.id, name, seconds, strength)
        _show(kept, as_json)


@commands.command()
def sounds(
    performance: Performance,
    move: Annotated[
        list[str] | None, typer.Option(help="NUMBER=SECOND: let that sound begin there; repeat.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the sounds that are said and when, by number, and move where they begin."""
    from studio.services.clips.timeline import rows_of

    with opened(data_dir) as studio:
        kept = studio.performances.get(performance)
        for number, second in assignments(move or (), "=", "--move").items():
            if not number.isdecimal():
                raise UserInputError(f"{number[:40]!r} is no number of a sound.", "Write --move 12=1.34 .")
            studio.performances.move_boundary(kept.id, int(number), second)
        rows = rows_of(studio.performances.timeline(kept.id))
        said: Any = rows["phones"]
        lines = [f"{i:5}  {label:4} {start:8.3f} {end:8.3f}" for i, (label, start, end) in enumerate(said)]
        Output(as_json).result(rows, "\n".join(lines) or "Nothing is said.")


@commands.command()
def words(
    performance: Performance,
    mend: Annotated[
        list[str] | None,
        typer.Option(help='NUMBER=TEXT: that is what is said there; "" is silence.', show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the words that are said and when, by number, and mend one; only its own sounds are found anew."""
    from studio.services.clips.timeline import rows_of

    with opened(data_dir) as studio:
        kept = studio.performances.get(performance)
        for one in mend or ():
            number, equals, text = one.partition("=")
            if not number.isdecimal() or not equals:
                raise UserInputError(f"{one[:40]!r} mends no word.", 'Write --mend 3="going to" .')
            studio.performances.mend_word(kept.id, int(number), text)
        rows = rows_of(studio.performances.timeline(kept.id))
        said: Any = rows["words"]
        lines = [f"{i:5}  {start:8.3f} {end:8.3f}  {text}" for i, (text, start, end) in enumerate(said)]
        Output(as_json).result(rows, "\n".join(lines) or "No words are known.")


@commands.command()
def undo(performance: Performance, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Take the last change back."""
    with opened(data_dir) as studio:
        _show(studio.performances.undo(performance), as_json)


@commands.command()
def redo(performance: Performance, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Bring back what was taken back last."""
    with opened(data_dir) as studio:
        _show(studio.performances.redo(performance), as_json)


@commands.command()
def copy(
    performance: Performance,
    name: Annotated[str, typer.Argument(help="What the copy is called.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make another performance like this one."""
    with opened(data_dir) as studio:
        _show(studio.performances.copy(performance, name), as_json)


@commands.command()
def delete(performance: Performance, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete a performance with its history; clips made of it stay."""
    with opened(data_dir) as studio:
        kept = studio.performances.delete(performance)
        Output(as_json).result({"deleted": kept.id}, f"Deleted {kept.name}.")


@commands.command()
def play(
    performance: Performance,
    photo: Annotated[str, typer.Argument(help="A picture file, or the id of a photo in the studio.")],
    out: ClipFile,
    face: Face = None,
    size: Size = None,
    fps: FrameRate = 25,
    shutter: Shutter = 0,
    seconds: Seconds = None,
    speech: Annotated[Path | None, typer.Option(help="Another sound to be heard with it.", show_default=False)] = None,
    curves: Annotated[Path | None, typer.Option(help=f"Curves beside it, {_CURVES}.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a clip: the performance on a photo."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        request = studio.performances.request(
            performance,
            picture_of(studio, photo),
            face_index=None if face is None else face - 1,
            sound=sound_of(speech),
            size=size,
            frame_rate_hz=fps,
            shutter_degrees=shutter,
            seconds=seconds,
            format=clip_format_of(out).name,
        )
        result = timed(
            studio.animation.animate_file(
                request,
                out,
                curves=curves,
                on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left),
            )
        )
        output.result(result, clip_text(result))


@commands.command()
def export(
    performance: Performance,
    out: Annotated[Path, typer.Argument(help="File to write, .performance.zip.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a performance with its sounds and curves into one file."""
    with opened(data_dir) as studio:
        path = studio.performances.export(performance, out)
        size = path.stat().st_size
        Output(as_json).result({"path": path.absolute(), "bytes": size}, f"{path}  {size / 1e6:.1f} MB")


@commands.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    name: Annotated[str, typer.Option(help="What it is called here.", show_default=False)] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Read a performance that was exported."""
    with opened(data_dir) as studio:
        _show(studio.performances.import_file(path, name), as_json)


def _neutral(text: str) -> float | str | None:
    if text in ("calm", "none"):
        return None if text == "none" else "calm"
    try:
        return float(text)
    except ValueError as exc:
        raise UserInputError(f"{text!r} is no face at rest.", "Write a second, calm, or none.") from exc


def _body(kept: KeptPerformance) -> Mapping[str, Any]:
    return {
        "id": kept.id, "name": kept.name, "identity_id": kept.identity_id, "undoes": kept.undoes,
        "redoes": kept.redoes, "document": kept.document.as_json(),
    }  # fmt: skip


def _show(kept: KeptPerformance, as_json: bool) -> None:
    document = kept.document
    lines = [f"{kept.name}  ({kept.id})  {document.duration_seconds:.1f} s"]
    lines += [_layer_line(one) for one in reversed(document.layers)] or ["  no layers"]
    lines += [f"  emotion {m.emotion} {m.strength:g} at {m.seconds:g} s" for m in document.emotions]
    lines += [f"  undo: {kept.undoes}"] if kept.undoes else []
    lines += [f"  redo: {kept.redoes}"] if kept.redoes else []
    Output(as_json).result(_body(kept), "\n".join(lines))


def _layer_line(one: Layer) -> str:
    """Return one layer as a line."""
    where = "whole face" if set(one.regions) == set(REGIONS) else ", ".join(one.regions) or "nowhere"
    when = "" if one.start_seconds == 0 and one.end_seconds is None else f", from {one.start_seconds:g} s"
    when += "" if one.end_seconds is None else f" to {one.end_seconds:g} s"
    off = "" if one.on else ", off"
    return f"  {one.id:14} {one.kind:10} {one.amount:4.2f} {one.blend:8} {where}{when}{off}{_held(one)}"


def _held(one: Layer) -> str:
    values: Sequence[str] = ()
    if one.kind == "expression":
        values = [f"{name}={value:g}" for name, value in one.values.items()]
    elif one.kind == "keyframes":
        values = [f"{k.control}={k.value:g}@{k.seconds:g}" for k in one.keys]
    elif isinstance(one, SpeechLayer) and one.transcript:
        return f"  “{' '.join(one.transcript.split())[:40]}”"
    return f"  {' '.join(values[:6])}{' …' if len(values) > 6 else ''}" if values else ""
