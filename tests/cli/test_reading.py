"""Whoever only looks at things waits for nobody, however long somebody else writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.store import database

READING = [
    ["identity", "list"],
    ["identity", "show", "Ann"],
    ["identity", "consent", "Ann"],
    ["library", "list"],
    ["library", "show", "{render}"],
    ["library", "show", "{file}"],
    ["library", "verify"],
    ["library", "export", "{render}", "{out}"],
    ["jobs", "list"],
    ["runs", "list"],
    ["runs", "presets"],
    ["adapter", "list"],
    ["base", "list"],
    ["controls"],
    ["doctor"],
]


@pytest.fixture
def held(run, tmp_path: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A studio with a person and a picture, whose database another program writes to without end.

    A file waits to be deleted, a note was left, and a job says that a process works on it which is gone: at a
    start all of this is tidied up.
    """
    assert run("identity", "add", "Ann", astronaut).code == 0
    photo = run("identity", "show", "Ann", "--json").json["photos"][0]["id"]
    assert run("edit", photo, "--set", "smile=.5", "--out", tmp_path / "smile.png").code == 0
    render = run("library", "list", "--json").json["renders"][0]["id"]
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    other = sqlite3.connect(tmp_path / "data" / "studio.db", isolation_level=None)
    other.execute("INSERT INTO media_doomed (owner, file_name) VALUES ('local', ?)", ["0" * 64 + ".png"])
    other.execute(
        "INSERT INTO jobs (id, owner, kind, params, state, position, created, started, heartbeat, claim, pid,"
        " process_started, host)"
        " VALUES ('gone', 'local', 'curate', '{}', 'running', 1, ?1, ?1, ?1, 'token', 1, 1.0, 'elsewhere')",
        ["2026-01-01T00:00:00.000000Z"],
    )
    (tmp_path / "data" / "media" / "incoming" / "0123456789abcde.note").write_text("")
    other.execute("BEGIN IMMEDIATE")
    yield {"render": render, "file": str(tmp_path / "smile.png"), "out": str(tmp_path / "out.png")}
    other.execute("ROLLBACK")
    other.close()


def test_every_reading_command_answers_while_another_program_writes(run, held) -> None:
    for arguments in READING:
        ran = run(*(a.format(**held) for a in arguments), "--json")
        assert ran.code == 0, (arguments, ran.err)
    assert run("identity", "add", "Bob", held["file"]).code == 4, "a writer does wait"
    assert run("library", "show", "nothing").code == 3
