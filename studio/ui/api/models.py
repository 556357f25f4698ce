"""The stable API of training and generation: bases, runs, adapters and pictures by name, for programs.

The same promises as in api.py: names and fields do not change, files come in
as uploads of this window and go out as files of the shelf, long work is a job.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.domain.adapter import AdapterFormat
from studio.domain.job import Job
from studio.domain.training import TrainingPlan
from studio.errors import UserInputError
from studio.services.pictures.generation import GenerationRequest, checked_generation
from studio.services.sources import MediaSource
from studio.services.training.plans import DEFAULT_PRESET
from studio.services.video.video import checked_video
from studio.ui.api import arguments
from studio.ui.shelf import file_name
from studio.ui.window import Window

Json = dict[str, Any]


class ModelApi:
    """The functions behind the public names; docstrings are their descriptions.

    Args:
        plain, upload, file, job_row: of the Api that this belongs to.
    """

    def __init__(
        self,
        window: Window,
        plain: Callable[[Any], Any],
        upload: Callable[[Any], Path],
        file: Callable[[Path], Json],
        job_row: Callable[[Job], Json],
    ) -> None:
        """Remember the window and how values go out."""
        self.window = window
        self.studio = window.studio
        self.plain, self.upload, self.file, self.job_row = plain, upload, file, job_row

    # -- bases and plans ----------------------------------------------------------------

    def list_bases(self) -> list[Any]:
        """List all base models: the card, whether it is ready, absent or partly downloaded, and its bytes here."""
        return [
            {**e.card.model_dump(mode="json"), "state": e.state, "bytes_here": e.bytes_here}
            for e in self.studio.bases.list()
        ]

    def training_presets(self) -> list[Any]:
        """List the training presets with their plans."""
        return [
            {"name": p.name, "title": p.title, "help": p.help, "family": p.family, "memory_gb": p.memory_gb,
             "plan": p.plan.model_dump(mode="json")}
            for p in self.studio.training.presets()
        ]  # fmt: skip

    def plan(self, preset: str, changes: Json | None) -> TrainingPlan:
        """Return a preset's plan with some settings changed; "base" is one of them."""
        fields = dict(changes or {})
        unknown = [name for name in fields if name != "base" and name not in TrainingPlan.model_fields]
        if unknown:
            raise UserInputError(f"There is no setting named {unknown[0][:80]!r}.", "`training_presets` has them all.")
        if not isinstance(fields.get("base", ""), str):
            raise UserInputError("The base has to be a name.", "`list_bases` has the names.")
        return self.studio.training.plan(preset, **fields)

    def preflight_training(
        self, identity_id: str, preset: str = DEFAULT_PRESET, changes: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Say what a run would need, whether it fits, and what would fit instead."""
        found = self.studio.training.preflight(identity_id, self.plan(preset, changes))
        return {**self.plain(found), "fits": found.fits}

    # -- runs -------------------------------------------------------------------------------

    def start_training(
        self, identity_id: str, preset: str = DEFAULT_PRESET, changes: dict[str, Any] | None = None, name: str = ""
    ) -> dict[str, Any]:
        """Put a run into the queue; changes are fields of the plan. Needs the person's consent to train."""
        job = self.studio.training.submit_train(identity_id, self.plan(preset, changes), name)
        return self.run_row(str(job.params["run_id"]))

    def run_row(self, run_id: str) -> Json:
        """Return where a run stands."""
        state = self.studio.runs.state(run_id)
        best = self.studio.runs.suggestion(run_id)
        run: Json = self.plain({k: v for k, v in vars(state.run).items() if k != "plan"})
        return {
            **run, "plan": state.run.plan.model_dump(mode="json"), "state": state.state, "step": state.step,
            "sentence": state.sentence, "checkpoints": self.plain(list(self.studio.runs.checkpoints(run_id))),
            "suggested": best.checkpoint.id if best and best.is_alike else None,
            "reason": f"{best.reason} {best.next_step}".strip() if best else "",
        }  # fmt: skip

    def training_run(self, run_id: str, curves: bool = True) -> dict[str, Any]:
        """Return one run: state, checkpoints, which to keep and why, and its curves as [step, value] by name."""
        row = self.run_row(run_id)
        return {**row, "curves": self.plain(dict(self.studio.runs.metrics(run_id)))} if curves else row

    def list_runs(self, identity_id: str | None = None) -> list[Any]:
        """List runs, newest first, of one person or of all."""
        return [self.run_row(run.id) for run in self.studio.runs.list(identity_id)]

    def stop_training(self, run_id: str) -> dict[str, Any]:
        """Ask a run to stop; it saves first and can be continued."""
        return self.job_row(self.studio.runs.stop(run_id))

    def continue_training(self, run_id: str, steps: int | None = None) -> dict[str, Any]:
        """Continue a run from its last checkpoint, to its own or to a new total of steps."""
        return self.job_row(self.studio.training.submit_go_on(run_id, steps))

    # -- adapters ---------------------------------------------------------------------------

    def keep_checkpoint(self, checkpoint_id: str, name: str) -> dict[str, Any]:
        """Put a checkpoint into the adapter library."""
        return dict(self.plain(self.studio.runs.keep(checkpoint_id, name)))

    def list_adapters(self, identity_id: str | None = None) -> list[Any]:
        """List adapters, newest first."""
        return [self.plain(a) for a in self.studio.adapters.list(identity_id)]

    def export_adapter(self, adapter_id: str, layout: AdapterFormat = "peft") -> dict[str, Any]:
        """Write an adapter for other programs; returns the file and what reading it back has shown."""
        adapter = self.studio.adapters.get(adapter_id)
        out = self.window.shelf.place(file_name(f"{adapter.name} {layout}", ".safetensors"))
        report = self.studio.adapter_exchange.export(adapter_id, out, layout)
        return {**self.plain(report), "path": None, "file": self.file(out)}

    # -- pictures ---------------------------------------------------------------------------

    def generation_request(self, request: Json) -> GenerationRequest:
        """Return a request: the fields of GenerationRequest, source and mask as photo_id or file."""
        return checked_generation(self._with_sources(request, "source", "mask"))

    def _with_sources(self, request: Json, *names: str) -> Json:
        """Return a request's fields with {"photo_id": ...} or {"file": upload} under these names as sources."""
        fields = dict(request)
        for name in names:
            given = fields.get(name)
            if isinstance(given, dict):
                found = arguments.portrait(given, name)
                fields[name] = (
                    MediaSource.photo(found.photo_id) if found.photo_id else MediaSource.file(self.upload(found.file))
                )
        return fields

    def generate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put pictures from words into the queue; returns their job, whose outputs name the renders."""
        return self.job_row(self.studio.generation.submit_generate(self.generation_request(request)))

    def video(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put a clip of a taught person into the queue; returns its job.

        The request has the fields of VideoRequest, picture and sound as photo_id or file, motion by its name.
        """
        wanted = checked_video(self._with_sources(request, "picture", "sound"))
        names = [entry.card.name for entry in self.studio.video.motions.list()]
        if wanted.motion and wanted.motion not in names:  # a folder of this computer is not the window's to open
            raise UserInputError(f"There is no motion {wanted.motion!r}.", f"Motions: {', '.join(names)}.")
        return self.job_row(self.studio.video.submit_video(wanted))


NAMES: tuple[str, ...] = (
    "list_bases", "training_presets", "preflight_training", "start_training", "training_run", "list_runs",
    "stop_training", "continue_training", "keep_checkpoint", "list_adapters", "export_adapter", "generate", "video",
)  # fmt: skip
