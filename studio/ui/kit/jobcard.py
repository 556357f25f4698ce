"""A job as the page shows it: state, bar, seconds left, newest frame, buttons.

Used by the Animate and the Jobs tab. A job is read from its row each time; the
page holds none of it, so a refresh or a second browser shows the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from studio.domain.job import Job
from studio.ui.kit import text

STATE_WORDS = {
    "queued": "Waiting",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "interrupted": "Interrupted",
}
TONES = {"done": "good", "failed": "bad", "interrupted": "warn", "running": "busy"}


def state_words(job: Job, *, keeps_its_work: bool = False) -> str:
    """Return the state in words, with what is going on right now."""
    if job.is_active and job.cancel_requested:
        return "Stopping"
    if keeps_its_work and job.state == "cancelled":
        return "Stopped"
    return STATE_WORDS[job.state]


def timing(job: Job, now: datetime | None = None) -> str:
    """Return seconds left of a running job, or how long a finished one took and when."""
    if job.state == "running":
        left = (
            f"about {text.span(job.seconds_left)} left" if job.seconds_left is not None else "measuring the time left"
        )
        return f"{round(job.fraction * 100)} % · {left}"
    if job.state == "queued":
        return f"since {text.when(job.created)}"
    took = ""
    if job.started and job.finished:
        took = f"took {text.span((job.finished - job.started).total_seconds())} · "
    return took + text.when(job.finished or job.created, now or datetime.now(UTC))


def buttons(job: Job, *, with_open: bool = True, keeps_its_work: bool = False) -> list[tuple[str, str]]:
    """Return (act, label) of everything a person can do with the job now."""
    out = []
    if job.can_cancel:
        out.append(("cancel", "Cancel"))
    if job.state == "interrupted":
        out.append(("resume", "Resume"))
    if job.can_retry and job.state != "done" and not keeps_its_work:
        out.append(("retry", "Try again"))
    if with_open and job.state == "done" and (job.outputs.get("render_id") or job.outputs.get("render_ids")):
        out.append(("show", "Show in Library"))
    if with_open and not job.is_active:
        out.append(("forget", "Clear"))
    return out


def card(
    job: Job,
    preview_url: str = "",
    log_tail: str = "",
    *,
    with_open: bool = True,
    icon: str = "library",
    keeps_its_work: bool = False,
) -> str:
    """Return one job as a card.

    Args:
        icon: names a file in assets/icons, shown while there is no picture.
        keeps_its_work: as `JobKind` says it.
    """
    tone = TONES.get(job.state, "")
    picture = f'<img src="{escape(preview_url)}" alt="Newest frame">' if preview_url else ""
    bar = ""
    if job.is_active:
        share = max(job.fraction, 0.02 if job.state == "running" else 0.0)
        bar = (
            f'<div class="meter" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{round(job.fraction * 100)}" aria-label="Progress of {escape(job.title)}">'
            f'<i style="--share:{share:.3f}"></i></div>'
        )
    acts = "".join(
        f'<button type="button" class="mini" data-act="{act}" data-id="{escape(job.id)}" '
        f'data-key="{act}-{escape(job.id)}" aria-label="{escape(label)}: {escape(job.title)}">{escape(label)}</button>'
        for act, label in buttons(job, with_open=with_open, keeps_its_work=keeps_its_work)
    )
    again = f" · attempt {job.attempt}" if job.attempt > 1 else ""
    same = job.outputs.get("same_frames")
    if same is not None:
        differ = "some frames differ from before"
        if job.outputs.get("marked_elsewhere"):
            differ = "the invisible mark is this studio's, before it was another's"
        again += f" · {'every frame is the same as before' if same else differ}"
    doing = f'<p class="doing">{escape(job.message)}</p>' if job.message and job.is_active else ""
    failure = ""
    if job.failure and job.state in ("failed", "interrupted"):
        failure = text.notice(*job.failure.in_window, "bad" if job.state == "failed" else "warn")
        if log_tail:
            failure += f"<details><summary>Last lines of the log</summary><pre>{escape(log_tail)}</pre></details>"
    glyph = f'<span class="glyph" style="--icon:var(--icon-{icon})" aria-hidden="true"></span>'
    return (
        f'<article class="job {tone}" data-job="{escape(job.id)}" data-state="{job.state}">'
        f'<span class="picture">{picture or glyph}</span><div class="body"><div class="top">'
        f"<strong>{escape(job.title or job.kind)}</strong>"
        f'<span class="state {tone}">{state_words(job, keeps_its_work=keeps_its_work)}</span></div>'
        f'<p class="meta">{escape(timing(job))}{again}</p>{doing}{bar}{failure}</div>'
        f'<div class="acts">{acts}</div></article>'
    )
