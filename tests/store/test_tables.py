"""Rows in, domain values out, and never another owner's."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.consent import Consent
from studio.domain.face import FaceEmbedding
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.store import Store
from studio.store.rows import new_id, now, to_moment, to_text
from tests.store.conftest import ME, a_face, a_render

DAY = timedelta(days=1)


def test_ids_sort_by_birth() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_as_text_sort_like_moments_and_come_back(a: datetime, b: datetime) -> None:
    if min(a.year, b.year) >= 1000:
        assert (to_text(a) < to_text(b)) == (a < b)
        assert to_moment(to_text(a)) == a


def test_projects(store: Store) -> None:
    one = store.of(ME).projects.add(" Film ")
    assert one.name == "Film"
    with pytest.raises(ConflictError):
        store.of(ME).projects.add("film")
    store.of("ada").projects.add("Film")
    assert store.of(ME).projects.list() == (one,)
    render = a_render(store, project_id=one.id)
    store.of(ME).projects.delete(one.id)
    assert store.of(ME).renders.get(render.id).project_id is None


def test_identities_and_their_consents(store: Store) -> None:
    project = store.of(ME).projects.add("Film")
    ada = store.of(ME).identities.add("Ada", notes="singer", project_id=project.id)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    store.of(ME).identities.add_consent(
        ada.id, Consent(agreed_by="Ada", scopes=("train", "edit"), granted_at=start, until=start + 9 * DAY)
    )
    kept = store.of(ME).identities.get(ada.id)
    assert kept.consents[0].scopes == ("edit", "train")
    assert kept.allows("train", start + DAY)
    assert not kept.allows("animate", start + DAY)
    assert store.of(ME).identities.revoke_consents(ada.id, start + 2 * DAY) == 1
    assert store.of(ME).identities.revoke_consents(ada.id, start + 3 * DAY) == 0
    kept = store.of(ME).identities.get(ada.id)
    assert kept.allows("train", start + DAY)
    assert not kept.allows("train", start + 2 * DAY)
    assert store.of(ME).identities.list(project_id=project.id) == (kept,)
    assert store.of(ME).identities.list(project_id="other") == ()
    with pytest.raises(ConflictError):
        store.of(ME).identities.add("ADA")
    assert store.of(ME).identities.change(ada.id, name="Ada L.").name == "Ada L."
    assert store.of(ME).identities.find("ada l.") is not None


def test_photos_with_faces_and_embeddings(store: Store) -> None:
    ada = store.of(ME).identities.add("Ada")
    sha256 = store.of(ME).media.put(b"jpeg bytes", ".jpg")
    facts = {"file_name": "../../etc/passwd", "width": 640, "height": 480, "identity_id": ada.id, "face_index": 1}
    photo = store.of(ME).photos.add(sha256, face=a_face(), **facts)  # type: ignore[arg-type]
    assert store.of(ME).photos.add(sha256, face=a_face(), **facts).id == photo.id  # type: ignore[arg-type]
    kept = store.of(ME).photos.get(photo.id)
    assert kept.file_name == "../../etc/passwd"
    assert kept.face is not None
    np.testing.assert_array_equal(kept.face.landmarks, a_face().landmarks)
    for field in fields(a_face()):
        if field.name != "landmarks":
            assert getattr(kept.face, field.name) == getattr(a_face(), field.name)
    vector = np.arange(128, dtype=np.float32)
    store.of(ME).photos.put_embedding(photo.id, FaceEmbedding("dlib", vector))
    store.of(ME).photos.put_embedding(photo.id, FaceEmbedding("dlib", vector + 1))
    (embedding,) = store.of(ME).photos.embeddings(photo.id)
    np.testing.assert_array_equal(embedding.vector, vector + 1)
    assert store.of(ME).photos.list(identity_id=ada.id) == store.of(ME).photos.list(sha256=sha256)
    store.of(ME).photos.delete(photo.id)
    assert store.of(ME).photos.embeddings(photo.id) == ()
    assert not store.of(ME).media.has(sha256)


def test_rows_that_refer_to_nothing_are_refused(store: Store) -> None:
    with pytest.raises(ConflictError):
        store.of(ME).photos.add("0" * 64, file_name="", width=1, height=1)
    with pytest.raises(ConflictError):
        a_render(store, identity_id="nobody")
    theirs = store.of("ada").media.put(b"hers")
    with pytest.raises(ConflictError):
        store.of(ME).photos.add(theirs, file_name="", width=1, height=1)


def test_a_render_comes_back_as_it_was_stored(store: Store) -> None:
    sound = store.of(ME).media.put(b"sound", ".wav")
    parent = a_render(store)
    render = a_render(
        store, b"clip", kind="clip", recipe={"text": "Grüße", "n": [1, 2.5, None]}, inputs={"sound": sound},
        thumbnail_sha256=parent.media_sha256, parent_id=parent.id, duration_seconds=1.5, width=512, height=640,
        title="Hello", search_text="good morning", seconds=3.25,
    )  # fmt: skip
    assert store.of(ME).renders.get(render.id) == render
    assert render.recipe == {"text": "Grüße", "n": [1, 2.5, None]}
    assert render.inputs == {"sound": sound}
    assert render.file_extension == ".png"


def test_presets(store: Store) -> None:
    thumbnail = store.of(ME).media.put(b"small")
    store.of(ME).presets.put("expression", "Sly", {"smile": 0.5}, thumbnail_sha256=thumbnail)
    kept = store.of(ME).presets.put("expression", "sly", {"smile": 0.7})
    assert kept.values == {"smile": 0.7}
    assert len(store.of(ME).presets.list("expression")) == 1
    assert not store.of(ME).media.has(thumbnail)
    assert store.of("ada").presets.list("expression") == ()
    store.of(ME).presets.delete("expression", "Sly")
    with pytest.raises(NotFoundError):
        store.of(ME).presets.get("expression", "Sly")


def test_nothing_of_another_owner_is_found_or_changed(store: Store) -> None:
    render = a_render(store, owner="ada")
    her = store.of("ada").identities.add("Ada")
    project = store.of("ada").projects.add("Film")
    calls = (
        lambda: store.of(ME).renders.get(render.id),
        lambda: store.of(ME).renders.star(render.id),
        lambda: store.of(ME).renders.trash(render.id),
        lambda: store.of(ME).renders.delete(render.id),
        lambda: store.of(ME).media.get(render.media_sha256),
        lambda: store.of(ME).identities.get(her.id),
        lambda: store.of(ME).identities.change(her.id, name="Mine"),
        lambda: store.of(ME).identities.plan_deletion(her.id),
        lambda: store.of(ME).identities.delete(her.id),
        lambda: store.of(ME).projects.delete(project.id),
    )
    for call in calls:
        with pytest.raises(NotFoundError):
            call()
    assert store.of(ME).renders.page().total == 0
    kept = store.of("ada").renders.get(render.id)
    assert kept == render


def test_pages_follow_each_other_while_renders_come_and_go(store: Store) -> None:
    made = [a_render(store, title=f"take {i}", kind="clip" if i % 3 else "image").id for i in range(20)]
    seen: list[str] = []
    cursor = None
    while True:
        page = store.of(ME).renders.page(after=cursor, limit=6)
        seen += [r.id for r in page.renders]
        a_render(store, title="newcomer")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made[::-1]
    with pytest.raises(UserInputError):
        store.of(ME).renders.page(after="1 OR 1=1")


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from([None, "clip", "image"]), starred=st.sampled_from([None, True, False]),
       text=st.sampled_from([None, "", "take", "TAKE 1", "straße", "noth", 'a"b* OR NOT (', "  "]),
       project=st.booleans())  # fmt: skip
def test_a_page_is_what_a_plain_loop_would_find(
    full_store: tuple[Store, str], kind: str | None, starred: bool | None, text: str | None, project: bool
) -> None:
    store, project_id = full_store
    wanted = project_id if project else None
    page = store.of(ME).renders.page(kind=kind, starred=starred, text=text, project_id=wanted, limit=100)  # type: ignore[arg-type]
    words = "".join(c if c.isalnum() else " " for c in text or "").lower().split()

    def fits(r: object) -> bool:
        held = f"{r.title} {r.search_text}".lower().split()  # type: ignore[attr-defined]
        return all(any(h.startswith(w) for h in held) for w in words)

    every = store.of(ME).renders.page(limit=100).renders
    expected = [
        r for r in every
        if (kind is None or r.kind == kind) and (starred is None or r.starred == starred)
        and (wanted is None or r.project_id == wanted) and fits(r)
    ]  # fmt: skip
    assert page.renders == tuple(expected)
    assert page.total == len(expected)


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with Store(tmp_path_factory.mktemp("full")) as store:
        project = store.of(ME).projects.add("Film")
        for i in range(24):
            render = a_render(
                store, title=f"take {i}", search_text="nothing Straße" if i % 2 else "",
                kind="clip" if i % 3 else "image", project_id=project.id if i % 4 else None,
            )  # fmt: skip
            if i % 5 == 0:
                store.of(ME).renders.star(render.id)
        yield store, project.id


def test_the_trash_gives_back_until_it_is_purged(store: Store) -> None:
    render, other = a_render(store, b"one"), a_render(store, b"two")
    store.of(ME).renders.trash(render.id)
    assert [r.id for r in store.of(ME).renders.page().renders] == [other.id]
    assert [r.id for r in store.of(ME).renders.trashed()] == [render.id]
    assert store.of(ME).renders.purge_trash(now() - DAY) == 0
    store.of(ME).renders.restore(render.id)
    assert store.of(ME).renders.page().total == 2
    store.of(ME).renders.trash(render.id)
    path = store.of(ME).media.get(render.media_sha256)
    assert store.of(ME).renders.purge_trash(now() + DAY) == 3
    assert not path.exists()
    with pytest.raises(NotFoundError):
        store.of(ME).renders.restore(render.id)
    assert store.of(ME).renders.page(text="two").total == 0
    assert store.files.verify().ok
