"""Projects on the command line: one is made, a person leaves in a file and comes into another data folder."""

from __future__ import annotations

import pytest

from studio.services.sample import sample_portrait


def test_a_person_goes_from_one_data_folder_to_another(run, tmp_path) -> None:
    made = run("project", "new", "Short film", "--json")
    assert made.code == 0
    project = made.json["id"]
    assert "Short film" in run("project", "list").out
    assert run("identity", "add", "Ann", str(sample_portrait()), "--project", project).code == 0
    written = run("project", "export", str(tmp_path / "film.zip"), "--project", "Short film")
    assert written.code == 0
    assert "holds 1 person and 1 photo" in written.out
    there = ("--data-dir", str(tmp_path / "there"))
    assert "New here: 1 person and 1 photo" in run("project", "import", str(tmp_path / "film.zip"), *there).out
    assert "nothing was changed" in run("project", "import", str(tmp_path / "film.zip"), *there).out
    assert "Ann" in run("identity", "list", *there).out
    named = run("project", "export", str(tmp_path), "--person", "Ann", "--json", *there)
    assert named.code == 0
    assert named.json["counts"]["photos"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("export", "OUT/x.zip", "--project", "nowhere"), 3, "no project"),
        (("export", "OUT/x.zip", "--person", "nobody"), 3, "nobody"),
        (("export", "OUT/none/x.zip"), 3, "does not exist"),
        (("import", "OUT/none.zip"), 3, "none.zip"),
        (("import", "OUT/text.zip"), 2, "text.zip"),
    ],
)
def test_what_cannot_be_is_said(run, tmp_path, arguments, code, words) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    ran = run("project", *(a.replace("OUT", str(tmp_path)) for a in arguments))
    assert ran.code == code
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "x.zip").exists()
