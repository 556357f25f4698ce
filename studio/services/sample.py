"""The sample project that a new studio starts with.

It is made by an ordinary job, which submits an ordinary clip: the window opens
at once, and the first thing a person sees is the real way of work.
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
    from studio.services.clips.animation import Animation
    from studio.services.people.identities import Identities
    from studio.store import OwnerStore

SAMPLE_PROJECT = "Sample"
SAMPLE_PERSON = "Astronaut (sample)"
SAMPLE_NOTES = "Eileen Collins, NASA 1993, public domain; from scikit-image."
SAMPLE_SPEECH = "welcome.wav"


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


class Sample:
    """Makes the sample project of one owner.

    Args:
        assets: the folder with the sample speech.
    """

    def __init__(
        self, store: OwnerStore, queue: JobQueue, identities: Identities, animation: Animation, assets: Path
    ) -> None:
        self._store = store
        self._queue = queue
        self._identities = identities
        self._animation = animation
        self._assets = assets

    def ensure(self) -> Project | None:
        """Start the sample project where there is no project and no person yet; else do nothing."""
        if self._store.projects.list() or self._store.identities.list():
            return None
        project = self._store.projects.add(SAMPLE_PROJECT, notes="Made at the first start.")
        params = SampleParams(project_id=project.id)
        self._queue.submit(KIND.name, params, title="Set up the sample project", project_id=project.id)
        return project

    def add_person(self, project_id: str) -> str:
        """Add the sample person, or find the one that is there; return the id."""
        try:
            person = self._identities.get(SAMPLE_PERSON)
        except NotFoundError:
            person = self._identities.add(SAMPLE_PERSON, [sample_portrait()], project_id=project_id, notes=SAMPLE_NOTES)
        return person.id

    def add_clip(self, identity_id: str, project_id: str) -> str:
        """Queue the first clip; return the job's id."""
        speech = sample_speech(self._assets)
        photo = self._identities.photos(identity_id)[0]
        request = AnimationRequest(
            portrait=MediaSource.photo(photo.id),
            sound=MediaSource.file(speech.path),
            transcript=speech.transcript,
            emotions={"joy": 0.3},
            project_id=project_id,
        )
        return self._animation.submit_render(request).id


class SampleParams(BaseModel):
    """What the sample job needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project_id: str


def run(params: SampleParams, context: JobContext) -> Mapping[str, Any]:
    """Add the sample person and submit the first clip; doing it twice changes nothing."""
    context.check_cancelled()
    sample: Sample = context.service
    context.progress(0.1, "Reading the sample portrait")
    identity_id = sample.add_person(params.project_id)
    context.check_cancelled()
    return {"identity_id": identity_id, "job_id": sample.add_clip(identity_id, params.project_id)}


KIND = JobKind("sample", "Sample project", SampleParams, run, service="sample")
