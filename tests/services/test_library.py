"""The library: pages, trash, export, recipes of files, verify."""

from __future__ import annotations

from dataclasses import replace

import pytest

from studio.domain.expression import ExpressionEdit
from studio.domain.render import NewRender
from studio.engines.media.pictures import write_png
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError
from studio.services.recipes import new_recipe
from studio.services.sources import MediaSource


@pytest.fixture
def renders(studio, portrait):
    handle = studio.expressions.open(MediaSource.file(portrait))
    return [studio.expressions.save(handle, ExpressionEdit({"smile": i / 20}), note=f"Smile {i}") for i in range(1, 6)]


def test_pages_are_newest_first_and_complete(studio, renders) -> None:
    first = studio.library.page(size=2)
    assert [r.title for r in first.renders] == ["Smile 5", "Smile 4"]
    assert first.total == 5
    seen, cursor = list(first.renders), first.next_cursor
    while cursor:
        page = studio.library.page(size=2, cursor=cursor)
        seen += page.renders
        cursor = page.next_cursor
    assert [r.id for r in seen] == [r.id for r in reversed(renders)]


def test_stars_and_words_filter(studio, renders) -> None:
    studio.library.star(renders[1].id)
    assert [r.id for r in studio.library.page(starred=True).renders] == [renders[1].id]
    studio.library.star(renders[1].id, False)
    assert studio.library.page(starred=True).total == 0
    assert studio.library.page(text="smi 3").total == 1
    assert studio.library.page(kind="clip").total == 0


def test_a_new_title_is_shown_and_found_and_changes_no_file(studio, renders) -> None:
    before = studio.library.path(renders[0]).read_bytes()
    named = studio.library.rename(renders[0].id, "  For the\n poster ")
    assert named.title == "For the poster"
    assert [r.id for r in studio.library.page(text="poster").renders] == [named.id]
    assert studio.library.page(text="smile 1").renders[0].id == named.id, "what it shows is found as before"
    assert (studio.library.path(named).read_bytes(), named.recipe) == (before, renders[0].recipe)
    for title in ("", "  ", "x" * 121):
        with pytest.raises(UserInputError):
            studio.library.rename(named.id, title)
    with pytest.raises(NotFoundError):
        studio.library.rename("none", "x")


def test_what_a_render_was_made_from_is_at_hand(studio, renders, portrait) -> None:
    found = studio.library.inputs(renders[0])
    assert found["portrait"].read_bytes() == portrait.read_bytes()
    found["portrait"].unlink()
    assert studio.library.inputs(renders[0]) == {}


def test_deleted_renders_come_back_from_the_trash(studio, renders) -> None:
    studio.library.delete(renders[0].id)
    assert studio.library.page().total == 4
    studio.library.restore(renders[0].id)
    assert studio.library.page().total == 5


def test_export_into_a_folder_and_to_a_file(studio, renders, tmp_path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    path = studio.library.export(renders[0].id, folder)
    assert path.name == f"smile-1-{renders[0].id}.png"
    again = studio.library.export(renders[0].id, tmp_path / "one.png")
    for out in (path, again):
        assert studio.provenance.verify(out).credentials.content_sha256 == renders[0].media_sha256
    with pytest.raises(NotFoundError):
        studio.library.export(renders[0].id, tmp_path / "missing" / "one.png")
    with pytest.raises(UserInputError, match=r"is a \.png file"):
        studio.library.export(renders[0].id, tmp_path / "one.mp4")
    assert not (tmp_path / "one.mp4").exists()


def test_a_file_of_ours_brings_its_recipe_back(studio, renders, tmp_path) -> None:
    path = studio.library.export(renders[0].id, tmp_path / "one.png")
    assert studio.library.recipe_of_file(path)["request"]["values"] == {"smile": 0.05}


def test_files_of_others_do_not(studio, portrait, tmp_path) -> None:
    with pytest.raises(UserInputError, match="no recipe"):
        studio.library.recipe_of_file(portrait)
    image = studio.identities.inspect(portrait).image
    newer = write_png(tmp_path / "newer.png", image, {"format": "likeness-studio-recipe", "version": 99})
    with pytest.raises(UserInputError, match="newer"):
        studio.library.recipe_of_file(newer)
    text = tmp_path / "x.mp4"
    text.write_text("no clip")
    with pytest.raises(UnreadableMediaError):
        studio.library.recipe_of_file(text)


def test_verify_finds_missing_changed_and_orphan_files(studio, renders, portrait) -> None:
    assert studio.whole.upkeep.verify().ok
    studio.library.path(renders[0]).unlink()
    studio.library.path(renders[1]).write_bytes(b"changed")
    (studio.store.data_dir / "media" / "stray.png").write_bytes(b"x")
    report = studio.whole.upkeep.verify()
    assert report.missing == (renders[0].media_sha256,)
    assert report.changed == (renders[1].media_sha256,)
    assert report.orphans == ("media/stray.png",)
    with pytest.raises(NotFoundError):
        studio.library.export(renders[0].id, portrait.parent / "x.png")


def test_sweep_removes_old_scratch_files_only(studio, tmp_path) -> None:
    import os

    scratch = studio.store.data_dir / "scratch"
    scratch.mkdir(exist_ok=True)
    for name, age in (("old.mp4", 2 * 86400), ("new.mp4", 60)):
        (scratch / name).write_bytes(b"x" * 10)
        past = (scratch / name).stat().st_mtime - age
        os.utime(scratch / name, (past, past))
    assert studio.whole.upkeep.sweep() == 10
    assert [p.name for p in scratch.iterdir()] == ["new.mp4"]


def test_unknown_ids(studio) -> None:
    for call in (studio.library.show, studio.library.rerun, studio.library.submit_rerun, studio.library.star):
        with pytest.raises(NotFoundError):
            call("nothing")


def test_a_picture_that_no_engine_here_made_is_not_made_again(studio, renders) -> None:
    first = studio.library.show(renders[0].id)
    recipe = new_recipe("image", {"clip": "x"}, {"sheet": "1"}, {})
    made = NewRender(kind="image", media_sha256=first.media_sha256, recipe=recipe, engine="sheet", engine_version="1")
    other = studio.store.renders.add(replace(made, title="A sheet"))
    with pytest.raises(UserInputError, match="A sheet cannot be made again"):
        studio.library.rerun(other.id)
