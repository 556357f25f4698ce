"""The tables of training runs: plan, curves, checkpoints, samples, and the grid with its votes.

Curves are narrow rows written many at a time. What a run leaves on the disk
for going on (optimizer state, class pictures) lies in its own folder,
runs/<id>, which only the trainer reads; weights of checkpoints and all
pictures are media like any other, so that they outlive the folder.
"""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.domain.training import Calibration, Checkpoint, GridCell, RunSample, SampleKind, TrainingPlan, TrainingRun
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media, disk_errors
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text

_CELLS = "SELECT g.*, c.step AS step FROM grid_cells g JOIN checkpoints c ON c.id = g.checkpoint_id"


class RunFolders:
    """The folders of all owners' runs; a run's id is its folder's name."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def path(self, id: str) -> Path:
        """Return a run's folder; not made here."""
        return self._folder / id

    def size(self, id: str) -> int:
        """Return the bytes in a run's folder."""
        with disk_errors():
            return sum(path.stat().st_size for path in self.path(id).rglob("*") if path.is_file())

    def finish_deletions(self) -> None:
        """Take folders of deleted runs off the disk, also those of a process that died.

        A folder is made only after its row, so one without a row is never somebody's who just begins.
        """
        for path in self.unfinished():
            shutil.rmtree(path, ignore_errors=True)

    def unfinished(self) -> list[Path]:
        """Return folders of deleted runs that are still on the disk."""
        if not self._folder.is_dir():
            return []
        with disk_errors():
            folders = [path for path in self._folder.iterdir() if path.is_dir()]
        known = {r[0] for r in self._database.rows("SELECT id FROM runs")}
        return [path for path in folders if path.name not in known]


