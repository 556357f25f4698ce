"""`studio verify`: what is known of a file, and an exit code for one that was changed."""

from __future__ import annotations


def test_a_written_picture_is_verified(run, astronaut, tmp_path):
    out = tmp_path / "smile.png"
    assert run("edit", astronaut, "--set", "smile=1", "--out", out).code == 0
    ran = run("verify", out)
    assert ran.code == 0
    assert "Signed by this studio" in ran.out
    assert run("verify", out, "--json").json["verdict"]["credentials"]["standing"] == "ours"
    data = bytearray(out.read_bytes())
    data[-3000] ^= 8
    out.write_bytes(data)
    ran = run("verify", out)
    assert ran.code == 4
    assert "changed after it was signed" in ran.out


def test_a_photo_and_a_file_that_is_not_there(run, astronaut, tmp_path):
    ran = run("verify", astronaut)
    assert ran.code == 0
    assert "Nothing is known" in ran.out
    ran = run("verify", tmp_path / "nothing.png")
    assert ran.code != 0
    assert "nothing.png" in ran.err


def test_a_file_of_ours_is_taken_down(run, astronaut, tmp_path):
    data = ("--data-dir", tmp_path / "data")
    added = run(
        "identity", "add", "Ann", astronaut, "--face", 1, "--consent-by", "Ann", "--consent-scope", "edit", *data
    )
    assert added.code == 0, added.err
    photo = run("identity", "show", "Ann", *data, "--json").json["photos"][0]["id"]
    out = tmp_path / "smile.png"
    assert run("edit", photo, "--set", "smile=1", "--out", out, *data).code == 0
    looked = run("takedown", out, *data)
    assert looked.code == 0
    assert "would go" in looked.out
    assert "Nothing was changed" in looked.out
    assert run("takedown", out, "--trash", "--erase", *data).code == 2
    assert len(run("takedown", out, "--trash", *data, "--json").json["going"]) == 1
    assert run("library", "list", *data, "--json").json["renders"] == []
    gone = run("takedown", out, "--erase", *data, "--json")
    assert gone.json["done"] == "erased"
    assert gone.json["freed_bytes"] > 0
    again = run("takedown", out, *data)
    assert again.code == 3
    assert "smile.png" in again.err
