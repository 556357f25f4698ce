"""Performances are kept with every state: taken back and brought back, also by another process."""

from __future__ import annotations

import pytest

from studio.domain.performance_document import PerformanceDocument, document_of
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.store import Store
from studio.store.performances import MOST_STEPS


def document(*curves: str, amount: float = 1.0) -> PerformanceDocument:
    layers = [{"kind": "driving", "id": f"d{i}", "curves": c, "amount": amount} for i, c in enumerate(curves)]
    return document_of(
        {"format": "likeness-studio-performance-layers", "version": 1, "duration_seconds": 2.0, "layers": layers}
    )


def test_what_was_changed_is_taken_back_in_another_session(tmp_path) -> None:
    with Store(tmp_path / "data") as store:
        mine = store.of("local").performances
        kept = mine.add("Hello", document(), "Made", None)
        for amount in (0.5, 0.6, 0.7):
            curves = store.of("local").media.put(b"curves", ".json")
            mine.change(kept.id, document(curves, amount=amount), f"Amount {amount}")
    with Store(tmp_path / "data") as store:
        mine = store.of("local").performances
        assert mine.get("hello").undoes == "Amount 0.7"
        assert mine.get(kept.id).redoes is None
        assert mine.step(kept.id, -1).document.layers[0].amount == 0.6
        assert mine.step(kept.id, -1).redoes == "Amount 0.6"
    with Store(tmp_path / "data") as store:
        mine = store.of("local").performances
        assert mine.step(kept.id, 1).document.layers[0].amount == 0.6
        assert mine.step(kept.id, -1).document.layers[0].amount == 0.5
        assert not mine.step(kept.id, -1).document.layers
        with pytest.raises(UserInputError, match="nothing to take back"):
            mine.step(kept.id, -1)
        with pytest.raises(UserInputError, match="nothing to bring back"):
            [mine.step(kept.id, 1) for _ in range(4)]


def test_media_stay_as_long_as_any_state_needs_them(store: Store) -> None:
    owner = store.of("local")
    curves = owner.media.put(b"curves", ".json")
    kept = owner.performances.add("Hello", document(curves), "Made", None)
    owner.performances.change(kept.id, document(), "Removed")
    assert owner.media.has(curves), "it can be taken back"
    owner.performances.step(kept.id, -1)
    owner.performances.change(kept.id, document(curves, amount=0.2), "Amount")
    assert owner.performances.get(kept.id).redoes is None, "another change forgets what could be brought back"
    owner.performances.delete(kept.id)
    assert not owner.media.has(curves)
    with pytest.raises(NotFoundError):
        owner.performances.get(kept.id)


def test_media_that_only_a_forgotten_state_needed_go(store: Store) -> None:
    owner = store.of("local")
    curves = owner.media.put(b"curves", ".json")
    kept = owner.performances.add("Hello", document(), "Made", None)
    owner.performances.change(kept.id, document(curves), "Added")
    owner.performances.step(kept.id, -1)
    owner.performances.change(kept.id, document(amount=1.0).with_added({"kind": "idle"}), "Idle")
    assert not owner.media.has(curves)


def test_it_goes_with_its_person(store: Store) -> None:
    owner = store.of("local")
    person = owner.identities.add("Ada")
    curves = owner.media.put(b"curves", ".json")
    owner.performances.add("Hers", document(curves), "Made", person.id)
    owner.performances.add("Nobody's", document(), "Made", None)
    assert owner.identities.plan_deletion(person.id).performances == 1, "which is said before"
    owner.identities.delete(person.id)
    assert [p.name for p in owner.performances.list()] == ["Nobody's"]
    assert not owner.media.has(curves)


def test_names_are_told_apart_and_the_same_is_no_change(store: Store) -> None:
    mine = store.of("local").performances
    first = mine.add("Hello", document(), "Made", None)
    assert mine.add("hello", document(), "Made", None).name == "hello 2"
    assert mine.change(first.id, document(), "Nothing").undoes is None
    assert mine.rename(first.id, "hello 2").name == "hello 2 2"
    assert mine.rename(first.id, "Hello 2 2").name == "hello 2 2"
    with pytest.raises(ConflictError):
        mine.change(first.id, document("ab" * 32), "Lost")
    with pytest.raises(NotFoundError):
        store.of("other").performances.get(first.id)


def test_history_has_an_end(store: Store) -> None:
    mine = store.of("local").performances
    kept = mine.add("Hello", document(), "Made", None)
    for i in range(MOST_STEPS + 5):
        mine.change(kept.id, PerformanceDocument(version=1, duration_seconds=i + 1.0), str(i))
    for _ in range(MOST_STEPS - 1):
        mine.step(kept.id, -1)
    assert mine.get(kept.id).undoes is None
