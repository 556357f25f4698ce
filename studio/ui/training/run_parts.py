"""A training run as the page shows it: its head with the numbers, its plots, and the list of runs.

Pure functions from values to HTML. Everything comes from rows, so a refresh
or a second browser shows the same; nothing here asks a service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median

from studio.domain.job import Job
from studio.domain.likeness import likeness_figure
from studio.domain.training import Calibration, TrainingRun, more_steps
from studio.services.training.states import RunState
from studio.ui.kit import text
from studio.ui.kit.plots import Band, Line, Plot, Point, figure, smoothed

Metrics = Mapping[str, Sequence[Point]]
STATE_WORDS = {
    "waiting": "Waiting", "training": "Training", "stopped": "Stopped", "interrupted": "Interrupted",
    "failed": "Failed", "done": "Trained",
}  # fmt: skip
TONES = {"waiting": "", "training": "busy", "interrupted": "warn", "failed": "bad", "done": "good"}


# -- head -------------------------------------------------------------------------


def state_words(state: RunState, job: Job | None) -> str:
    """Return the run's state in a word."""
    if job is not None and job.is_active and job.cancel_requested:
        return "Stopping, saving what was learned"
    return STATE_WORDS[state.state]


def head(state: RunState, job: Job | None, metrics: Metrics, log_tail: str = "", *, asking: bool = False) -> str:
    """Return the card at the top of a run: what it is, how far, how fast, and what can be done.

    Args:
        asking: the person pressed Delete and has not yet confirmed it.
    """
    run, color = state.run, TONES.get(state.state, "")
    losses, speeds, alike = (metrics.get(n) or () for n in ("loss", "steps_per_second", "likeness"))
    left = job.seconds_left if job is not None and job.is_active else None
    numbers = [
        (f"{state.step}", f"of {state.steps} steps"),
        (text.span(left), "left"),
        (f"{median(v for _, v in speeds[-20:]):.2g}" if speeds else "", "steps per second"),
        (f"{smoothed(losses)[-1][1]:.3f}" if losses else "", "loss, smoothed"),
        (likeness_figure(alike[-1][1]) if alike else "", "likeness (own photos 1)"),
    ]
    stats = "".join(f"<div><b>{escape(v)}</b><span>{escape(k)}</span></div>" for v, k in numbers if v)
    meter = doing = ""
    if state.can_stop:
        meter = _meter(run.name, state.step / state.steps)
        doing = f'<p class="doing">{escape(state.sentence)}</p>'
    return (
        f'<section class="run {color}" data-run="{escape(run.id)}" data-state="{state.state}">'
        f'<div class="top"><h3>{escape(run.name)}</h3>'
        f'<span class="state {color}">{escape(state_words(state, job))}</span>'
        f'<div class="acts">{_acts(state, job)}</div></div>'
        f'<p class="meta">{escape(_plan_words(run))}</p><div class="stats">{stats}</div>{meter}{doing}'
        f"{_ending(state, log_tail)}{_question(run) if asking else ''}</section>"
    )


def _acts(state: RunState, job: Job | None) -> str:
    """Return the buttons of what a person can do with the run now."""
    run = state.run
    buttons = {
        "stop": ("stop", "Stop and keep"),
        "more": ("more", f"Train on to {more_steps(state.steps)}"),
        "continue": ("continue", "Continue"),
        "start again": ("continue", "Start again"),
        "delete": ("delete", "Delete"),
    }
    chosen = (buttons[action] for action in state.actions(job))
    return "".join(text.button(act, run.id, label, f"{label}: {run.name}") for act, label in chosen)


def _plan_words(run: TrainingRun) -> str:
    plan = run.plan
    what = "DreamBooth" if plan.method == "dreambooth" else f"LoRA, rank {plan.rank}"
    photos = f"{len(run.photos)} photo{'s' if len(run.photos) != 1 else ''}"
    return f"{plan.base} · {what} · “{plan.trigger} {plan.class_word}” · {photos} · seed {plan.seed}"


