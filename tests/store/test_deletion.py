"""Deleting a person: what was announced goes, all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.consent import Consent
from studio.domain.face import FaceEmbedding
from studio.domain.identity import Identity
from studio.domain.photo import Photo
from studio.errors import ConflictError, NotFoundError
from studio.store import Store
from tests.store.conftest import ME, a_face, a_render


@dataclass(frozen=True)
class Person:
    identity: Identity
    photo: Photo


def a_person(store: Store, name: str, picture: bytes) -> Person:
    identity = store.identities.add(ME, name)
    consent = Consent(agreed_by=name, scopes=("edit",), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    store.identities.add_consent(ME, identity.id, consent)
    sha256 = store.media.put(ME, picture, ".jpg")
    photo = store.photos.add(
        ME, sha256, file_name="a.jpg", width=1, height=1, identity_id=identity.id, face_index=0, face=a_face()
    )
    store.photos.put_embedding(ME, photo.id, FaceEmbedding("dlib", np.full(128, 0.123456, np.float32)))
    return Person(identity, photo)


def test_everything_of_the_person_goes_and_nothing_of_others(store: Store) -> None:
    ada, bob = a_person(store, "Ada", b"Ada's face"), a_person(store, "Bob", b"Bob's face")
    sound = store.media.put(ME, b"a sound both use", ".wav")
    job = store.jobs.add(ME, "animate", {"photo_id": ada.photo.id})
    store.jobs.request_cancel(ME, job.id)
    hers = a_render(store, b"clip of Ada", identity_id=ada.identity.id, photo_id=ada.photo.id, inputs={"sound": sound})
    nameless = a_render(store, b"edit of Ada's bare file", inputs={"portrait": ada.photo.sha256})
    his = a_render(store, b"clip of Bob", identity_id=bob.identity.id, inputs={"sound": sound})
    plan = store.identities.plan_deletion(ME, ada.identity.id)
    assert plan == replace(
        plan, photos=1, embeddings=1, renders=2, consents=1, jobs=1, files=3, shared_files=1, busy_jobs=()
    )
    assert plan.file_bytes == len(b"Ada's face") + len(b"clip of Ada") + len(b"edit of Ada's bare file")
    assert store.identities.get(ME, ada.identity.id).consents  # a plan changes nothing
    paths = [store.media.get(ME, s) for s in (ada.photo.sha256, hers.media_sha256, nameless.media_sha256)]
    assert store.identities.delete(ME, ada.identity.id) == plan
    assert not any(p.exists() for p in paths)
    for gone in (
        lambda: store.identities.get(ME, ada.identity.id),
        lambda: store.photos.get(ME, ada.photo.id),
        lambda: store.renders.get(ME, hers.id),
        lambda: store.renders.get(ME, nameless.id),
        lambda: store.jobs.get(ME, job.id),
    ):
        with pytest.raises(NotFoundError):
            gone()
    assert store.renders.page(ME).renders == (his,)
    assert store.media.get(ME, sound).is_file()
    assert len(store.photos.embeddings(ME, bob.photo.id)) == 1
    report = store.media.verify()
    assert (report.ok, report.unused) == (True, ())
    assert store.database.check() == ()


def test_nothing_of_the_person_can_be_read_from_the_disk_afterwards(store: Store) -> None:
    ada = a_person(store, "Ada", b"Ada's face")
    vector = np.full(128, 0.123456, np.float32).tobytes()

    def on_disk(data: bytes) -> bool:
        return any(data in p.read_bytes() for p in store.data_dir.rglob("*") if p.is_file())

    assert on_disk(vector)
    backup = store.data_dir / "backups" / "studio-20260101-before-m007_presets.db"
    backup.parent.mkdir()
    backup.write_bytes(vector)
    assert store.identities.plan_deletion(ME, ada.identity.id).backups == 1
    store.identities.delete(ME, ada.identity.id)
    assert not on_disk(vector)
    assert not on_disk(b"the fit of Ada's face")


def test_a_group_photo_stays_with_the_other_person(store: Store) -> None:
    ada, bob = a_person(store, "Ada", b"both faces"), a_person(store, "Bob", b"both faces")
    nameless = a_render(store, b"edit of the group", inputs={"portrait": bob.photo.sha256})
    plan = store.identities.delete(ME, ada.identity.id)
    assert (plan.files, plan.shared_files, plan.renders) == (0, 1, 0)
    assert store.media.get(ME, bob.photo.sha256).is_file()
    assert store.photos.get(ME, bob.photo.id) == bob.photo
    assert store.renders.get(ME, nameless.id) == nameless


def test_a_person_with_a_running_job_is_not_deleted(store: Store) -> None:
    ada = a_person(store, "Ada", b"Ada's face")
    job = store.jobs.add(ME, "animate", {}, identity_id=ada.identity.id)
    assert store.identities.plan_deletion(ME, ada.identity.id).busy_jobs == (job.id,)
    with pytest.raises(ConflictError, match="Ada"):
        store.identities.delete(ME, ada.identity.id)
    assert store.photos.get(ME, ada.photo.id) == ada.photo
    store.jobs.request_cancel(ME, job.id)
    store.identities.delete(ME, ada.identity.id)


def test_a_crash_after_the_rows_went_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash() -> int:
        raise Crash

    with Store(tmp_path) as store:
        ada = a_person(store, "Ada", b"Ada's face")
        path = store.media.get(ME, ada.photo.sha256)
        monkeypatch.setattr(store.media, "finish_deletions", crash)
        with pytest.raises(Crash):
            store.identities.delete(ME, ada.identity.id)
        assert path.exists()
        assert store.media.verify().orphans == (path.relative_to(store.data_dir).as_posix(),)
    with Store(tmp_path) as store:
        assert not path.exists()
        assert store.media.verify().ok


def test_a_file_in_use_goes_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(path: Path) -> None:
        raise PermissionError(13, "in use")

    render = a_render(store, b"shown")
    path = store.media.get(ME, render.media_sha256)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        store.renders.delete(ME, render.id)
    assert path.exists()
    assert store.media.finish_deletions() == len(b"shown")
    assert not path.exists()


def test_a_crash_before_the_commit_leaves_the_person_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    def crash(*args: object) -> tuple[int, int]:
        raise Crash

    with Store(tmp_path) as store:
        ada = a_person(store, "Ada", b"Ada's face")
        before = store.identities.plan_deletion(ME, ada.identity.id)
        monkeypatch.setattr(store.media, "discard_unused", crash)
        with pytest.raises(Crash):
            store.identities.delete(ME, ada.identity.id)
    with Store(tmp_path) as store:
        assert store.identities.plan_deletion(ME, ada.identity.id) == before
        assert store.media.verify().ok


@settings(max_examples=25, deadline=None)
@given(
    pictures=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    renders=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), max_size=6),
)
def test_the_plan_is_what_happens(
    new_folder: Callable[[], Path], pictures: list[int], renders: list[tuple[int, int, int]]
) -> None:
    """Whatever people, pictures and renders share, the plan is exact and no row loses its bytes."""
    with Store(new_folder()) as store:
        people = [a_person(store, f"P{i}", b"picture %d" % p) for i, p in enumerate(pictures)]
        for who, made, used in renders:
            person = people[who % len(people)]
            sound = store.media.put(ME, b"sound %d" % used)
            a_render(
                store, b"render %d" % made, inputs={"sound": sound}, identity_id=person.identity.id if who else None
            )
        before = store.media.total_bytes(ME)
        for person in people:
            plan = store.identities.plan_deletion(ME, person.identity.id)
            assert store.identities.delete(ME, person.identity.id) == plan
            assert store.media.total_bytes(ME) == before - plan.file_bytes
            before -= plan.file_bytes
            report = store.media.verify()
            assert (report.ok, report.unused) == (True, ())
        assert store.database.value("SELECT count(*) FROM photos") == 0


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("store")
