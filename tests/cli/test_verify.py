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