def _ending(state: RunState, log_tail: str) -> str:
    if state.can_stop:
        return ""
    if state.state not in ("failed", "interrupted"):
        return f'<p class="fine">{escape(state.sentence)}</p>'
    run = state.run
    said = text.notice(state.sentence, tone="bad" if state.state == "failed" else "warn")
    lines = ""
    if log_tail:
        lines = (
            f'<details class="log" data-key="log-{escape(run.id)}"><summary>Last lines of the log</summary>'
            f"<pre>{escape(log_tail)}</pre></details>"
        )
    smaller = text.button("smaller", run.id, "Try a smaller preset", f"Try a smaller preset than {run.name}")
    return f'<div class="ending">{said}{lines}<div class="acts">{smaller}</div></div>'


def _question(run: TrainingRun) -> str:
    return (
        '<div class="notice bad" role="alert"><strong>Delete this run with its samples and checkpoints?</strong>'
        "<span>Adapters kept from it stay.</span>"
        f"{text.button('delete-now', run.id, 'Delete for good', f'Delete {run.name} for good')}"
        f"{text.button('leave', run.id, 'Leave it', f'Do not delete {run.name}')}</div>"
    )


def _meter(title: str, share: float) -> str:
    return (
        f'<div class="meter" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(share * 100)}" aria-label="Progress of {escape(title)}">'
        f'<i style="--share:{max(share, 0.01):.3f}"></i></div>'
    )


# -- plots ------------------------------------------------------------------------


def plots(run: TrainingRun, metrics: Metrics, suggested_step: int | None = None, beside: str = "") -> str:
    """Return the three plots: likeness with the own photos' spread, loss, drift; and a figure `beside` them."""
    losses, end = metrics.get("loss") or (), float(run.plan.steps)
    soft = smoothed(losses, 0.94)
    mark = (float(suggested_step), f"suggested: step {suggested_step}") if suggested_step is not None else None
    falls = f"The smoothed loss is {soft[-1][1]:.3f} after step {soft[-1][0]:g}." if soft else ""
    drawn = [
        _likeness_plot(run.calibration, metrics, end, mark),
        Plot(
            "Loss",
            falls,
            [Line("every step", losses, "faint"), Line("smoothed", soft)],
            x_end=end,
            empty="Appears with the first steps.",
        ),
        Plot(
            "Drift of other people",
            "How far pictures of the class have moved from the base's.",
            [Line("drift", [(x, 100 * y) for x, y in metrics.get("drift") or ()], dots=True)],
            form="{:.2g} %".format,
            y_range=(0.0, 2.0),
            x_end=end,
            empty="Appears with the first samples.",
        ),
    ]
    return '<div class="plots">' + "".join(figure(p) for p in drawn) + beside + "</div>"


def _likeness_plot(
    calibration: Calibration | None, metrics: Metrics, end: float, mark: tuple[float, str] | None
) -> Plot:
    points, distances = metrics.get("likeness") or (), metrics.get("distance") or ()
    if calibration is None and distances:
        about = "Distance of the samples to the person's one photo; smaller is more alike. A scale needs two photos."
        return Plot("Distance to the photo", about, [Line("samples", distances, dots=True)], x_end=end, mark=mark)
    band = None
    about = "Likeness of the samples to the person: 0 is a stranger, 1 as alike as the person's own photos."
    if calibration is not None:
        band = Band(1 - calibration.spread, 1 + calibration.spread, "own photos")
        about += f" The own photos vary by {likeness_figure(calibration.spread)}."
    lines = [Line("samples", points, dots=True)]
    empty = "Appears with the first samples."
    return Plot("Likeness", about, lines, likeness_figure, (0.0, 1.0), end, band, mark, empty)


# -- history --------------------------------------------------------------------------


def history(rows: Sequence[tuple[RunState, Job | None, str]], selected: str | None) -> str:
    """Return all runs as cards; each row is (state, its job, address of a picture)."""
    items = [
        text.Card(
            state.run.id,
            state.run.name,
            f"{state_words(state, job)} · {state.step} of {state.steps} · {text.when(state.run.created)}",
            url,
            tone={"failed": "bad", "interrupted": "warn"}.get(state.state, ""),
            act="run",
            icon="train",
            selected=state.run.id == selected,
        )
        for state, job, url in rows
    ]
    return text.cards(items, "column", "Runs")
