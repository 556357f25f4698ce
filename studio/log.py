"""Logging for every process of the studio, with job and project on each record.

Records go to stderr, so that stdout stays free for `--json`. Which job or
project is being worked on lives in context variables: set them with `about`,
and every record made inside says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FORMAT = "%(asctime)s %(levelname)-7s %(name)s%(about)s %(message)s"
_job: ContextVar[str] = ContextVar("job", default="")
_project: ContextVar[str] = ContextVar("project", default="")


class AboutFilter(logging.Filter):
    """Adds `job`, `project` and the printable `about` to a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Fill in the fields; keeps every record."""
        ids = {"job": _job.get(), "project": _project.get()}
        parts = [f"{name}={value}" for name, value in ids.items() if value]
        record.__dict__.update(ids, about=f" [{' '.join(parts)}]" if parts else "")
        return True


def configure(level: int | str = logging.INFO) -> None:
    """Send the studio's records to stderr; calling it again only changes the level."""
    logger = logging.getLogger("studio")
    logger.setLevel(level)
    if not any(isinstance(f, AboutFilter) for h in logger.handlers for f in h.filters):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT))
        handler.addFilter(AboutFilter())
        logger.addHandler(handler)


@contextmanager
def about(*, job: str = "", project: str = "") -> Iterator[None]:
    """Name the job or project of all records made inside the block (in this thread)."""
    tokens = [(variable, variable.set(value)) for variable, value in ((_job, job), (_project, project)) if value]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)
