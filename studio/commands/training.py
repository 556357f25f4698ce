"""Personalization: `train` a person into a base model, and look after `runs`."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened
from studio.domain.likeness import likeness_figure
from studio.domain.training import Suggestion
from studio.errors import NotFoundError, UserInputError
from studio.outside import json_of

if TYPE_CHECKING:
    from studio.domain.training import Checkpoint, TrainingRun
    from studio.services.progress import Progress
    from studio.studio import OwnerServices

commands = typer.Typer(**OPTIONS)
runs = typer.Typer(help="Training runs: watch, stop, continue, judge, keep.", **OPTIONS)

Run = Annotated[str, typer.Argument(help="The run's id.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps in all.", show_default=False)]


@commands.command()
def train(
    identity: Annotated[str | None, typer.Argument(help="A person's name or id.", show_default=False)] = None,
    preset: Annotated[str, typer.Option(help="Plan; `studio runs presets` lists them.")] = "preview-quick",
    base: Annotated[str | None, typer.Option(help="Base model; default the preset's.", show_default=False)] = None,
    steps: Steps = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="setting=value; repeat.")] = None,
    name: Annotated[str, typer.Option(help="Name of the run.", show_default=False)] = "",
    keep: Annotated[
        str | None, typer.Option(help="Keep the suggested checkpoint as an adapter of this name.", show_default=False)
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Start even if it will not fit into memory.")] = False,
    continued: Annotated[
        str | None, typer.Option("--continue", help="Go on with this run instead.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Teach a base model a person, here and now; Ctrl-C saves, and --continue goes on."""
    output = Output(as_json)
    with opened(data_dir) as studio, _polite_interrupt(studio) as started:
        training = studio.training
        hear = _Progress(output)
        if continued is not None:
            if identity is not None or values:
                raise UserInputError("A continued run keeps its person and settings.", "Leave them out, or only steps.")
            _say_schedule(studio, continued, steps)
            run = training.go_on(continued, steps, on_start=started, on_progress=hear)
        elif identity is None:
            raise UserInputError("It is not said who is to be trained.", "Give a person, or --continue RUN.")
        else:
            person = studio.identities.get(identity)
            photos = len(studio.identities.photos(person.id))
            changes = _settings(values or ()) | ({"steps": steps} if steps else {}) | ({"base": base} if base else {})
            plan = training.plan(preset, photos=photos, **changes)
            for note in training.advice(person.id, plan):
                print(f"note: {note}", file=sys.stderr)
            run = training.train(person.id, plan, name, anyway=anyway, on_start=started, on_progress=hear)
        suggestion = studio.runs.suggestion(run.id)
        adapter = None
        if keep is not None and suggestion is not None:
            adapter = studio.runs.keep(suggestion.checkpoint.id, keep)
        body = _run_body(studio, run) | {"suggestion": suggestion, "adapter": adapter}
        lines = [_run_text(studio, run)]
        if suggestion is not None:
            lines += _suggested(suggestion)
        lines += [f"  kept as adapter {adapter.name}: {adapter.id}"] if adapter is not None else []
        output.result(body, "\n".join(lines))


