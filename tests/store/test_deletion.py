"""Deleting a person: what was announced goes, all of it, and nothing else."""

from __future__ import annotations

import errno
import os
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
from studio.domain.job import Claim
from studio.domain.photo import Photo
from studio.errors import ConflictError, NotFoundError, StoreError
from studio.store import Store
from studio.store.media import Media
from tests.store.conftest import ME, a_face, a_render


@dataclass(frozen=True)
class Person:
    identity: Identity
    photo: Photo


def a_person(store: Store, name: str, picture: bytes) -> Person:
    identity = store.of(ME).identities.add(name)
    consent = Consent(agreed_by=name, scopes=("edit",), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    store.of(ME).identities.add_consent(identity.id, consent)
    sha256 = store.of(ME).media.put(picture, ".jpg")
    photo = store.of(ME).photos.add(
        sha256, file_name="a.jpg", width=1, height=1, identity_id=identity.id, face_index=0, face=a_face()
    )
    store.of(ME).photos.put_embedding(photo.id, FaceEmbedding("dlib", np.full(128, 0.123456, np.float32)))
    return Person(identity, photo)


def test_everything_of_the_person_goes_and_nothing_of_others(store: Store) -> None:
    ada, bob = a_person(store, "Ada", b"Ada's face"), a_person(store, "Bob", b"Bob's face")
    sound = store.of(ME).media.put(b"a sound both use", ".wav")
    job = store.of(ME).jobs.add("animate", {"photo_id": ada.photo.id})
    store.of(ME).jobs.request_cancel(job.id)
    hers = a_render(store, b"clip of Ada", identity_id=ada.identity.id, photo_id=ada.photo.id, inputs={"sound": sound})
    nameless = a_render(store, b"edit of Ada's bare file", inputs={"portrait": ada.photo.sha256})
    his = a_render(store, b"clip of Bob", identity_id=bob.identity.id, inputs={"sound": sound})
    plan = store.of(ME).identities.plan_deletion(ada.identity.id)
    assert plan == replace(
        plan, photos=1, embeddings=1, renders=2, consents=1, jobs=1, files=3, shared_files=1, busy_jobs=()
    )
    assert plan.file_bytes == len(b"Ada's face") + len(b"clip of Ada") + len(b"edit of Ada's bare file")
    assert store.of(ME).identities.get(ada.identity.id).consents  # a plan changes nothing
    paths = [store.of(ME).media.get(s) for s in (ada.photo.sha256, hers.media_sha256, nameless.media_sha256)]
    assert store.of(ME).identities.delete(ada.identity.id) == plan
    assert not any(p.exists() for p in paths)
    for gone in (
        lambda: store.of(ME).identities.get(ada.identity.id),
        lambda: store.of(ME).photos.get(ada.photo.id),
        lambda: store.of(ME).renders.get(hers.id),
        lambda: store.of(ME).renders.get(nameless.id),
        lambda: store.of(ME).jobs.get(job.id),
    ):
        with pytest.raises(NotFoundError):
            gone()
    assert store.of(ME).renders.page().renders == (his,)
    assert store.of(ME).media.get(sound).is_file()
    assert len(store.of(ME).photos.embeddings(bob.photo.id)) == 1
    report = store.files.verify()
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
    assert store.of(ME).identities.plan_deletion(ada.identity.id).backups == 1
    store.of(ME).identities.delete(ada.identity.id)
    assert not on_disk(vector)
    assert not on_disk(b"the fit of Ada's face")


def test_copies_for_the_page_half_made_clips_and_the_trash_go_too(store: Store) -> None:
    ada = a_person(store, "Ada", b"Ada's face")
    places = [
        "cache/window/shelf/1f/portrait.png", "cache/window/upload/Ada.png", "scratch/local/clip-1.jpg",
        "scratch/local/spoken-1.wav", "trash/of-an-earlier-sweep.png",
    ]  # fmt: skip
    for place in places:
        (store.data_dir / place).parent.mkdir(parents=True, exist_ok=True)
        (store.data_dir / place).write_bytes(b"Ada")
    plan = store.of(ME).identities.plan_deletion(ada.identity.id)
    assert plan.swept == 1, "others' files go with it, so it is said before"
    assert store.of(ME).identities.delete(ada.identity.id) == plan
    assert [place for place in places if (store.data_dir / place).exists()] == []


def test_the_clip_of_somebody_else_that_is_being_made_is_spared(store: Store) -> None:
    ada = a_person(store, "Ada", b"Ada's face")
    store.of(ME).jobs.add("animate", {})
    old = store.data_dir / "scratch" / "local" / "clip-1.mp4"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"killed")
    os.utime(old, (1, 1))
    claim = Claim(token="t", pid=os.getpid(), process_started=0.0, host="here")
    job = store.claims.claim_next(claim)
    assert job is not None
    assert job.started is not None
    new = old.with_name("clip-2.mp4")
    new.write_bytes(b"Bob")
    begun = job.started.timestamp() - 0.01
    os.utime(new, (begun, begun))  # what a file system says that reads the clock every ten milliseconds
    store.of(ME).identities.delete(ada.identity.id)
    assert (old.exists(), new.exists()) == (False, True)


def test_words_about_the_person_are_in_no_index_and_no_journal(store: Store) -> None:
    """The index is asked for deleted words through its own table of terms, where old segments would show them."""
    ada = a_person(store, "Ada", b"Ada's face")
    for i in range(40):
        a_render(store, b"%d" % i, identity_id=ada.identity.id, title="Zyxwvut", search_text="quokkasaurus speaks")
    store.of(ME).identities.delete(ada.identity.id)
    store.close()
    for path in store.data_dir.glob("studio.db*"):
        for word in (b"quokka", b"zyxwv", b"Zyxwv"):
            assert word not in path.read_bytes(), path


