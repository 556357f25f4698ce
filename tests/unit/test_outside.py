"""Whatever comes from outside, one kind of error says what is wrong with it."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import LimitExceededError, NotFoundError, StudioError, UnreadableMediaError
from studio.outside import (
    DEEPEST,
    NoSuchContent,
    exists,
    json_of,
    of_disk,
    plain_file,
    text_of,
    toml_of,
    unpacked,
    zip_of,
)

values = st.recursive(st.none() | st.booleans() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))


@given(values)
def test_json_comes_back_as_it_was(value: object) -> None:
    assert json_of(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        b"\xff\xfe",
        "[" * 100_000,
        '{"a":' * 5_000,
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "9" * 5000,
    ],
)
def test_what_is_no_json_is_one_error(text: str | bytes) -> None:
    with pytest.raises(NoSuchContent):
        json_of(text)


def test_what_is_no_toml_is_one_error() -> None:
    for text in ("a = ", "a = " + "[" * 50_000, "a." * 20_000 + "b = 1", "a = '\x00'"):
        with pytest.raises(NoSuchContent):
            toml_of(text)
    assert toml_of("a = [1, 2]") == {"a": [1, 2]}


def no_files(folder: Path) -> dict[str, Path]:
    (folder / "empty.txt").write_bytes(b"")
    (folder / "link").symlink_to(folder / "nowhere")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "a file").write_text("text")
    os.mkfifo(folder / "pipe")
    return {
        "missing": folder / "missing", "folder": folder, "empty": folder / "empty.txt", "link": folder / "link",
        "circle": folder / "circle", "pipe": folder / "pipe", "device": Path("/dev/zero"), "long": folder / ("x" * 300),
        "deep": folder / "a file" / "below", "zero": Path("a\0b"), "endless": folder.joinpath(*["y" * 200] * 30),
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_what_is_no_plain_file_is_said(tmp_path: Path) -> None:
    for kind, path in no_files(tmp_path).items():
        for read in (plain_file, text_of):
            with pytest.raises((NotFoundError, UnreadableMediaError)) as caught:
                read(path)
            assert len(caught.value.message) < 200, kind
            assert caught.value.hint
        assert exists(path) == (kind in ("folder", "empty", "pipe", "device"))


def test_text_is_utf8_and_not_endless(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffgrün".encode())
    assert text_of(file) == "grün"
    with pytest.raises(LimitExceededError):
        text_of(file, most_bytes=3)
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UnreadableMediaError):
        text_of(file)


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", content)
    return out.getvalue()


def read_zip(path: Path, most_bytes: int = 1 << 20) -> bytes:
    with zip_of(path) as archive:
        return unpacked(archive, archive.namelist()[0], most_bytes=most_bytes)


def test_a_zip_is_unpacked_only_so_far(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(b"\0" * 5_000_000))
    with pytest.raises(LimitExceededError, match="unpacks to more"):
        read_zip(path)
    assert len(read_zip(path, 5_000_000)) == 5_000_000


@given(st.integers(0, 150), st.integers(0, 255))
def test_a_damaged_zip_is_one_error(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    data = bytearray(zipped(b"some words " * 30))
    data[at % len(data)] = byte
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(data)
    with suppress(StudioError, IndexError):  # IndexError: the list of its files is empty
        read_zip(path)


def test_what_a_disk_refuses_is_said_and_a_bug_is_not() -> None:
    full = of_disk(OSError(errno.ENOSPC, "No space left on device", "/data/x.png"))
    assert full is not None
    assert "disk is full" in full.message
    long = of_disk(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))
    assert long is not None
    assert long.exit_code == 2
    assert of_disk(MemoryError()) is not None
    for bug in (
        FileNotFoundError(errno.ENOENT, "gone", "assets/head.npz"),
        OSError("odd"),
        KeyError("a"),
        ValueError(),
    ):
        assert of_disk(bug) is None
