"""A training run as the page shows it: its head with the numbers, its plots, and the list of runs.

Pure functions from values to HTML. Everything comes from rows, so a refresh
or a second browser shows the same; nothing here asks a service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from studio.domain.job import Job
from studio.domain.training import Calibration, TrainingRun
from studio.ui import jobcard, text
from studio.ui.plots import Band, Line, Plot, Point, figure, smoothed

Metrics = Mapping[str, Sequence[Point]]
STATE_WORDS = {"running": "Training", "done": "Trained", "cancelled": "Stopped"}


# -- head -------------------------------------------------------------------------


def state_words(run: TrainingRun, job: Job | None) -> str:
    """Return the run's state in one word or two."""
    if job is None:
        return "Ended" if run.outcome else "Not started"
    if job.is_active:
        return "Stopping" if job.cancel_requested else STATE_WORDS.get(job.state, jobcard.STATE_WORDS[job.state])
    return STATE_WORDS.get(job.state, jobcard.STATE_WORDS[job.state])


def steps_per_second(job: Job | None, metrics: Metrics, steps: int) -> float | None:
    """Return the speed that the seconds left stand for; None while unknown."""
    if job is None or not job.is_active or not job.seconds_left:
        return None
    done = metrics["loss"][-1][0] if metrics.get("loss") else 0.0
    return (steps - done) / job.seconds_left if steps > done else None


def head(run: TrainingRun, job: Job | None, metrics: Metrics, *, log_tail: str = "", can_continue: bool = False) -> str:
    """Return the card at the top of a run: what it is, how far, how fast, and what can be done."""
    state = job.state if job else "done"
    color = jobcard.TONES.get(state, "")
    losses = metrics.get("loss") or ()
    step, steps = int(losses[-1][0]) if losses else 0, run.plan.steps
    speed = steps_per_second(job, metrics, steps)
    alike = [v for _, v in metrics.get("likeness") or ()]
    numbers = [
        (f"{step}", f"of {steps} steps"),
        (text.span(job.seconds_left) if job and job.is_active and job.seconds_left is not None else "", "left"),
        (f"{speed:.2g}" if speed else "", "steps per second"),
        (f"{smoothed(losses)[-1][1]:.3f}" if losses else "", "loss"),
        (text.fraction(alike[-1]) if alike else "", "likeness of 1"),
    ]
    stats = "".join(f"<div><b>{escape(v)}</b><span>{escape(k)}</span></div>" for v, k in numbers if v)
    doing = f'<p class="doing">{escape(job.message)}</p>' if job and job.is_active and job.message else ""
    meter = _meter(run.name, job.fraction) if job and job.is_active else ""
    acts = "".join(text.button(a, run.id, label, f"{label}: {run.name}") for a, label in acts_of(job, can_continue))
    return (
        f'<section class="run {color}" data-run="{escape(run.id)}" data-state="{escape(state)}">'
        f'<div class="top"><h3>{escape(run.name)}</h3>'
        f'<span class="state {color}">{escape(state_words(run, job))}</span><div class="acts">{acts}</div></div>'
        f'<p class="meta">{escape(_plan_words(run))}</p><div class="stats">{stats}</div>{meter}{doing}'
        f"{_ending(run, job, log_tail)}</section>"
    )


def acts_of(job: Job | None, can_continue: bool) -> list[tuple[str, str]]:
    """Return (act, label) of what a person can do with the run now."""
    if job is not None and job.can_cancel:
        return [("stop", "Stop and keep")]
    if job is not None and job.is_active:
        return []
    return [("continue", "Continue")] if can_continue else []


def _plan_words(run: TrainingRun) -> str:
    plan = run.plan
    what = "DreamBooth" if plan.method == "dreambooth" else f"LoRA, rank {plan.rank}"
    return f"{plan.base} · {what} · “{plan.trigger} {plan.class_word}” · {len(run.photos)} photos · seed {plan.seed}"


def _ending(run: TrainingRun, job: Job | None, log_tail: str) -> str:
    if job is not None and job.failure and job.state in ("failed", "interrupted"):
        said = text.notice(job.failure.message, job.failure.hint, "bad" if job.state == "failed" else "warn")
        smaller = text.button("smaller", run.id, "Try a smaller preset", f"Try a smaller preset than {run.name}")
        lines = ""
        if log_tail:
            lines = (
                f'<details class="log" data-key="log-{escape(run.id)}"><summary>Last lines of the log</summary>'
                f"<pre>{escape(log_tail)}</pre></details>"
            )
        return f'<div class="ending">{said}{lines}<div class="acts">{smaller}</div></div>'
    if run.outcome and (job is None or not job.is_active):
        return f'<p class="fine">{escape(run.outcome)}</p>'
    return ""


def _meter(title: str, share: float) -> str:
    return (
        f'<div class="meter" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(share * 100)}" aria-label="Progress of {escape(title)}">'
        f'<i style="--share:{max(share, 0.01):.3f}"></i></div>'
    )


# -- plots ------------------------------------------------------------------------


def plots(run: TrainingRun, metrics: Metrics, suggested_step: int | None = None) -> str:
    """Return the three plots: loss, likeness with the own photos' spread, drift."""
    losses, end = metrics.get("loss") or (), float(run.plan.steps)
    soft = smoothed(losses, 0.94)
    mark = (float(suggested_step), f"suggested: step {suggested_step}") if suggested_step is not None else None
    falls = f"The smoothed loss is {soft[-1][1]:.3f} after step {soft[-1][0]:g}." if soft else ""
    drawn = [
        Plot(
            "Loss",
            falls,
            [Line("every step", losses, "faint"), Line("smoothed", soft)],
            x_end=end,
            mark=mark,
            empty="Appears with the first steps.",
        ),
        _likeness_plot(run.calibration, metrics.get("likeness") or (), end, mark),
        Plot(
            "Drift of other people",
            "How far pictures of the class have moved from the base's.",
            [Line("drift", [(x, 100 * y) for x, y in metrics.get("drift") or ()], dots=True)],
            form="{:.2g} %".format,
            y_range=(0.0, 2.0),
            x_end=end,
            mark=mark,
            empty="Appears with the first samples.",
        ),
    ]
    return '<div class="plots">' + "".join(figure(p) for p in drawn) + "</div>"


def _likeness_plot(
    calibration: Calibration | None, points: Sequence[Point], end: float, mark: tuple[float, str] | None
) -> Plot:
    band = None
    about = "Likeness of the samples to the person: 0 is a stranger, 1 as alike as the person's own photos."
    if calibration is not None:
        band = Band(1 - calibration.spread, 1 + calibration.spread, "own photos")
        about += f" The own photos vary by {calibration.spread:.2f}."
    empty = "Appears with the first samples."
    if calibration is None and not points:
        empty = "Needs two photos with a face; this run could not be measured."
    lines = [Line("samples", points, dots=True)]
    return Plot("Likeness", about, lines, text.fraction, (0.0, 1.0), end, band, mark, empty)


# -- history --------------------------------------------------------------------------


def history(rows: Sequence[tuple[TrainingRun, Job | None, str]], selected: str | None) -> str:
    """Return all runs as cards; each row is (run, its job, address of a picture)."""
    if not rows:
        return '<p class="fine">No runs yet.</p>'
    items = [
        text.Card(
            run.id,
            run.name,
            f"{state_words(run, job)} · {text.when(run.created)}",
            url,
            tone={"failed": "bad", "interrupted": "warn"}.get(job.state if job else "", ""),
            act="run",
            icon="train",
            selected=run.id == selected,
        )
        for run, job, url in rows
    ]
    return text.cards(items, "column", "Runs")