def test_however_full_and_often_changed_the_database_is_no_word_about_a_deleted_person_stays(store: Store) -> None:
    """Many rows of many lengths, so that SQLite moves them between its pages, where old copies could stay behind."""
    random = np.random.default_rng(5)
    me, words = store.of(ME), {}
    for number in range(30):
        word = f"zq{number}x" + "".join(random.choice([*"abcdefgh"], 12))
        person = a_person(store, word, b"face %d" % number)
        me.identities.change(person.identity.id, notes=f"{word} " * int(random.integers(1, 200)))
        for picture in range(int(random.integers(0, 6))):
            a_render(
                store, b"%d of %d" % (picture, number), identity_id=person.identity.id, title=f"{word} {picture}",
                search_text=f"{word} said " * int(random.integers(1, 60)),
                recipe={"text": word * int(random.integers(1, 80))},
            )  # fmt: skip
        me.jobs.request_cancel(me.jobs.add("animate", {"photo_id": person.photo.id, "text": word * 9}).id)
        me.identities.change(person.identity.id, name=f"Renamed {number}", notes="n" * int(random.integers(1, 900)))
        words[person.identity.id] = word.encode()
    for id in random.permutation([*words])[:15]:
        me.identities.delete(str(id))
        on_disk = b"".join(p.read_bytes() for p in store.data_dir.rglob("*") if p.is_file())
        assert words[str(id)] not in on_disk.lower()


def test_what_cannot_be_removed_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    ada = a_person(store, "Ada", b"Ada's face")
    path = store.of(ME).media.get(ada.photo.sha256)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with pytest.raises(StoreError, match="could not be removed") as caught:
            store.of(ME).identities.delete(ada.identity.id)
    assert str(path.parent.parent.parent) in caught.value.message
    assert path.exists()
    store.files.finish_deletions()
    assert not path.exists()


def test_a_group_photo_stays_with_the_other_person(store: Store) -> None:
    ada, bob = a_person(store, "Ada", b"both faces"), a_person(store, "Bob", b"both faces")
    nameless = a_render(store, b"edit of the group", inputs={"portrait": bob.photo.sha256})
    plan = store.of(ME).identities.delete(ada.identity.id)
    assert (plan.files, plan.shared_files, plan.renders) == (0, 1, 0)
    assert store.of(ME).media.get(bob.photo.sha256).is_file()
    assert store.of(ME).photos.get(bob.photo.id) == bob.photo
    assert store.of(ME).renders.get(nameless.id) == nameless


def test_a_person_with_a_running_job_is_not_deleted(store: Store) -> None:
    ada = a_person(store, "Ada", b"Ada's face")
    job = store.of(ME).jobs.add("animate", {}, identity_id=ada.identity.id)
    assert store.of(ME).identities.plan_deletion(ada.identity.id).busy_jobs == (job.id,)
    with pytest.raises(ConflictError, match="Ada"):
        store.of(ME).identities.delete(ada.identity.id)
    assert store.of(ME).photos.get(ada.photo.id) == ada.photo
    store.of(ME).jobs.request_cancel(job.id)
    store.of(ME).identities.delete(ada.identity.id)


def test_a_crash_after_the_rows_went_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash() -> int:
        raise Crash

    with Store(tmp_path) as store:
        ada = a_person(store, "Ada", b"Ada's face")
        path = store.of(ME).media.get(ada.photo.sha256)
        monkeypatch.setattr(store.files, "finish_deletions", crash)
        with pytest.raises(Crash):
            store.of(ME).identities.delete(ada.identity.id)
        assert path.exists()
        assert store.files.verify().orphans == (path.relative_to(store.data_dir).as_posix(),)
    with Store(tmp_path) as store:
        assert not path.exists()
        assert store.files.verify().ok


def test_a_file_in_use_goes_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(path: Path) -> None:
        raise PermissionError(13, "in use")

    render = a_render(store, b"shown")
    path = store.of(ME).media.get(render.media_sha256)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        store.of(ME).renders.delete(render.id)
    assert path.exists()
    assert store.files.finish_deletions() == len(b"shown")
    assert not path.exists()


def test_a_crash_before_the_commit_leaves_the_person_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    def crash(*args: object) -> tuple[int, int]:
        raise Crash

    with Store(tmp_path) as store:
        ada = a_person(store, "Ada", b"Ada's face")
        before = store.of(ME).identities.plan_deletion(ada.identity.id)
        with monkeypatch.context() as patch:
            patch.setattr(Media, "discard_unused", crash)
            with pytest.raises(Crash):
                store.of(ME).identities.delete(ada.identity.id)
    with Store(tmp_path) as store:
        assert store.of(ME).identities.plan_deletion(ada.identity.id) == before
        assert store.files.verify().ok


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
            sound = store.of(ME).media.put(b"sound %d" % used)
            a_render(
                store, b"render %d" % made, inputs={"sound": sound}, identity_id=person.identity.id if who else None
            )
        before = store.of(ME).media.total_bytes()
        for person in people:
            plan = store.of(ME).identities.plan_deletion(person.identity.id)
            assert store.of(ME).identities.delete(person.identity.id) == plan
            assert store.of(ME).media.total_bytes() == before - plan.file_bytes
            before -= plan.file_bytes
            report = store.files.verify()
            assert (report.ok, report.unused) == (True, ())
        assert store.database.value("SELECT count(*) FROM photos") == 0


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("store")
