"""Base models by name: cards, the embedded one, downloads, a person's own files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import studio.studio as composition
from studio.domain.base_model import BaseModelCard
from studio.engines.diffusion.bases import downloads
from studio.errors import ConflictError, NotFoundError, StudioError, UnreadableMediaError, UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.bases import Bases, base_schema, download_progress, read_base_card
from tests.engines.diffusion.tiny_base import write_tiny_base

PRESETS = Path(composition.__file__).resolve().parents[1] / "presets"
CARDS = sorted((PRESETS / "bases").glob("*.json"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "tiny")


# -- cards -------------------------------------------------------------------------------------


def test_the_schema_file_is_generated() -> None:
    kept = json.loads((PRESETS / "schema" / "base.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(base_schema())), "write presets/schema/base.json anew from base_schema()"


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_every_card_fits_and_says_licence_and_size(path) -> None:
    card = read_base_card(path)
    assert card.licence
    assert card.about.endswith(".")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / document["$schema"]).resolve() == (PRESETS / "schema" / "base.json").resolve()
    if card.source == "hub":
        assert card.download_bytes > 10**9
        assert card.licence_url.startswith("https://")
        assert len(card.revision or "") == 40, "a download is always the same commit"
        assert not any(file.endswith((".bin", ".ckpt")) or "*" in file for file in card.files)


def test_the_cards_asked_for_are_there() -> None:
    assert {p.stem for p in CARDS} >= {"preview", "sd15", "sdxl"}


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', None])
def test_a_broken_card_is_refused(tmp_path, text) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text or (PRESETS / "bases" / "sd15.json").read_text(encoding="utf-8"))
    with pytest.raises(UserInputError):
        read_base_card(path)


# -- lists ---------------------------------------------------------------------------------------


def test_what_is_absent_says_how_to_get_it(studio) -> None:
    with pytest.raises(NotFoundError) as caught:
        studio.bases.resolve("sd15")
    assert "studio base download sd15" in caught.value.hint
    assert "2.1 GB" in caught.value.hint
    assert "Open RAIL" in caught.value.hint
    with pytest.raises(NotFoundError, match="nonsense"):
        studio.bases.get("nonsense")


def test_the_embedded_base_is_ready_when_its_files_are(studio, tiny, tmp_path) -> None:
    def bases(assets):
        return Bases(
            studio.store,
            studio.jobs._queue,
            studio.whole.engines,
            cards=PRESETS / "bases",
            assets=assets,
            models=tmp_path / "models",
        )

    (tmp_path / "assets").mkdir()
    assert bases(tmp_path / "assets").get("preview").state == "absent"
    with pytest.raises(NotFoundError) as caught:
        bases(tmp_path / "assets").resolve("preview")
    assert "base build" in caught.value.hint
    shutil.copytree(tiny, tmp_path / "assets" / "base")
    assert bases(tmp_path / "assets").get("preview").state == "ready"
    assert bases(tmp_path / "assets").resolve("preview").sha256
    with pytest.raises(UserInputError):
        bases(tmp_path / "assets").remove("preview")


# -- a person's own ----------------------------------------------------------------------------------


def test_own_files_stay_where_they_are(studio, tiny) -> None:
    entry = studio.bases.add(tiny, "Mine", "My base")
    assert (entry.card.name, entry.card.title, entry.state, entry.own) == ("mine", "My base", "ready", True)
    assert entry.card.source == "folder"
    assert studio.bases.list()[-1] == entry
    location = studio.bases.resolve("mine")
    assert (location.path, location.family, location.title) == (str(tiny), "sd15", "My base")
    assert studio.bases.remove("mine") == 0
    assert (tiny / "model_index.json").is_file()
    with pytest.raises(NotFoundError):
        studio.bases.get("mine")


def test_names_are_checked_and_unique(studio, tiny) -> None:
    studio.bases.add(tiny, "mine")
    for name, kind in (
        ("mine", ConflictError),
        ("sd15", ConflictError),
        ("a b", UserInputError),
        ("-", UserInputError),
    ):
        with pytest.raises(kind):
            studio.bases.add(tiny, name)


def test_what_cannot_be_added_is_named(studio, tmp_path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    for path, kind in (
        (tmp_path / "gone", NotFoundError), (tmp_path / "model.ckpt", UserInputError),
        (tmp_path / "model.safetensors", UnreadableMediaError), (tmp_path, UserInputError),
    ):  # fmt: skip
        with pytest.raises(kind):
            studio.bases.add(path)


def test_files_that_moved_or_changed_are_noticed(studio, tmp_path) -> None:
    folder = write_tiny_base(tmp_path / "mine")
    studio.bases.add(folder)
    write_tiny_base(folder, seed=1)
    with pytest.raises(ConflictError, match="others than when"):
        studio.bases.resolve("mine")
    folder.rename(tmp_path / "elsewhere")
    assert studio.bases.get("mine").state == "absent"
    with pytest.raises(NotFoundError, match="gone"):
        studio.bases.resolve("mine")


# -- downloads ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(studio, tiny, tmp_path, monkeypatch):
    """A card whose download copies the tiny base, without any network."""
    files = tuple(str(p.relative_to(tiny).as_posix()) for p in sorted(tiny.rglob("*")) if p.is_file())
    card = BaseModelCard(
        name="toy", title="Toy", family="sd15", source="hub", repository="some/toy", revision="a" * 40, files=files,
        download_bytes=3_700_000, licence="MIT", resolution=64,
    )  # fmt: skip
    studio.bases._cards["toy"] = card
    state = {"break": False, "calls": 0}

    def download(card, folder, *, token, on_progress, offline):
        downloads.refuse_offline(card, offline=offline)
        state["calls"] += 1
        for number, name in enumerate(card.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((tiny / name).read_bytes())
            on_progress(number + 1, len(card.files), 1e6)
            if state["break"] and number == 2:
                raise ConnectionAbortedError

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(downloads, "download", download)
    return state


def test_a_download_becomes_ready_and_is_not_repeated(studio, hub) -> None:
    told = []
    assert studio.bases.get("toy").state == "absent"
    entry = studio.bases.download("toy", on_progress=told.append)
    assert entry.state == "ready"
    assert told[-1].fraction == 1.0
    assert studio.bases.resolve("toy").sha256
    studio.bases.download("toy")
    assert hub["calls"] == 1
    freed = studio.bases.remove("toy")
    assert freed > 1e6
    assert studio.bases.get("toy").state == "absent"


def test_a_broken_download_is_partial_and_never_used(studio, hub) -> None:
    hub["break"] = True
    with pytest.raises(ConnectionAbortedError):
        studio.bases.download("toy")
    assert studio.bases.get("toy").state == "partial"
    with pytest.raises(NotFoundError, match="completely"):
        studio.bases.resolve("toy")
    hub["break"] = False
    assert studio.bases.download("toy").state == "ready"


def test_a_download_as_a_job(studio, hub) -> None:
    studio.bases.submit_download("toy")
    done = work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=lambda owner: studio))
    assert [(j.state, j.outputs["name"]) for j in done] == [("done", "toy")]
    with pytest.raises(ConflictError):
        studio.bases.submit_download("toy")


def test_offline_and_what_is_not_on_the_hub_are_refused_at_once(studio, hub, tiny, monkeypatch) -> None:
    studio.bases.add(tiny, "mine")
    for name in ("mine", "preview"):
        with pytest.raises(StudioError):
            studio.bases.download(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for act in (studio.bases.download, studio.bases.submit_download):
        with pytest.raises(UserInputError, match="HF_HUB_OFFLINE"):
            act("toy")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(studio.bases, "_offline", True)
    with pytest.raises(UserInputError, match="offline"):
        studio.bases.submit_download("toy")


def test_progress_reads_as_a_sentence() -> None:
    assert download_progress(1_200_000_000, 6_900_000_000, 12.3e6).stage == "1.2 of 6.9 GB, 12.3 MB/s, 8 min left"
    assert download_progress(10**6, 2 * 10**6, 0).stage == "1.0 of 2.0 MB"
    assert download_progress(10**6, 2 * 10**6, 1e6).seconds_left == 1.0
