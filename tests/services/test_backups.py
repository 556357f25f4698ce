"""The whole studio in one file, and back."""

from __future__ import annotations

import json
import stat
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.expression import ExpressionEdit
from studio.engines.media.archive import LIST, is_harmless
from studio.errors import ConflictError, NotFoundError, StoreError, UnreadableMediaError
from studio.services.backups import restore
from studio.services.marks import KEY_FILE
from studio.services.sources import MediaSource
from studio.studio import Studio


@pytest.fixture
def used(studio, portrait, tmp_path):
    """A studio with a person, a picture, keys and settings, and what a backup leaves out."""
    person = studio.identities.add("Ann", [portrait])
    photo = studio.identities.photos(person.id)[0]
    render = studio.expressions.save(
        studio.expressions.open(MediaSource.photo(photo.id)), ExpressionEdit({"jawOpen": 0.5})
    )
    studio.library.export(render.id, tmp_path / "signed.png")
    folder = studio.store.data_dir
    (folder / "settings.toml").write_text('theme = "dark"\n')
    (folder / "runs" / "r1").mkdir(parents=True)
    (folder / "runs" / "r1" / "state.safetensors").write_bytes(b"momentum" * 1000)
    for left_out in ("cache/window/x.jpg", "trash/old.png", "models/base/unet.safetensors"):
        (folder / left_out).parent.mkdir(parents=True, exist_ok=True)
        (folder / left_out).write_bytes(b"much")
    return studio, render


def write(studio, out, **how):
    return studio.whole.upkeep.back_up(out, **how)


def test_all_comes_back_elsewhere(used, tmp_path):
    studio, render = used
    report = write(studio, tmp_path)
    assert report.path.parent == tmp_path
    assert report.gone == ()
    if sys.platform != "win32":
        assert stat.S_IMODE(report.path.stat().st_mode) == 0o600, "the keys are in it"
    elsewhere = tmp_path / "new" / "place"
    steps = []
    back = restore(report.path, elsewhere, on_progress=steps.append)
    assert (back.files, back.bytes) == (report.files, report.bytes)
    assert steps[-1].fraction == 1.0
    assert (elsewhere / "runs" / "r1" / "state.safetensors").stat().st_size == 8000
    with Studio(elsewhere) as other:
        own = other.for_owner()
        assert other.upkeep.verify().ok
        assert [p.name for p in own.identities.list()] == ["Ann"]
        assert own.library.path(own.library.show(render.id)).read_bytes() == studio.library.path(render).read_bytes()
        verdict = own.provenance.verify(tmp_path / "signed.png")
        assert (verdict.credentials.standing, verdict.render_id) == ("ours", render.id)
    assert (elsewhere / KEY_FILE).read_bytes() == (studio.store.data_dir / KEY_FILE).read_bytes()
    assert (elsewhere / "settings.toml").is_file()
    assert not any((elsewhere / name).exists() for name in ("cache/window", "trash/old.png", "models/base"))
    with_models = write(studio, tmp_path / "models.zip", models=True)
    assert with_models.files == report.files + 1


def test_nothing_is_overwritten(used, tmp_path):
    studio, _ = used
    taken = tmp_path / "taken.zip"
    taken.write_bytes(b"mine")
    with pytest.raises(ConflictError, match="replaces nothing"):
        write(studio, taken)
    assert taken.read_bytes() == b"mine"
    with pytest.raises(NotFoundError):
        write(studio, tmp_path / "nowhere" / "a.zip")
    report = write(studio, tmp_path / "a.zip")
    before = sorted(studio.store.data_dir.rglob("*"))
    with pytest.raises(ConflictError, match="never overwrites"):
        restore(report.path, studio.store.data_dir)
    assert sorted(studio.store.data_dir.rglob("*")) == before


def test_what_is_deleted_meanwhile_is_said(used, tmp_path, monkeypatch):
    studio, render = used
    path = studio.library.path(render)
    copy = studio.whole.store.database.copy_to

    def copied_then_deleted(to):
        copy(to)
        path.unlink()

    monkeypatch.setattr(studio.whole.store.database, "copy_to", copied_then_deleted)
    report = write(studio, tmp_path / "a.zip")
    assert [name.rsplit("/", 1)[-1] for name in report.gone] == [path.name]
    restore(report.path, tmp_path / "back")
    with Studio(tmp_path / "back") as other:
        assert other.upkeep.verify().missing == (render.media_sha256,)


def changed(source, out, change):
    """Write a zip anew with one entry changed, renamed or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            for other, data in change(name, old.read(name)):
                new.writestr(other, data)
    return out


def listed(change):
    """Return a change of the list alone."""

    def rewrite(name, data):
        if name != LIST:
            return [(name, data)]
        table = json.loads(data)
        change(table)
        return [(name, json.dumps(table))]

    return rewrite


BAD = {
    "a changed byte": lambda name, data: [(name, data[:-1] + b"!" if name.startswith("media/") else data)],
    "a missing file": lambda name, data: [] if name.startswith("media/") else [(name, data)],
    "a file more": lambda name, data: [(name, data), ("more.txt", b"x")] if name == "studio.db" else [(name, data)],
    "no list": lambda name, data: [] if name == LIST else [(name, data)],
    "another program's": listed(lambda table: table.update(format="other")),
    "a newer one": listed(lambda table: table.update(version=99)),
    "a list that is none": lambda name, data: [(name, b"[1, 2]" if name == LIST else data)],
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_is_no_whole_backup_brings_nothing(used, tmp_path, bad):
    studio, _ = used
    report = write(studio, tmp_path / "a.zip")
    spoiled = changed(report.path, tmp_path / "bad.zip", BAD[bad])
    with pytest.raises(UnreadableMediaError):
        restore(spoiled, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".restore-*"))


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "media/../../evil", "C:evil", "media/con.txt", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(used, tmp_path, name):
    studio, _ = used
    report = write(studio, tmp_path / "a.zip")

    def renamed(old, data):
        if old == LIST:
            table = json.loads(data)
            table["files"][name] = table["files"].pop("settings.toml")
            return [(old, json.dumps(table))]
        return [(name if old == "settings.toml" else old, data)]

    with pytest.raises(UnreadableMediaError):
        restore(changed(report.path, tmp_path / "bad.zip", renamed), tmp_path / "back")
    assert not (tmp_path / "evil.txt").exists()


def test_text_and_half_a_file_are_no_backup(used, tmp_path):
    studio, _ = used
    report = write(studio, tmp_path / "a.zip")
    half = tmp_path / "half.zip"
    half.write_bytes(report.path.read_bytes()[: report.path.stat().st_size // 2])
    text = tmp_path / "text.zip"
    text.write_text("hello")
    for path in (half, text):
        with pytest.raises(UnreadableMediaError):
            restore(path, tmp_path / "back")


def test_a_disk_without_room_is_said_before_anything_is_written(used, tmp_path, monkeypatch):
    studio, _ = used
    report = write(studio, tmp_path / "a.zip")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(StoreError, match="no room"):
        restore(report.path, tmp_path / "back")


@given(st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1), min_size=1))
def test_plain_names_are_harmless(parts):
    name = "/".join(f"x{part}" for part in parts)
    assert is_harmless(name)
    assert not is_harmless(f"../{name}")
    assert not is_harmless(f"{name}/")
    assert not is_harmless(f"{name}//x")
