"""Small real kinds of jobs, and the workplace that a real worker process builds from them."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from studio.errors import JobCancelled, UserInputError
from studio.jobs.kinds import JobContext, JobKind, Workplace, table_of
from studio.store import Store
from tests.patience import wait_until

STEP_SECONDS = 0.02
GO = "go"
"""A file of this name in the work folder lets a run go on that waits for the test."""


class Count(BaseModel):
    """How far to count.

    Attributes:
        hold_at: the first attempt waits at this step until somebody ends it.
    """

    steps: int = 5
    seconds_per_step: float = 0.01
    hold_at: int | None = None


class Nothing(BaseModel):
    pass


class Exit(BaseModel):
    code: int = 137


def count(params: Count, context: JobContext) -> Mapping[str, Any]:
    """Count, and after an interruption go on where it stopped: finished steps are files in the work folder."""
    begun_at = len(list(context.work_folder.iterdir()))
    for step in range(begun_at, params.steps):
        context.check_cancelled()
        while step == params.hold_at and context.job.attempt == 1:
            context.check_cancelled()
            time.sleep(STEP_SECONDS)
        time.sleep(params.seconds_per_step)
        (context.work_folder / f"{step:05d}").write_text("done")
        context.save_checkpoint({"step": step + 1})
        context.progress((step + 1) / params.steps, f"step {step + 1}", b"\x89PNG%d" % step)
        context.log(f"counted {step}")
    return {"counted": params.steps, "begun_at": begun_at}


def fail(params: Nothing, context: JobContext) -> None:
    for number in range(60):
        context.log(f"line {number}")
    raise UserInputError("The sound is silent.", "Choose another.")


def break_down(params: Nothing, context: JobContext) -> None:
    logging.getLogger("studio.engines").warning("about to divide")
    raise ZeroDivisionError("division by zero")


def eat(params: Nothing, context: JobContext) -> None:
    """Ask for more memory than any machine has; the system refuses."""
    bytearray(1 << 60)


def leave(params: Exit, context: JobContext) -> None:
    context.log("leaving")
    wait_until((context.work_folder / GO).exists)
    print("last words of the process", flush=True)
    os._exit(params.code)


def ignore(params: Nothing, context: JobContext) -> None:
    """Start a child, count, and never stop."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    for step in itertools.count(1):
        with suppress(JobCancelled):
            context.save_checkpoint({"child": child.pid, "step": step})
        time.sleep(STEP_SECONDS)


def give_nonsense(params: Nothing, context: JobContext) -> Mapping[str, Any]:
    return {"path": Path("not json")}


def ask_tools(params: Nothing, context: JobContext) -> Mapping[str, Any]:
    return {"tools": context.service, "owner": context.job.owner, "pid": os.getpid()}


COUNT = JobKind("count", "Count", Count, count, service="toolbox")
FAIL = JobKind("fail", "Fail", Nothing, fail, service="toolbox")
BREAK = JobKind("break", "Break down", Nothing, break_down, service="toolbox")
EAT = JobKind("eat", "Eat memory", Nothing, eat, service="toolbox")
LEAVE = JobKind("leave", "Leave", Exit, leave, service="toolbox")
IGNORE = JobKind("ignore", "Ignore", Nothing, ignore, service="toolbox")
NONSENSE = JobKind("nonsense", "Give nonsense", Nothing, give_nonsense, service="toolbox")
SLOW = JobKind("slow", "Count slowly", Count, count, service="toolbox", lane="long")
TOOLS = JobKind("tools", "Ask for tools", Nothing, ask_tools, service="toolbox")

KINDS = table_of(COUNT, FAIL, BREAK, EAT, LEAVE, IGNORE, NONSENSE, SLOW, TOOLS)


@dataclass(frozen=True)
class Services:
    """What an owner has here: a toolbox with a word in it."""

    toolbox: str


def workplace(data_dir: str, tools: str = "") -> Workplace:
    return Workplace(Store(Path(data_dir)), KINDS, services=lambda owner: Services(f"{tools} of {owner}"))
