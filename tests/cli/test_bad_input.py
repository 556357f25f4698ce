"""Every bad input gets one sentence, a hint, the right exit code, no traceback, and no half file."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import studio.studio as composition
from studio.engines.base import Sound
from studio.engines.media.sound import write_wav
from tests.cli.conftest import program


def refused(ran, code: int, words: str) -> None:
    assert ran.code == code, ran.out + ran.err
    assert ran.err.startswith("Error: "), ran.err
    assert words.lower() in ran.err.lower()
    assert "Traceback" not in ran.err + ran.out
    assert len(ran.err.strip().splitlines()) <= 2


# -- usage -------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["edit"],
        ["edit", "a.png"],
        ["library", "list", "--limit", "0"],
        ["library", "list", "--kind", "song"],
        ["animate", "a.png", "--out", "o.mp4", "--fps", "many"],
        ["identity", "add", "Ann"],
        ["identity", "add", "Ann", "a.png", "--consent-until", "tomorrow"],
    ],
)
def test_usage_errors_exit_with_2(run, arguments) -> None:
    refused(run(*arguments), 2, "")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["nonsense"], "`studio --help` lists the commands."),
        (["animate"], "`studio animate --help` lists what it takes."),
        (["edit", "a.png", "--owt", "b.png"], "`studio edit --help` lists what it takes."),
        (["motion", "lst"], "`studio motion --help` lists its commands."),
    ],
)
def test_a_usage_error_names_the_help_of_the_command_that_was_meant(run, arguments, hint) -> None:
    assert run(*arguments).err.strip().endswith(hint)


def test_what_may_move_a_photo_is_named(run, tmp_path) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(photo)
    for options, words in (
        ([], "a sound, a text to speak, recorded motion or a video of a face"),
        (["--say", "Hello", "--speech", photo], "a sound or a text to speak, not both"),
    ):
        refused(run("animate", photo, "--out", tmp_path / "o.mp4", *options), 2, words)


def test_errors_are_json_too(run) -> None:
    ran = run("edit", "missing.png", "--out", "o.png", "--json")
    assert ran.code == 3
    assert ran.json["error"]["type"] == "NotFoundError"
    assert ran.json["error"]["hint"]
    assert run("nonsense", "--json").json["error"]["message"]


@pytest.mark.parametrize("group", [[], ["identity"], ["library"], ["jobs"], ["assets"]])
def test_help_is_there(run, group) -> None:
    ran = run(*group, "--help")
    assert ran.code == 0
    assert "Usage" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["identity", "show", "nobody"],
        ["identity", "delete", "nobody"],
        ["library", "show", "nothing"],
        ["library", "rerun", "nothing"],
        ["library", "export", "nothing", "x.mp4"],
        ["jobs", "watch", "nothing"],
        ["jobs", "cancel", "nothing"],
        ["jobs", "retry", "nothing"],
        ["edit", "missing.png", "--out", "o.png"],
        ["edit", "missing.png", "--out", "o.png", "--preset", "nothing"],
        ["identity", "add", "Ann", "missing.png"],
        ["bench", "nothing"],
    ],
)
def test_what_does_not_exist_exits_with_3(run, arguments) -> None:
    refused(run(*arguments), 3, "there is no")


def test_a_bug_says_so_and_leaves_a_report(run, monkeypatch) -> None:
    def fail(*arguments, **options):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("studio.services.people.identities.Identities.list", fail)
    ran = run("identity", "list")
    assert ran.code == 1
    assert "This is a bug" in ran.err
    assert "Traceback" not in ran.err
    report = Path(ran.err.split("Details: ")[1].strip())
    assert "ZeroDivisionError" in report.read_text()
    report.unlink()


# -- pictures ------------------------------------------------------------------


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def edit(run, photo: Path, out: Path, *more: object):
    return run("edit", photo, "--set", "smile=.3", "--out", out, *more)


def test_no_face(run, tmp_path) -> None:
    flat = save(tmp_path / "flat.png", Image.new("RGB", (400, 300), (90, 120, 160)))
    refused(edit(run, flat, tmp_path / "o.png"), 2, "no face")
    assert not (tmp_path / "o.png").exists()


def test_twenty_pixels(run, tmp_path, astronaut) -> None:
    tiny = save(tmp_path / "tiny.png", Image.open(astronaut).resize((20, 20)))
    refused(edit(run, tiny, tmp_path / "o.png"), 2, "20 x 20")


def test_several_faces(run, tmp_path, astronaut) -> None:
    one = Image.open(astronaut).convert("RGB").crop((120, 0, 360, 260))
    two = Image.new("RGB", (480, 260))
    two.paste(one, (0, 0))
    two.paste(one, (240, 0))
    both = save(tmp_path / "two.png", two)
    refused(edit(run, both, tmp_path / "o.png"), 2, "2 faces")
    ran = edit(run, both, tmp_path / "o.png", "--face", "2")
    assert ran.code == 0, ran.err
    refused(edit(run, both, tmp_path / "p.png", "--face", "3"), 2, "no face 3")


@pytest.mark.parametrize("kind", ["cmyk", "alpha", "exif", "animated", "gray16", "heic", "palette"])
def test_odd_pictures_work(run, tmp_path, astronaut, kind) -> None:
    face = Image.open(astronaut).convert("RGB").crop((100, 0, 400, 300))
    if kind == "cmyk":
        path = save(tmp_path / "a.jpg", face.convert("CMYK"))
    elif kind == "alpha":
        face.putalpha(255)
        path = save(tmp_path / "a.png", face)
    elif kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "a.jpg", face.rotate(90, expand=True), exif=exif)
    elif kind == "animated":
        path = save(tmp_path / "a.gif", face, save_all=True, append_images=[face.rotate(5)])
    elif kind == "gray16":
        gray = np.asarray(face.convert("L")).astype(np.uint16) * 257
        path = save(tmp_path / "a.png", Image.fromarray(gray))
    elif kind == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
        path = save(tmp_path / "a.heic", face)
    else:
        path = save(tmp_path / "a.png", face.convert("P"))
    ran = edit(run, path, tmp_path / "o.png", "--size", "256")
    assert ran.code == 0, ran.err
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (256, 256)


def test_what_only_pretends_to_be_a_picture(run, tmp_path, astronaut) -> None:
    text = tmp_path / "text.png"
    text.write_text("hello")
    refused(edit(run, text, tmp_path / "o.png"), 2, "not a picture")
    whole = io.BytesIO()
    Image.open(astronaut).convert("RGB").save(whole, "JPEG")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    refused(edit(run, cut, tmp_path / "o.png"), 2, "breaks off")
    (tmp_path / "empty.png").touch()
    refused(edit(run, tmp_path / "empty.png", tmp_path / "o.png"), 2, "empty")
    refused(edit(run, tmp_path, tmp_path / "o.png"), 2, "folder")


def test_a_decompression_bomb(run, tmp_path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = tmp_path / "bomb.png"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(edit(run, bomb, tmp_path / "o.png"), 2, "pixels")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "smile"], "name and a number"),
        (["--set", "smile=much"], "name and a number"),
        (["--set", "=1"], "no name"),
        (["--set", "smiley=1"], "no control named"),
        (["--set", "smile=2"], "goes from"),
        (["--size", "100"], "100 pixels"),
        (["--size", "9000"], "9000 pixels"),
    ],
)
def test_bad_values(run, tmp_path, astronaut, more, words) -> None:
    refused(run("edit", astronaut, "--out", tmp_path / "o.png", *more), 2, words)


def test_places_that_cannot_be_written(run, tmp_path, astronaut) -> None:
    refused(edit(run, astronaut, tmp_path / "o.bmp"), 2, "picture format")
    refused(edit(run, astronaut, tmp_path / "no" / "o.png"), 3, "folder")


# -- sounds ----------------------------------------------------------------------


def animate(run, photo: Path, sound: Path, out: Path, *more: object):
    return run("animate", photo, "--speech", sound, "--size", "256", "--out", out, *more)


def wav(path: Path, seconds: float, level: float = 0.0, rate: int = 16000) -> Path:
    samples = np.random.default_rng(0).normal(0, 1, int(seconds * rate)) * level
    return write_wav(path, Sound(np.clip(samples, -1, 1).astype(np.float32), rate))


def test_silence_works_and_says_so(run, tmp_path, astronaut) -> None:
    ran = animate(run, astronaut, wav(tmp_path / "s.wav", 0.4), tmp_path / "o.mp4")
    assert ran.code == 0, ran.err
    assert ran.out.count("silent") == 1


def test_eight_kilohertz_works(run, tmp_path, astronaut) -> None:
    ran = animate(run, astronaut, wav(tmp_path / "s.wav", 0.4, 0.1, 8000), tmp_path / "o.mp4")
    assert ran.code == 0, ran.err


def test_eight_channels_work(run, tmp_path, astronaut) -> None:
    import wave

    path = tmp_path / "s.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(8)
        file.setsampwidth(2)
        file.setframerate(16000)
        noise = np.random.default_rng(1).normal(0, 3000, 8 * 6400)
        file.writeframes(noise.astype("<i2").tobytes())
    ran = animate(run, astronaut, path, tmp_path / "o.mp4")
    assert ran.code == 0, ran.err


def test_sounds_that_cannot_be_used(run, tmp_path, astronaut) -> None:
    out = tmp_path / "o.mp4"
    refused(animate(run, astronaut, wav(tmp_path / "zero.wav", 0.0), out), 2, "0 seconds")
    (tmp_path / "text.wav").write_text("hello")
    refused(animate(run, astronaut, tmp_path / "text.wav", out), 2, "not a sound")
    refused(animate(run, astronaut, tmp_path / "missing.wav", out), 3, "no file")
    refused(animate(run, astronaut, astronaut, out), 2, "sound")
    assert not out.exists()


def test_three_hours_are_refused_at_once(run, tmp_path, astronaut) -> None:
    path = tmp_path / "long.wav"
    size = 3 * 3600 * 16000 * 2
    with path.open("wb") as file:
        head = b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
        head += (1).to_bytes(2, "little") * 2 + (16000).to_bytes(4, "little") + (32000).to_bytes(4, "little")
        file.write(head + (2).to_bytes(2, "little") + (16).to_bytes(2, "little") + b"data" + size.to_bytes(4, "little"))
        file.truncate(size + 44)  # a sparse file: nothing is really written
    refused(animate(run, astronaut, path, tmp_path / "o.mp4"), 2, "180 minutes")


def test_transcripts(run, tmp_path, astronaut, speech) -> None:
    words = "Wholly different words 😀 xyzzyq"
    ran = animate(run, astronaut, speech, tmp_path / "o.mp4", "--transcript", words)
    assert ran.code == 0, ran.err
    assert "note:" in ran.out
    refused(
        animate(run, astronaut, speech, tmp_path / "p.mp4", "--transcript", tmp_path / "no.txt"), 3, "no transcript"
    )
    binary = tmp_path / "b.txt"
    binary.write_bytes(b"\xff\xfe\x00\xd8" * 20)
    refused(animate(run, astronaut, speech, tmp_path / "p.mp4", "--transcript", binary), 2, "not a text file")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--emotion", "joy"], "name and a number"),
        (["--emotion", "joy:2"], "0 to 1"),
        (["--emotion", "glee:.5"], "no emotion"),
        (["--amount", "head=9"], "0 to 2"),
        (["--amount", "tail=1"], "tail"),
        (["--fps", "26"], "24, 25, 30 or 60"),
        (["--language", "tlh"], "language"),
        (["--say", "Hello"], "sound or a text"),
        (["--curves", "c.txt"], "curves"),
        (["--engine", "magic"], "magic"),
    ],
)
def test_bad_requests(run, tmp_path, astronaut, speech, more, words) -> None:
    ran = animate(run, astronaut, speech, tmp_path / "o.mp4", *more)
    refused(ran, 4 if "--engine" in more else 2, words)


def test_a_clip_needs_a_sound_and_a_format(run, tmp_path, astronaut, speech) -> None:
    refused(run("animate", astronaut, "--out", tmp_path / "o.mp4"), 2, "a sound, a text to speak")
    refused(run("animate", astronaut, "--speech", speech, "--out", tmp_path / "o.avi"), 2, "clip format")


# -- the data folder -----------------------------------------------------------------


def test_a_database_of_a_newer_studio_is_left_alone(run, tmp_path) -> None:
    assert run("identity", "list").code == 0
    path = tmp_path / "data" / "studio.db"
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('studio', 'm999_x', '')"
        )
    database.close()
    before = path.read_bytes()
    refused(run("identity", "list"), 4, "newer studio")
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_data_folder(tmp_path, run) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:
        # Root may write anywhere, so a file stands where the folder would have to be.
        ran = program("identity", "list", data_dir=Path("/dev/null/data"))
    else:
        folder.chmod(0o500)
        ran = program("identity", "list", data_dir=folder)
    refused(ran, 4, "")


def test_a_data_folder_that_is_a_file(tmp_path, run) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    for folder in (place, place / "under"):
        refused(run("library", "list", "--data-dir", folder), 4, "cannot be made")
    assert place.read_text() == "not a folder"


def test_a_broken_settings_file(run, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "settings.toml").write_text("port = 'high'")
    refused(run("identity", "list"), 2, "settings.toml")


def test_two_studios_on_one_folder(run, tmp_path) -> None:
    with composition.Studio(tmp_path / "data"):
        assert run("identity", "list").code == 0
        assert run("library", "list").code == 0


def test_a_full_disk_says_so(run, tmp_path, astronaut, monkeypatch) -> None:
    import errno

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    refused(edit(run, astronaut, tmp_path / "o.png"), 4, "disk is full")
    assert not list(tmp_path.glob("*.png"))
