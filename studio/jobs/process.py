"""Which process holds a job, and whether it still lives.

A pid is given to another process sooner or later, so a process is named by its
pid together with the moment it started. A process on another computer cannot
be looked at; of it only the heartbeat speaks.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime

import psutil

from studio.domain.job import Claim

HEARTBEAT_SECONDS = 2.0
SILENT_SECONDS = 60.0
"""After so long without a heartbeat a process counts as gone, though its pid may live (hung, or a sleeping laptop)."""

_START_TOLERANCE_SECONDS = 2.0  # the system's idea of its boot time moves when the clock is set


def own_claim() -> Claim:
    """Return a new claim of this process; every hold has its own token."""
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    return Claim(token=secrets.token_hex(16), pid=pid, process_started=started, host=socket.gethostname())


def is_gone(claim: Claim, heartbeat: datetime | None, now: datetime) -> str:
    """Say why the claim's process no longer works on what it holds; empty when it does.

    Args:
        heartbeat: when it was last heard of.
        now: the present moment.
    """
    if heartbeat is None or (now - heartbeat).total_seconds() > SILENT_SECONDS:
        return f"its process was not heard of for {SILENT_SECONDS:.0f} seconds"
    if claim.host != socket.gethostname():
        return ""
    try:
        process = psutil.Process(claim.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return "its process ended"
        if abs(process.create_time() - claim.process_started) > _START_TOLERANCE_SECONDS:
            return "its process ended (the system has given its number to another)"
    except psutil.NoSuchProcess:
        return "its process ended"
    except psutil.AccessDenied:
        return ""  # it lives under another account; its heartbeat decides
    return ""


def end_children() -> None:
    """End every process this one started, and theirs, at once."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def explain_exit(code: int | None) -> tuple[str, str]:
    """Say in a sentence and a hint how a process ended.

    Args:
        code: its exit code; negative is a signal's number, None is unknown.
    """
    if code in (-9, 137):
        return (
            "The worker process was killed by the system or by somebody (signal 9).",
            "This is what happens when memory runs out: close other programs or choose a smaller size, then resume.",
        )
    if code in (-11, 139, -6, 134, 0xC0000005, -1073741819):
        return (
            f"The worker process crashed inside a library (exit code {code}).",
            "Resume the job; if it crashes again, report the log below.",
        )
    if code in (-2, -15, 130, 143):
        return "The worker process was told to end.", "Resume the job."
    if code is None:
        return "The worker process ended.", "Resume the job."
    return f"The worker process ended by itself (exit code {code}).", "Look at the log below, then resume the job."
