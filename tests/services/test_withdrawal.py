"""Consent that was taken back binds: work stops, what was made stays here, and can be erased."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.errors import ConsentMissingError, NotFoundError
from studio.services.clips.animation import AnimationRequest
from studio.services.people.agreement import require_of_media
from studio.services.sources import MediaSource
from studio.store.adapters import NewAdapter
from tests.services.fakes import picture

SCOPES = ("edit", "animate", "train", "generate")


def agreed(name):
    return Consent(agreed_by=name, scopes=SCOPES, granted_at=datetime.now(UTC))


@pytest.fixture
def ann(studio, portrait, speech):
    """Somebody with a picture, an adapter, a job of her own and one that only names her adapter."""
    person = studio.identities.add("Ann", [portrait], consent=agreed("Ann"))
    photo = studio.identities.photos(person.id)[0]
    render = studio.expressions.save(
        studio.expressions.open(MediaSource.photo(photo.id)), ExpressionEdit({"jawOpen": 0.5})
    )
    weights = studio.store.media.put(b"weights", ".safetensors")
    adapter = studio.store.adapters.add(
        NewAdapter(name="Ann 1", media_sha256=weights, family="sd15", base_name="tiny", identity_id=person.id)
    )
    own = studio.animation.submit_render(
        AnimationRequest(portrait=MediaSource.photo(photo.id), sound=MediaSource.file(speech))
    )
    return person, photo, render, adapter, own


def test_taking_consent_back_stops_the_work_on_a_person_and_no_other(studio, ann, speech, tmp_path):
    person, *_, own = ann
    bob = studio.identities.add("Bob", [picture(tmp_path / "bob.png", shade=60)], consent=agreed("Bob"))
    his = studio.animation.submit_render(
        AnimationRequest(
            portrait=MediaSource.photo(studio.identities.photos(bob.id)[0].id), sound=MediaSource.file(speech)
        )
    )
    taken = studio.withdrawals.take_back(person.id)
    assert [j.id for j in taken.stopped] == [own.id]
    assert studio.jobs.get(own.id).state == "cancelled"
    assert studio.jobs.get(his.id).state == "queued"
    assert (taken.renders, taken.adapters) == (1, ("Ann 1",))
    assert "1 job stopped; 1 picture or clip and 1 adapter can no longer" in taken.sentence
    assert studio.withdrawals.take_back(bob.id).sentence.endswith("1 job stopped.")


def test_what_was_made_leaves_no_more_until_a_new_consent(studio, ann, tmp_path):
    person, _, render, _, _ = ann
    studio.library.export(render.id, tmp_path / "before.png")
    studio.withdrawals.take_back(person.id)
    with pytest.raises(ConsentMissingError, match="Ann took the consent back"):
        studio.library.export(render.id, tmp_path / "after.png")
    assert not (tmp_path / "after.png").exists()
    studio.identities.set_consent(person.id, agreed("Ann"))
    assert studio.library.export(render.id, tmp_path / "again.png").exists()


def test_an_open_portrait_is_drawn_no_more(studio, ann):
    person, photo, *_ = ann
    opened = studio.expressions.open(MediaSource.photo(photo.id))
    studio.withdrawals.take_back(person.id)
    with pytest.raises(ConsentMissingError, match="taken back"):
        studio.expressions.render(opened, ExpressionEdit({"jawOpen": 0.3}))


def test_the_same_picture_is_refused_however_it_comes(studio, ann, portrait, speech):
    person, _, render, _, _ = ann
    studio.withdrawals.take_back(person.id)
    for source in (MediaSource.file(portrait), MediaSource.media(render.media_sha256)):
        with pytest.raises(ConsentMissingError, match="taken back"):
            studio.animation.submit_render(AnimationRequest(portrait=source, sound=MediaSource.file(speech)))
    with pytest.raises(ConsentMissingError, match="taken back"):
        studio.expressions.open(MediaSource.file(portrait))


def test_what_was_agreed_to_counts_for_the_same_file_too(studio, tmp_path, speech):
    path = picture(tmp_path / "cy.png", shade=70)
    only_edit = Consent(agreed_by="Cy", scopes=("edit",), granted_at=datetime.now(UTC))
    studio.identities.add("Cy", [path], consent=only_edit)
    asked = AnimationRequest(portrait=MediaSource.file(path), sound=MediaSource.file(speech))
    assert studio.expressions.open(MediaSource.file(path)).width
    with pytest.raises(ConsentMissingError, match="agreed to edit, but not to animate"):
        studio.animation.submit_render(asked)
    with pytest.raises(ConsentMissingError, match="not to animate"):
        studio.head_models.write(MediaSource.file(path), tmp_path / "head.glb")
    # whose it is nobody can tell where somebody else, who was never asked, has the same picture
    studio.identities.add("Dee", [path])
    assert studio.animation.submit_render(asked).state == "queued"


def test_of_a_picture_of_several_each_face_is_asked(studio, tmp_path):
    path = picture(tmp_path / "two.png", faces=2)
    studio.identities.add("Fay", [path], consent=agreed("Fay"), face_index=0)
    gus = studio.identities.add("Gus", [path], consent=agreed("Gus"), face_index=1)
    sha256 = studio.identities.photos(gus.id)[0].sha256
    require_of_media(studio.store, sha256, None, "animate")
    studio.withdrawals.take_back(gus.id)
    require_of_media(studio.store, sha256, 0, "animate")
    for face in (1, None):
        with pytest.raises(ConsentMissingError, match="Gus"):
            require_of_media(studio.store, sha256, face, "animate")


def test_the_other_one_in_a_picture_may_still_be_drawn(studio, ann, portrait, tmp_path):
    person, *_ = ann
    studio.identities.add("Eve", [portrait], consent=agreed("Eve"))
    studio.withdrawals.take_back(person.id)
    assert studio.expressions.open(MediaSource.file(portrait)).width


def test_what_was_made_is_erased_and_photos_and_agreements_stay(studio, ann):
    person, photo, render, adapter, _ = ann
    copy = studio.whole.store.database.back_up("daily")
    studio.withdrawals.take_back(person.id)
    assert studio.withdrawals.made_of(person.id) == "1 picture or clip and 1 adapter"
    erased = studio.withdrawals.erase(person.id)
    assert (erased.renders, erased.adapters, erased.runs) == (1, 1, 0)
    assert erased.freed_bytes > 0
    assert not studio.store.media.has(render.media_sha256)
    assert not copy.exists(), "a copy of the database"
    with pytest.raises(NotFoundError):
        studio.store.adapters.get(adapter.id)
    assert [p.id for p in studio.identities.photos(person.id)] == [photo.id]
    assert studio.identities.get(person.id).consents[0].revoked_at is not None
    assert studio.withdrawals.made_of(person.id) == ""
    assert studio.withdrawals.erase(person.id).sentence.startswith("Nothing erased")
