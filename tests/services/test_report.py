"""What is held of a person can be handed to that person."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.errors import NotFoundError, UserInputError
from studio.services.sources import MediaSource
from tests.services.fakes import picture


@pytest.fixture
def ada(studio, portrait, tmp_path):
    agreed = Consent(
        agreed_by="Ada", scopes=("edit",), granted_at=datetime(2026, 1, 2, tzinfo=UTC), evidence="<b>letter</b>"
    )
    person = studio.identities.add("Ada", [portrait], consent=agreed)
    studio.identities.add("Bob", [picture(tmp_path / "bob.png", shade=60)])
    handle = studio.expressions.open(MediaSource.photo(studio.identities.photos(person.id)[0].id))
    kept = [studio.expressions.save(handle, ExpressionEdit({"smile": n / 4})) for n in (1, 2)]
    studio.library.delete(kept[0].id)
    return person, kept


def test_all_that_is_held_of_a_person_stands_in_it_and_nothing_of_others(studio, ada, tmp_path) -> None:
    person, kept = ada
    studio.reports.write("Ada", tmp_path / "ada.json")
    read = json.loads((tmp_path / "ada.json").read_text("utf-8"))
    assert read["identity_id"] == person.id
    assert [a["agreed by"] for a in read["Agreements"]] == ["Ada"]
    assert [p["file"] for p in read["Photos"]] == ["ann.png"]
    assert {r["id"]: r["state"] for r in read["Pictures and clips"]} == {kept[0].id: "in the trash", kept[1].id: ""}
    assert {r["sha256"] for r in read["Pictures and clips"]} == {k.media_sha256 for k in kept}


def test_the_page_shows_words_as_words(studio, ada, tmp_path) -> None:
    studio.reports.write("Ada", tmp_path / "ada.html")
    page = (tmp_path / "ada.html").read_text("utf-8")
    assert "&lt;b&gt;letter&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "bob.png" not in page
    assert "Pictures and clips (2)" in page


def test_another_ending_and_nobody(studio, ada, tmp_path) -> None:
    with pytest.raises(UserInputError, match=r"ada\.pdf"):
        studio.reports.write("Ada", tmp_path / "ada.pdf")
    with pytest.raises(NotFoundError):
        studio.reports.write("Nobody", tmp_path / "x.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ann.png", "bob.png", "data"]
