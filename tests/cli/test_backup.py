"""`studio backup` and `studio restore`: everything into one file, and back."""

from __future__ import annotations


def test_a_studio_is_copied_and_brought_back(run, astronaut, tmp_path):
    data, elsewhere = ("--data-dir", tmp_path / "data"), ("--data-dir", tmp_path / "elsewhere")
    assert run("identity", "add", "Ann", astronaut, "--face", 1, *data).code == 0
    made = run("backup", tmp_path, *data, "--json")
    assert made.code == 0, made.err
    assert "Keep it safe" in run("backup", tmp_path / "again.zip", *data).out
    taken = run("backup", tmp_path / "again.zip", *data)
    assert taken.code != 0
    assert "replaces nothing" in taken.err
    back = run("restore", made.json["path"], *elsewhere)
    assert back.code == 0, back.err
    assert f"{made.json['files']} files" in back.out
    assert [p["name"] for p in run("identity", "list", *elsewhere, "--json").json["items"]] == ["Ann"]
    twice = run("restore", made.json["path"], *elsewhere)
    assert twice.code != 0
    assert "never overwrites" in twice.err