class Runs:
    """Training runs of one owner."""

    def __init__(self, database: Database, media: Media, folders: RunFolders, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._media = media
        self._folders = folders

    def folder(self, id: str) -> Path:
        """Return the folder in which a run keeps what it needs for going on; not made here."""
        return self._folders.path(id)

    # -- runs ------------------------------------------------------------------

    def add(
        self,
        identity_id: str,
        plan: TrainingPlan,
        *,
        name: str,
        base_sha256: str,
        photos: Sequence[str],
        project_id: str | None = None,
    ) -> TrainingRun:
        """Record a run that is about to be queued.

        Raises:
            ConflictError: the person is not stored.
        """
        id = new_id()
        values = {
            "id": id, "owner": self._owner, "name": name.strip(), "plan": plan.model_dump_json(),
            "base_sha256": base_sha256, "photos": " ".join(photos), "identity_id": identity_id,
            "project_id": project_id, "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            self._database.insert("runs", values)
        return self.get(id)

    def get(self, id: str) -> TrainingRun:
        """Return one run.

        Raises:
            NotFoundError: no such run for this owner.
        """
        row = self._database.row("SELECT * FROM runs WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("training run", id, "`studio runs list`")
        return _run(row)

    def list(self, *, identity_id: str | None = None) -> tuple[TrainingRun, ...]:
        """Return runs, newest first, of one person or of all."""
        sql = "SELECT * FROM runs WHERE owner = ? AND (? IS NULL OR identity_id = ?) ORDER BY created DESC, id DESC"
        return tuple(_run(r) for r in self._database.rows(sql, [self._owner, identity_id, identity_id]))

    def change(
        self,
        id: str,
        *,
        job_id: str | None = None,
        plan: TrainingPlan | None = None,
        photos: Sequence[str] | None = None,
        calibration: Calibration | None = None,
        outcome: str | None = None,
        name: str | None = None,
    ) -> TrainingRun:
        """Change what is given; None leaves as it is.

        Raises:
            NotFoundError: no such run for this owner.
        """
        values = [
            job_id, None if plan is None else plan.model_dump_json(), None if photos is None else " ".join(photos),
            None if calibration is None else to_json(asdict(calibration)), outcome, name,
        ]  # fmt: skip
        with self._database.transaction():
            self.get(id)
            self._database.execute(
                "UPDATE runs SET job_id = coalesce(?, job_id), plan = coalesce(?, plan), photos = coalesce(?, photos),"
                " calibration = coalesce(?, calibration), outcome = coalesce(?, outcome), name = coalesce(?, name)"
                " WHERE owner = ? AND id = ?",
                [*values, self._owner, id],
            )
        return self.get(id)

    def delete(self, id: str) -> int:
        """Delete a run with its folder and the files nothing else needs; adapters kept from it stay.

        Returns:
            Bytes of media set free.

        Raises:
            NotFoundError: no such run for this owner.
            ConflictError: its job waits or runs.
        """
        with self._database.transaction():
            run = self.get(id)
            busy = self._database.value(
                "SELECT 1 FROM jobs WHERE owner = ? AND state IN ('queued', 'running') AND instr(params, ?)",
                [self._owner, run.id],
            )
            if busy is not None:
                raise ConflictError("A job of this run still waits or runs.", "Stop it first, then delete the run.")
            media = self._media.of_rows({"runs": [id]})
            self._database.execute("DELETE FROM runs WHERE owner = ? AND id = ?", [self._owner, id])
            freed = self._media.discard_unused(media)[1]
        self._media.finish_deletions()
        self._folders.finish_deletions()
        return freed

    def folder_bytes(self, id: str) -> int:
        """Return the size of what a run keeps for going on."""
        return self._folders.size(id)

    # -- curves ----------------------------------------------------------------

    def add_metrics(self, run_id: str, points: Iterable[tuple[str, int, float]]) -> None:
        """Write points (name, step, value) of the curves in one transaction; a step written again is replaced."""
        with self._database.transaction():
            for name, step, value in points:
                self._database.execute(
                    "INSERT OR REPLACE INTO run_metrics (run_id, owner, name, step, value) VALUES (?, ?, ?, ?, ?)",
                    [run_id, self._owner, name, step, value],
                )

    def metrics(self, run_id: str) -> Mapping[str, builtins.list[tuple[int, float]]]:
        """Return the curves by name: (step, value), by step."""
        rows = self._database.rows(
            "SELECT name, step, value FROM run_metrics WHERE owner = ? AND run_id = ? ORDER BY name, step",
            [self._owner, run_id],
        )
        curves: dict[str, list[tuple[int, float]]] = {}
        for name, step, value in rows:
            curves.setdefault(name, []).append((int(step), float(value)))
        return curves

    def last_step(self, run_id: str) -> int:
        """Return the last step on the curves; 0 before the first."""
        sql = "SELECT coalesce(max(step), 0) FROM run_metrics WHERE owner = ? AND run_id = ? AND name = 'loss'"
        return int(self._database.value(sql, [self._owner, run_id]))

    def forget_after(self, run_id: str, step: int) -> None:
        """Drop curve points and samples after a step: a run that goes on from there makes them anew."""
        with self._database.transaction():
            gone = self._database.rows(
                "SELECT media_sha256 FROM run_samples WHERE owner = ? AND run_id = ? AND step > ?",
                [self._owner, run_id, step],
            )
            for table in ("run_metrics", "run_samples"):
                self._database.execute(
                    f"DELETE FROM {table} WHERE owner = ? AND run_id = ? AND step > ?", [self._owner, run_id, step]
                )
            self._media.discard_unused([r[0] for r in gone])
        self._media.finish_deletions()

    # -- samples ---------------------------------------------------------------

    def add_sample(self, sample: RunSample) -> None:
        """Record a sample whose picture is in the media store; the same step, prompt and seed is replaced."""
        values = asdict(sample) | {"owner": self._owner}
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM run_samples WHERE run_id = ? AND step = ? AND kind = ? AND prompt = ? AND seed = ?",
                [sample.run_id, sample.step, sample.kind, sample.prompt, sample.seed],
            )
            self._database.insert("run_samples", values)

    def samples(self, run_id: str, *, step: int | None = None, kind: SampleKind | None = None) -> tuple[RunSample, ...]:
        """Return samples by step, then in the order in which they were drawn."""
        rows = self._database.rows(
            "SELECT * FROM run_samples WHERE owner = ? AND run_id = ? AND (? IS NULL OR step = ?)"
            " AND (? IS NULL OR kind = ?) ORDER BY step, number",
            [self._owner, run_id, step, step, kind, kind],
        )
        return tuple(_sample(r) for r in rows)

    # -- checkpoints -----------------------------------------------------------

    def put_checkpoint(
        self, run_id: str, step: int, media_sha256: str, *, loss: float | None, has_state: bool
    ) -> Checkpoint:
        """Record the checkpoint of a step; of a step reached again the row stays and takes the new weights.

        Raises:
            ConflictError: the weights or the run are not stored.
        """
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO checkpoints (id, owner, run_id, step, media_sha256, loss, has_state, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, step) DO UPDATE SET"
                " media_sha256 = excluded.media_sha256, loss = excluded.loss, has_state = excluded.has_state",
                [new_id(), self._owner, run_id, step, media_sha256, loss, int(has_state), to_text(now())],
            )
            row = self._database.row("SELECT * FROM checkpoints WHERE run_id = ? AND step = ?", [run_id, step])
        assert row is not None
        return _checkpoint(row)

    def measure_checkpoint(self, run_id: str, step: int, *, distance: float | None, drift: float | None) -> None:
        """Write what the samples of a step say about its checkpoint; without a checkpoint there nothing happens."""
        self._database.execute(
            "UPDATE checkpoints SET distance = ?, drift = ? WHERE owner = ? AND run_id = ? AND step = ?",
            [distance, drift, self._owner, run_id, step],
        )

    def keep_states(self, run_id: str, steps: Iterable[int]) -> None:
        """Record from which checkpoints training can go on: exactly those of `steps`."""
        held = sorted(set(steps))
        marks = ", ".join("?" for _ in held)
        self._database.execute(
            f"UPDATE checkpoints SET has_state = step IN ({marks}) WHERE owner = ? AND run_id = ?",
            [*held, self._owner, run_id],
        )

    def checkpoint(self, id: str) -> Checkpoint:
        """Return one checkpoint.

        Raises:
            NotFoundError: no such checkpoint for this owner.
        """
        row = self._database.row("SELECT * FROM checkpoints WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("checkpoint", id, "`studio runs checkpoints RUN`")
        return _checkpoint(row)

    def checkpoints(self, run_id: str) -> tuple[Checkpoint, ...]:
        """Return a run's checkpoints by step."""
        sql = "SELECT * FROM checkpoints WHERE owner = ? AND run_id = ? ORDER BY step"
        return tuple(_checkpoint(r) for r in self._database.rows(sql, [self._owner, run_id]))

    # -- the grid --------------------------------------------------------------

    def put_cell(
        self,
        run_id: str,
        checkpoint_id: str,
        strength: float,
        prompt: str,
        seed: int,
        media_sha256: str,
        distance: float | None,
    ) -> GridCell:
        """Record a cell; drawn again it keeps its vote.

        Raises:
            ConflictError: the picture or the checkpoint is not stored.
        """
        key = [checkpoint_id, strength, prompt, seed]
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO grid_cells (checkpoint_id, strength, prompt, seed, id, owner, run_id, media_sha256,"
                " distance, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (checkpoint_id, strength, prompt, seed) DO UPDATE SET"
                " media_sha256 = excluded.media_sha256, distance = excluded.distance",
                [*key, new_id(), self._owner, run_id, media_sha256, distance, to_text(now())],
            )
            row = self._database.row(
                f"{_CELLS} WHERE g.checkpoint_id = ? AND g.strength = ? AND g.prompt = ? AND g.seed = ?", key
            )
        assert row is not None
        return _cell(row)

    def cells(self, run_id: str) -> tuple[GridCell, ...]:
        """Return a run's grid by checkpoint, strength, prompt and seed."""
        rows = self._database.rows(
            f"{_CELLS} WHERE g.owner = ? AND g.run_id = ? ORDER BY c.step, g.strength, g.prompt, g.seed",
            [self._owner, run_id],
        )
        return tuple(_cell(r) for r in rows)

    def vote(self, cell_id: str, vote: int) -> GridCell:
        """Set a cell's vote.

        Raises:
            NotFoundError: no such cell for this owner.
        """
        self._database.execute(
            "UPDATE grid_cells SET vote = ? WHERE owner = ? AND id = ?", [vote, self._owner, cell_id]
        )
        row = self._database.row(f"{_CELLS} WHERE g.owner = ? AND g.id = ?", [self._owner, cell_id])
        if row is None:
            raise NotFoundError(
                f"There is no picture {cell_id!r} in a grid.",
                "Draw the grid anew.",
                window_message="That picture of the grid is not there any more.",
            )
        return _cell(row)


def _run(row: Row) -> TrainingRun:
    calibration = row["calibration"]
    return TrainingRun(
        id=row["id"], owner=row["owner"], name=row["name"], plan=TrainingPlan.model_validate_json(row["plan"]),
        base_sha256=row["base_sha256"], photos=tuple(row["photos"].split()), identity_id=row["identity_id"],
        job_id=row["job_id"], project_id=row["project_id"],
        calibration=None if calibration is None else Calibration(**to_mapping(calibration)),
        outcome=row["outcome"], created=to_moment(row["created"]),
    )  # fmt: skip


def _sample(row: Row) -> RunSample:
    names: tuple[str, ...] = ("run_id", "step", "kind", "prompt", "seed", "media_sha256", "distance")
    values: dict[str, Any] = {name: row[name] for name in names}
    return RunSample(**values)


def _checkpoint(row: Row) -> Checkpoint:
    return Checkpoint(
        id=row["id"], run_id=row["run_id"], step=row["step"], media_sha256=row["media_sha256"],
        distance=row["distance"], drift=row["drift"], loss=row["loss"], has_state=bool(row["has_state"]),
        created=to_moment(row["created"]),
    )  # fmt: skip


def _cell(row: Row) -> GridCell:
    return GridCell(
        id=row["id"], run_id=row["run_id"], checkpoint_id=row["checkpoint_id"], step=row["step"],
        strength=row["strength"], prompt=row["prompt"], seed=row["seed"], media_sha256=row["media_sha256"],
        distance=row["distance"], vote=row["vote"], created=to_moment(row["created"]),
    )  # fmt: skip
