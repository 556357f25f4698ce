"""What people read as one name is one name in every table that has names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studio.domain.adapter import NewAdapter
from studio.errors import ConflictError, UserInputError
from studio.store import Store
from tests.store.conftest import ME, a_render

COMPOSED, DECOMPOSED, LOUD = "Jos\u00e9", "Jose\u0301", " JOSE\u0301 "


def an_adapter(store: Store, name: str) -> str:
    sha256 = store.of(ME).media.put(b"weights", ".safetensors")
    return (
        store.of(ME)
        .adapters.add(NewAdapter(name=name, method="lora", origin="imported", family="tiny", media_sha256=sha256))
        .id
    )


MADE: dict[str, tuple[Callable[[Store, str], str], Callable[[Store, str], object]]] = {
    "person": (lambda s, n: s.of(ME).identities.add(n).id, lambda s, n: s.of(ME).identities.find(n)),
    "project": (lambda s, n: s.of(ME).projects.add(n).id, lambda s, n: s.of(ME).projects.find(n)),
    "adapter": (an_adapter, lambda s, n: s.of(ME).adapters.find(n)),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_name_is_taken_once_however_it_is_written(store: Store, kind: str) -> None:
    add, find = MADE[kind]
    id = add(store, DECOMPOSED)
    for name in (COMPOSED, DECOMPOSED, LOUD):
        with pytest.raises(ConflictError):
            add(store, name)
        assert find(store, name).id == id  # type: ignore[attr-defined]
        assert find(store, name).name == COMPOSED  # type: ignore[attr-defined]
    add(store, "Jose")


def test_a_preset_takes_the_place_of_one_that_reads_the_same(store: Store) -> None:
    presets = store.of(ME).presets
    first = presets.put("expression", DECOMPOSED, {"a": 1})
    presets.put("expression", LOUD, {"a": 2})
    assert [(p.id, p.name, p.values) for p in presets.list("expression")] == [(first.id, COMPOSED, {"a": 2})]
    presets.delete("expression", LOUD)
    assert presets.list("expression") == ()


def test_a_search_finds_a_word_however_it_is_written(store: Store) -> None:
    render = a_render(store, title="Zo\u00eblle smiles")
    assert [r.id for r in store.of(ME).renders.page(text="zoe\u0308lle").renders] == [render.id]


def test_text_that_is_none_is_refused_in_one_sentence(store: Store) -> None:
    with pytest.raises(UserInputError, match="no letters"):
        store.of(ME).identities.add("Ann\udcff")
    assert store.of(ME).identities.find("Ann\udcff") is None
