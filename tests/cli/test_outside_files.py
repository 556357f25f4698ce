"""Every command that takes a file, given every file that is none: one sentence, and a code that is no bug's."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studio.engines.media.recipe import PNG_KEYWORD

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")

COMMANDS: dict[str, tuple[list[str], str, str]] = {
    "edit": (["edit", "{bad}", "--set", "smile=.5", "--out", "{out}.png"], ".png", "picture"),
    "animate a picture": (["animate", "{bad}", "--speech", "{sound}", "--out", "{out}.mp4"], ".png", ""),
    "animate to a sound": (["animate", "{photo}", "--speech", "{bad}", "--out", "{out}.mp4"], ".wav", "any"),
    "animate with words": (
        ["animate", "{photo}", "--speech", "{sound}", "--transcript", "{bad}", "--out", "{out}.mp4"], ".txt", "text",
    ),
    "identity add": (["identity", "add", "Ann", "{bad}"], ".png", "picture"),
    "identity curate": (["identity", "curate", "{bad}", "--report"], "", ""),
    "generate from": (["generate", "a face", "--from", "{bad}"], ".png", "any"),
    "generate mask": (["generate", "a face", "--from", "{photo}", "--mask", "{bad}"], ".png", "any"),
    "adapter import": (["adapter", "import", "{bad}"], ".safetensors", "any weights"),
    "base add": (["base", "add", "{bad}", "--name", "mine"], ".safetensors", "any weights"),
    "library show": (["library", "show", "{bad}"], ".png", "any picture recipe zip"),
    "data folder": (["library", "list", "--data-dir", "{bad}"], "", ""),
}  # fmt: skip
"""The command, the ending of its file, and which contents are tried."""


def png(text: str) -> bytes:
    out, info = io.BytesIO(), PngInfo()
    info.add_itxt(PNG_KEYWORD, text)
    Image.new("RGB", (40, 40), "gray").save(out, "PNG", pnginfo=info)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_text(data: bytes) -> bytes:
    """Return a PNG with a compressed comment that unpacks to `data`, or to nothing when it is no such stream."""
    whole = png("{}")
    return whole[:33] + chunk(b"zTXt", PNG_KEYWORD.encode() + b"\0\0" + data) + whole[33:]


def safetensors(header: str, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + body


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frame-0001.png", data)
    return out.getvalue()


def spoiled(data: bytes) -> bytes:
    """Return a zip whose packed bytes are other ones."""
    at = data.index(b".png") + 4
    return data[:at] + bytes(random.Random(4).randbytes(12)) + data[at + 12 :]


HEAD = b"\x89PNG\r\n\x1a\n"
LATENT = '{"a.lora_down.weight": {"dtype": "F32", "shape": [%s], "data_offsets": [0, %d]}}'
CONTENTS: dict[str, dict[str, Callable[[], bytes]]] = {
    "any": {
        "noise": lambda: random.Random(5).randbytes(5000),
        "zeros": lambda: bytes(70_000),
    },
    "picture": {
        "cut off": lambda: png("{}")[:60],
        "a comment that unpacks without end": lambda: packed_text(zlib.compress(bytes(30_000_000))),
        "a size that is no size": lambda: (
            HEAD + chunk(b"IHDR", struct.pack(">IIBBBBB", *[2**31 - 1] * 2, 8, 2, 0, 0, 0))
        ),
        "a size without end": lambda: (
            HEAD
            + chunk(b"IHDR", struct.pack(">IIBBBBB", *[60_000] * 2, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b""))
            + chunk(b"IEND", b"")
        ),
    },
    "recipe": {
        "nested without end": lambda: png("[" * 50_000),
        "nested deeply": lambda: png('{"a":' * 400 + "1" + "}" * 400),
        "of another kind": lambda: png('{"request": [1], "engines": 5, "inputs": "x"}'),
        "a comment that is no stream": lambda: packed_text(b"nothing"),
    },
    "zip": {
        "unpacks without end": lambda: zipped(bytes(300_000_000)),
        "other bytes": lambda: spoiled(zipped(png("{}"))),
    },
    "weights": {
        "nested without end": lambda: safetensors("[" * 50_000),
        "longer than the file": lambda: struct.pack("<Q", 1 << 40) + b"{}",
        "another kind": lambda: safetensors('{"a": [1], "b": {"dtype": 5, "shape": "x", "data_offsets": [1]}}'),
        "a shape without end": lambda: safetensors(LATENT % ("9" * 400 + ", 1", 8), bytes(8)),
        "a shape below nothing": lambda: safetensors(LATENT % ("-1, -8", 32), bytes(32)),
    },
    "text": {"no letters": lambda: b"\xff\xfe\xfa\xfb" * 30},
}


def written(folder: Path, suffix: str, contents: str) -> dict[str, Path]:
    """Return files of these contents, and places where no file is."""
    found = {}
    for kind in contents.split():
        for number, (name, content) in enumerate(CONTENTS[kind].items()):
            found[f"{kind}: {name}"] = folder / f"{kind}-{number}{suffix}"
            found[f"{kind}: {name}"].write_bytes(content())
    (folder / f"circle{suffix}").symlink_to(folder / f"circle{suffix}")
    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"folder{suffix}").mkdir()
    file = folder / os.fsdecode(b"two\nlines \x1b[31m \xe9" + suffix.encode())
    file.write_bytes(b"\xff" * 99)
    return found | {
        "circle": folder / f"circle{suffix}",
        "pipe": folder / f"pipe{suffix}",
        "folder": folder / f"folder{suffix}",
        "odd name": file,
        "missing": folder / f"missing{suffix}",
        "too long": folder / ("x" * 300 + suffix),
        "endless": folder.joinpath(*["y" * 200] * 30, f"z{suffix}"),
        "behind a file": file / f"a{suffix}",
        "device": Path("/dev/zero"),
    }


FINE = {("data folder", "missing"), ("data folder", "folder"), ("animate with words", "device")}
"""A new data folder; words that are no file's."""
IN_A_LIST = {"pipe", "odd name", "device"}
"""One picture among many that cannot be read is said in the list, and is no error."""


@pytest.mark.parametrize("command", COMMANDS)
def test_no_file_is_a_bug(run, astronaut, speech, tmp_path, command) -> None:
    arguments, suffix, contents = COMMANDS[command]
    known = {"photo": astronaut, "sound": speech, "out": tmp_path / "out"}
    (tmp_path / "bad").mkdir()
    wrong = []
    for kind, path in written(tmp_path / "bad", suffix, contents).items():
        if (command, kind) in FINE:
            continue
        ran = run(*(a.format(bad=path, **known) for a in arguments), "--json")
        lines = ran.err.strip().splitlines()
        answer = json.loads(ran.out) if ran.out.strip() else {}
        said = answer.get("error", {})
        if command == "identity curate" and kind in IN_A_LIST:
            assert [p["state"] for p in answer["photos"]] == ["drop"]
            continue
        ok = ran.code in (2, 3, 4) and said.get("type") not in (None, "StudioError")
        if not ok or not lines or not lines[0].startswith("Error: ") or len(lines) > 2 or len(lines[0]) > 400:
            wrong.append((kind, ran.code, ran.out[-300:], ran.err[-500:]))
    assert not wrong, "\n".join(map(str, wrong))
    assert list(tmp_path.glob("out*")) == []
