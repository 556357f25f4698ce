"""Projects, and the sample project that a new studio starts with.

The sample is made by an ordinary job, which submits an ordinary clip: the
window opens at once, and the first thing a person sees is the real way of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from studio.domain.project import Project
from studio.errors import NotFoundError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.animation import AnimationRequest
from studio.services.sources import MediaSource

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.store import Store

SAMPLE_PROJECT = "Sample"
SAMPLE_PERSON = "Astronaut (sample)"
SAMPLE_NOTES = "Eileen Collins, NASA 1993, public domain; from scikit-image."
SAMPLE_SPEECH = "welcome.wav"
FIRST_PROJECT = "My project"


class SampleSpeech(NamedTuple):
    """The speech of the sample clip, and what it says."""

    path: Path
    transcript: str


def sample_portrait() -> Path:
    """Return the sample portrait: scikit-image's public-domain astronaut, cut to head and shoulders.

    Raises:
        NotFoundError: it is not there.
    """
    path = Path(__file__).resolve().parents[2] / "assets" / "sample" / "astronaut.jpg"
    if not path.exists():
        raise NotFoundError("The sample portrait is missing.", "Get the assets folder of the repository again.")
    return path


def sample_speech(assets: Path) -> SampleSpeech:
    """Return the speech of the sample clip with its transcript.

    Raises:
        NotFoundError: it is not there.
    """
    path = assets / "speech" / SAMPLE_SPEECH
    text = path.with_suffix(".txt")
    if not path.exists() or not text.exists():
        raise NotFoundError("The sample speech is missing.", "Get the assets folder of the repository again.")
    return SampleSpeech(path, text.read_text(encoding="utf-8").strip())


class Projects:
    """Looks after projects."""

    def __init__(self, store: Store, owner: str, queue: JobQueue) -> None:
        self._store = store
        self._owner = owner
        self._queue = queue

    def list(self) -> tuple[Project, ...]:
        """Return all projects, oldest first."""
        return self._store.projects.list(self._owner)

    def get(self, project_id: str) -> Project:
        """Return one project.

        Raises:
            NotFoundError: no such project.
        """
        return self._store.projects.get(self._owner, project_id)

    def add(self, name: str) -> Project:
        """Create a project.

        Raises:
            ConflictError: the name is taken.
        """
        return self._store.projects.add(self._owner, name)

    def default(self) -> Project:
        """Return the project that things go into when none is named; made when there is none."""
        projects = self.list()
        return projects[0] if projects else self.add(FIRST_PROJECT)

    def ensure_sample(self) -> Project | None:
        """Start the sample project in a studio that has no project and no person yet; else do nothing."""
        if self.list() or self._store.identities.list(self._owner):
            return None
        project = self._store.projects.add(self._owner, SAMPLE_PROJECT, notes="Made at the first start.")
        self._queue.submit(
            self._owner, "sample", {"project_id": project.id}, title="Set up the sample project", project_id=project.id
        )
        return project


class SampleParams(BaseModel):
    """What the sample job needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project_id: str


def run(params: SampleParams, context: JobContext) -> Mapping[str, Any]:
    """Add the sample person and submit the first clip; doing it twice changes nothing."""
    studio = context.tools
    context.progress(0.1, "Reading the sample portrait")
    try:
        person = studio.identities.get(SAMPLE_PERSON)
    except NotFoundError:
        person = studio.identities.add(
            SAMPLE_PERSON, [sample_portrait()], project_id=params.project_id, notes=SAMPLE_NOTES
        )
    context.check_cancelled()
    speech = sample_speech(studio.assets)
    photo = studio.identities.photos(person.id)[0]
    job = studio.animation.submit(
        AnimationRequest(
            portrait=MediaSource.photo(photo.id),
            sound=MediaSource.file(speech.path),
            transcript=speech.transcript,
            emotions={"joy": 0.3},
            project_id=params.project_id,
        )
    )
    return {"identity_id": person.id, "job_id": job.id}


KIND = JobKind("sample", "Sample project", SampleParams, run)