@runs.command("list")
def runs_list(
    identity: Annotated[str | None, typer.Option(help="Only this person's.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with opened(data_dir) as studio:
        person = None if identity is None else studio.identities.get(identity).id
        found = studio.runs.list(person)
        text = "\n".join(_run_text(studio, run) for run in found) or "No training runs."
        Output(as_json).result({"runs": [_run_body(studio, run) for run in found]}, text)


@runs.command("presets")
def runs_presets(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the plans that --preset takes."""
    with opened(data_dir) as studio:
        found = studio.training.presets()
        text = "\n".join(f"{p.name:22} {p.memory_gb:3g} GB  {p.plan.steps:5} steps  {p.help}" for p in found)
        Output(as_json).result({"presets": found}, text)


@runs.command("show")
def runs_show(run: Run, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show one run with its curves and checkpoints."""
    with opened(data_dir) as studio:
        found = studio.runs.get(run)
        curves, checkpoints = studio.runs.metrics(run), studio.runs.checkpoints(run)
        body = _run_body(studio, found) | {
            "plan": found.plan, "metrics": curves, "checkpoints": checkpoints, "samples": studio.runs.samples(run),
            "suggestion": studio.runs.suggestion(run),
        }  # fmt: skip
        lines = [_run_text(studio, found)]
        lines += [f"  {name:17} {points[0][1]:.4g} -> {points[-1][1]:.4g}" for name, points in curves.items()]
        lines += [_checkpoint_text(found, c) for c in checkpoints]
        Output(as_json).result(body, "\n".join(lines))


@runs.command("stop")
def runs_stop(run: Run, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop a run that waits or trains; it saves first."""
    with opened(data_dir) as studio:
        job = studio.runs.stop(run)
        Output(as_json).result(job, f"{job.title}: asked to stop; it saves first.")


@runs.command("continue")
def runs_continue(run: Run, steps: Steps = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Go on with a run from its last checkpoint, here and now; more steps make it longer."""
    output = Output(as_json)
    with opened(data_dir) as studio, _polite_interrupt(studio) as started:
        _say_schedule(studio, run, steps)
        found = studio.training.go_on(run, steps, on_start=started, on_progress=_Progress(output))
        output.result(_run_body(studio, found), _run_text(studio, found))


@runs.command("checkpoints")
def runs_checkpoints(run: Run, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List a run's checkpoints with likeness and drift, and say which one to keep."""
    with opened(data_dir) as studio:
        found, best = studio.runs.checkpoints(run), studio.runs.suggestion(run)
        lines = [_checkpoint_text(studio.runs.get(run), c) for c in found] or ["No checkpoints yet."]
        lines += _suggested(best) if best else []
        Output(as_json).result({"checkpoints": found, "suggestion": best}, "\n".join(lines))


@runs.command("keep")
def runs_keep(
    run: Run,
    name: Annotated[str, typer.Argument(help="Name of the adapter.")],
    step: Annotated[int | None, typer.Option(help="Default the suggested one.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a checkpoint into the adapter library."""
    with opened(data_dir) as studio:
        chosen = _chosen(studio, run, step)
        adapter = studio.runs.keep(chosen.id, name)
        Output(as_json).result(adapter, f"{adapter.name}: {adapter.id}  (step {chosen.step}, say “{adapter.trigger}”)")


@runs.command("grid")
def runs_grid(
    run: Run,
    strength: Annotated[list[float] | None, typer.Option(help="Of the adapter; repeat.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="Default the run's first sample prompt; repeat.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Repeat for several.")] = None,
    out: Annotated[Path | None, typer.Option(help="Picture of the whole grid, .png.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Draw checkpoints by strengths with the same prompts and seeds, and compare their likeness."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        training = studio.training
        summary = training.draw_grid(
            run, tuple(strength or (0.6, 0.8, 1.0)), prompt or (), seed or (1,), on_progress=_Progress(output)
        )
        if out is not None:
            studio.runs.save_grid(run, out)
        lines = [
            f"step {r.step:6}  strength {r.strength:4g}  likeness {_number(r.likeness)}  "
            f"faces {r.faces}/{r.pictures}  votes {r.votes:+d}"
            for r in summary
        ]
        body = {
            "summary": summary,
            "cells": studio.runs.grid_cells(run),
            "path": None if out is None else out.absolute(),
        }
        output.result(body, "\n".join([*lines, *([str(out)] if out else [])]))


class _Progress:
    """Shows how far training is, with the seconds left."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._samples: deque[tuple[float, float]] = deque(maxlen=60)

    def __call__(self, progress: Progress) -> None:
        from studio.domain.job import estimate_seconds_left

        self._samples.append((time.monotonic(), progress.fraction))
        self._output.progress(progress.fraction, progress.stage, estimate_seconds_left(self._samples))


@contextmanager
def _polite_interrupt(studio: OwnerServices) -> Iterator[Any]:
    """Let the first Ctrl-C ask the run to save and stop; a second one ends it at once."""
    before = signal.getsignal(signal.SIGINT)

    def started(run: TrainingRun) -> None:
        def ask(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, before)
            print("\nStopping after this step; the run is saved first.", file=sys.stderr)
            studio.runs.stop(run.id)

        signal.signal(signal.SIGINT, ask)

    try:
        yield started
    finally:
        signal.signal(signal.SIGINT, before)


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse --set name=value; values that are JSON are read as such, so that lists can be given.

    Raises:
        UserInputError: a text has no name or no value.
    """
    out: dict[str, Any] = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found or not name.strip() or not value.strip():
            raise UserInputError(f"--set {text!r} is not a setting and a value.", "Write --set rank=16 .")
        try:
            out[name.strip()] = json_of(value)
        except ValueError:
            out[name.strip()] = value.strip()
    return out


def _suggested(best: Suggestion) -> list[str]:
    """Return the lines about the checkpoint to keep, or about what to do where none is like the person."""
    if best.is_alike:
        return [f"  best: step {best.checkpoint.step}. {best.reason}"]
    return [
        f"  none looks like the person yet; closest is step {best.checkpoint.step}. {best.reason}",
        f"  next: {best.next_step}",
    ]


def _say_schedule(studio: OwnerServices, run_id: str, steps: int | None) -> None:
    """Say on stderr what a longer run does to its learning rate."""
    note = "" if steps is None else studio.training.schedule_note(run_id, steps)
    if note:
        print(f"note: {note}", file=sys.stderr)


def _chosen(studio: OwnerServices, run_id: str, step: int | None) -> Checkpoint:
    """Return the checkpoint of a step, or the suggested one.

    Raises:
        NotFoundError: there is none.
    """
    if step is None:
        best = studio.runs.suggestion(run_id)
        if best is not None:
            return best.checkpoint
    for checkpoint in studio.runs.checkpoints(run_id):
        if checkpoint.step == step:
            return checkpoint
    what = "no checkpoints" if step is None else f"no checkpoint of step {step}"
    raise NotFoundError(f"The run has {what}.", "`studio runs checkpoints RUN` shows them.")


def _run_body(studio: OwnerServices, run: TrainingRun) -> dict[str, Any]:
    """Return a run as JSON values, with where it stands."""
    state = studio.runs.state(run.id)
    return {
        "id": run.id, "name": run.name, "identity_id": run.identity_id, "base": run.plan.base, "state": state.state,
        "step": state.step, "steps": state.steps, "sentence": state.sentence, "photos": len(run.photos),
        "calibration": run.calibration, "job_id": run.job_id, "created": run.created,
    }  # fmt: skip


def _run_text(studio: OwnerServices, run: TrainingRun) -> str:
    state = studio.runs.state(run.id)
    return f"{run.id}  {state.state:11} {state.step}/{state.steps}  {run.name}  {state.sentence}"


def _checkpoint_text(run: TrainingRun, checkpoint: Checkpoint) -> str:
    alike = None
    if run.calibration is not None and checkpoint.distance is not None:
        alike = run.calibration.likeness(checkpoint.distance)
    drift = "  -" if checkpoint.drift is None else f"{100 * checkpoint.drift:.1f} %"
    state = "can go on" if checkpoint.has_state else ""
    return f"  step {checkpoint.step:6}  likeness {_number(alike)}  drift {drift}  {state}".rstrip()


def _number(value: float | None) -> str:
    return "    -" if value is None else f"{likeness_figure(value):>5}"
