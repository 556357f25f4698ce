"""What every kind of job promises, over the table of kinds: nothing here names one but by example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from pydantic import BaseModel

from studio.domain.job import LANES, Lane
from studio.errors import JobCancelled
from studio.jobs.kinds import JobContext, JobKind, table_of
from studio.services.progress import Progress
from studio.studio import ASSETS, JOB_KINDS, OwnerServices, Studio
from tests.jobs import small_kinds

SHA256 = "ab" * 32
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "animate": {"portrait": {"photo_id": "f"}, "sound": {"sha256": SHA256}, "emotions": {"joy": 0.6}, "seed": 7},
    "generate": {"prompt": "a photo of sks person, smiling", "base": "preview", "source": {"sha256": SHA256}},
    "video": {"prompt": "a photo of sks person", "base": "preview", "sound": {"sha256": SHA256}, "change": 0.3},
    "dialogue": {
        "picture": {"sha256": SHA256}, "people": [{"name": "Ann"}, {"name": "Ben"}], "sound": {"sha256": SHA256},
        "turns": [{"start": 0.0, "end": 1.5, "person": 1, "words": "Hello"}],
    },
    "dub": {"clip": {"sha256": SHA256}, "text": "Hello", "start_seconds": 1.5},
    "grid": {
        "run_id": "r", "checkpoint_ids": ["c", "d"], "strengths": [0.6, 1], "prompts": ["{trigger}"], "seeds": [1, 2],
    },
}  # fmt: skip
"""Parameters of the kinds that need more than ids and names."""
LOOKS = {"made_by"}
"""What a run may ask before it looks whether to stop: reading changes nothing."""

kinds = pytest.mark.parametrize("kind", JOB_KINDS.values(), ids=JOB_KINDS)


def example(kind: JobKind[Any]) -> BaseModel:
    """Return parameters of a kind: its example, else a word for everything it needs."""
    needed = {name: "a-word" for name, field in kind.params.model_fields.items() if field.is_required()}
    return kind.params.model_validate(EXAMPLES.get(kind.name, needed))


class Stopped:
    """The context of a job that somebody has cancelled already."""

    def __init__(self, service: Any, folder: Path) -> None:
        self.job = SimpleNamespace(id="j", owner="local", checkpoint={})
        self.service = service
        self.work_folder = folder
        self.checkpoint: Mapping[str, Any] = {}

    def progress(
        self,
        fraction: float,
        message: str = "",
        preview_png: bytes | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """See JobContext."""

    def check_cancelled(self) -> None:
        raise JobCancelled("cancelled")

    def log(self, line: str) -> None:
        """See JobContext."""

    def save_checkpoint(self, values: Mapping[str, Any]) -> None:
        raise AssertionError("a cancelled job has nothing to keep")


class Recorder:
    """Any service: says how far it is before it works, as services promise, and notes what it was told to do.

    Attributes:
        done: names of the methods that went through.
    """

    def __init__(self, done: list[str], name: str = "") -> None:
        self._done = done
        self._name = name

    def __getattr__(self, name: str) -> Recorder:
        return Recorder(self._done, name)

    def __call__(self, *given: Any, **named: Any) -> tuple[Any, ...]:
        for value in (*given, *named.values()):
            if isinstance(value, Stopped):
                value.check_cancelled()
            elif callable(value):
                value(Progress(0.0, "Beginning"))
        self._done.append(self._name)
        return ()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerServices]:
    with Studio(tmp_path_factory.mktemp("data")) as studio:
        yield studio.for_owner()


def test_names_are_unique_and_the_keys_of_the_table() -> None:
    assert {name: kind.name for name, kind in JOB_KINDS.items()} == {name: name for name in JOB_KINDS}
    with pytest.raises(ValueError, match="same name"):
        table_of(small_kinds.COUNT, small_kinds.FAIL, small_kinds.COUNT)


@kinds
def test_params_come_back_from_a_row(kind: JobKind[Any]) -> None:
    """Rows hold JSON: what is read from one is what was submitted, and nothing else is let in."""
    params = example(kind)
    assert kind.params.model_validate_json(params.model_dump_json()) == params
    assert kind.params.model_validate(params.model_dump(mode="json")) == params
    assert kind.params.model_config.get("extra") == "forbid"
    assert kind.params.model_config.get("frozen") is True


def test_examples_are_of_kinds_that_exist() -> None:
    assert set(EXAMPLES) <= set(JOB_KINDS)


@kinds
def test_its_service_is_one_that_every_owner_has(kind: JobKind[Any], services: OwnerServices) -> None:
    assert type(getattr(services, kind.service)).__module__.startswith("studio.services.")


@kinds
def test_it_has_a_title_an_icon_and_a_lane(kind: JobKind[Any]) -> None:
    assert kind.title.strip()
    assert (ASSETS / "icons" / f"{kind.icon}.svg").is_file()
    assert kind.lane in LANES == get_args(Lane)
    assert kind.cancel_grace_seconds > 0


@kinds
def test_a_cancelled_job_does_nothing(kind: JobKind[Any], tmp_path: Path) -> None:
    done: list[str] = []
    context = Stopped(Recorder(done), tmp_path)
    with pytest.raises(JobCancelled):
        kind.run(example(kind), cast(JobContext, context))
    assert set(done) <= LOOKS
    assert list(tmp_path.iterdir()) == []
