"""Signing and reading of content credentials, on files of every kind that leaves."""

from __future__ import annotations

import json
import stat
import sys
import wave
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.domain.provenance import OWN_NAME, Statement
from studio.engines.media.credentials import CARRIERS, read_credentials, sha256_of, sign_file
from studio.engines.media.signing_key import CHAIN, KEY, YEARS, last_certificate, signing_key, utc_now
from studio.errors import EngineError, NotFoundError, StoreError, UnreadableMediaError


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return signing_key(tmp_path_factory.mktemp("installation") / "keys", utc_now())


@pytest.fixture
def anchor(key):
    return last_certificate(key.chain_pem)


def noise(path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 255, (64, 48, 3), np.uint8)
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 16000, 800, "NONE", ""))
            out.writeframes(pixels.tobytes()[:1600])
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as box:
            box.writestr("0001.png", b"frame")
    elif path.suffix in (".glb", ".webm"):
        path.write_bytes(b"glTF" + bytes(range(256)) * 8)
    else:
        Image.fromarray(pixels).save(path)
    return path


def said(path: Path, **more) -> Statement:
    return Statement(source_type="composite", kind="image", content_sha256=sha256_of(path), consents=("c1",), **more)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".wav", ".webp", ".zip", ".glb", ".webm"])
def test_what_is_signed_is_read_back_and_a_changed_byte_is_told(tmp_path, key, anchor, suffix):
    plain, out = noise(tmp_path / f"plain{suffix}"), tmp_path / f"signed{suffix}"
    photo = noise(tmp_path / "photo.jpg")
    where = sign_file(plain, out, said(plain), key, {"portrait": photo})
    found = read_credentials(out, anchor)
    assert found is not None
    assert (found.standing, found.signer, found.beside) == ("ours", OWN_NAME, suffix not in CARRIERS)
    assert where == (out if suffix in CARRIERS else tmp_path / f"signed{suffix}.c2pa")
    assert found.content_sha256 == sha256_of(plain)
    assert found.ingredients == ("portrait",)
    assert found.consents == ("c1",)
    assert found.is_synthetic
    if suffix not in CARRIERS:
        assert out.read_bytes() == plain.read_bytes()
    data, before = bytearray(out.read_bytes()), plain.read_bytes()
    middle = len(before) // 2
    at = data.find(before[middle : middle + 12])
    assert at > 0, "the content itself is as it was"
    data[at] ^= 1
    out.write_bytes(data)
    assert read_credentials(out, anchor).standing == "changed"


def test_who_does_not_know_the_installation_reads_others(tmp_path, key):
    path = noise(tmp_path / "a.png")
    sign_file(path, path, said(path), key, {})
    assert read_credentials(path).standing == "others"
    stranger = signing_key(tmp_path / "elsewhere", utc_now())
    assert read_credentials(path, last_certificate(stranger.chain_pem)).standing == "others"


def test_what_an_input_carried_goes_along(tmp_path, key, anchor):
    photo = noise(tmp_path / "photo.png")
    sign_file(photo, photo, said(photo, engines={"camera": "1"}), key, {})
    plain, out = noise(tmp_path / "plain.png"), tmp_path / "out.png"
    sign_file(plain, out, said(plain), key, {"portrait": photo})
    import c2pa

    with c2pa.Reader(str(out)) as reader:
        manifests = json.loads(reader.json())["manifests"]
    assert len(manifests) == 2
    assert any("camera" in json.dumps(m) for m in manifests.values())
    assert read_credentials(out, anchor).content_sha256 == sha256_of(plain)


def test_no_picture_and_no_name_of_a_file_travels_in_a_manifest(tmp_path, key):
    photo = noise(tmp_path / "Ada Lovelace.jpg")
    plain, out = noise(tmp_path / "plain.png"), tmp_path / "Ada.png"
    sign_file(plain, out, said(plain), key, {"portrait": photo})
    assert out.stat().st_size - plain.stat().st_size < 16_000, "no thumbnails"
    assert b"Ada" not in out.read_bytes()


def test_an_input_that_is_not_what_its_ending_says_is_named_all_the_same(tmp_path, key, anchor):
    odd = tmp_path / "sound.mp3"
    odd.write_bytes(b"no sound at all" * 9)
    plain = noise(tmp_path / "plain.png")
    sign_file(plain, plain, said(plain), key, {"sound": odd})
    assert read_credentials(plain, anchor).ingredients == ("sound",)


def test_a_file_without_credentials_has_none(tmp_path, anchor):
    assert read_credentials(noise(tmp_path / "a.png"), anchor) is None
    text = tmp_path / "a.txt"
    text.write_text("words")
    assert read_credentials(text, anchor) is None


def test_damaged_credentials_are_told(tmp_path, key, anchor):
    path = noise(tmp_path / "a.zip")
    beside = sign_file(path, path, said(path), key, {})
    beside.write_bytes(beside.read_bytes()[:500])
    with pytest.raises(UnreadableMediaError, match=r"credentials of a\.zip"):
        read_credentials(path, anchor)


def test_nothing_is_written_where_signing_fails(tmp_path, key):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    out = tmp_path / "out.png"
    with pytest.raises(EngineError, match="could not be signed"):
        sign_file(broken, out, said(broken), key, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.png"]
    with pytest.raises((NotFoundError, StoreError)):
        sign_file(noise(tmp_path / "a.png"), tmp_path / "no" / "a.png", said(broken), key, {})


@pytest.mark.skipif(sys.platform == "win32", reason="rights of files are other things there")
def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    folder = tmp_path / "data" / "keys"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: signing_key(folder, utc_now()).chain_pem, range(8)))
    assert len(set(made)) == 1
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(p.name for p in folder.iterdir()) == [CHAIN, KEY]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["keys"]


def test_a_key_that_cannot_be_used_signs_nothing(tmp_path):
    folder = tmp_path / "keys"
    key = signing_key(folder, utc_now())
    with pytest.raises(EngineError, match="not today"):
        signing_key(folder, utc_now() + timedelta(days=366 * YEARS))
    other = signing_key(tmp_path / "other", utc_now())
    (folder / CHAIN).write_text(other.chain_pem)
    with pytest.raises(EngineError, match="do not belong together"):
        signing_key(folder, utc_now())
    (folder / CHAIN).write_text(key.chain_pem)
    (folder / KEY).write_text("no key")
    with pytest.raises(EngineError, match="cannot be read"):
        signing_key(folder, utc_now())
    (folder / KEY).unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        signing_key(folder, utc_now())
