"""Long work: watch it, stop it, start it again."""

from __future__ import annotations

import time
from typing import Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened, opened_studio

commands = typer.Typer(help="Long work: watch it, stop it, start it again.", **OPTIONS)


def _job_line(job: Any) -> str:
    left = "" if job.seconds_left is None else f"  {job.seconds_left:.0f} s left"
    why = f"  {job.failure.message}" if job.failure else ""
    return f"{job.id}  {job.state:11} {job.fraction:4.0%}  {job.title}{left}{why}"


@commands.command("list")
def jobs_list(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List jobs, newest first."""
    with opened(data_dir) as studio:
        found = studio.jobs.list()
        Output(as_json).result(found, "\n".join(map(_job_line, found)) or "No jobs.")


@commands.command("watch")
def jobs_watch(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Follow a job to its end; works on it here when no studio is open."""
    output = Output(as_json)
    with opened_studio(data_dir) as studio:
        jobs = studio.for_owner().jobs
        row = jobs.get(job)
        if row.is_active:
            studio.start_worker()
        while row.is_active:
            time.sleep(0.25)
            row = jobs.get(job)
            output.progress(row.fraction, row.message or row.state, row.seconds_left)
        output.result(row, _job_line(row))
        if row.state != "done":
            raise typer.Exit(4)


@commands.command("cancel")
def jobs_cancel(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop a job."""
    with opened(data_dir) as studio:
        row = studio.jobs.cancel(job)
        Output(as_json).result(row, _job_line(row))


@commands.command("retry")
def jobs_retry(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Start a job afresh as a new attempt; it runs while a studio is open, or under `jobs watch`."""
    with opened(data_dir) as studio:
        row = studio.jobs.retry(job)
        Output(as_json).result(row, _job_line(row))
