"""`performance` from a real sound to a clip, by the command line alone."""

from __future__ import annotations

import pytest

from studio.engines.media.curves import read_json
from studio.services.sample import sample_portrait
from studio.studio import ASSETS

SPEECH = str(ASSETS / "speech" / "golden.wav")


def test_a_performance_is_made_edited_and_played(run, tmp_path) -> None:
    there = ("--data-dir", str(tmp_path / "data"))
    words = str(ASSETS / "speech" / "golden.txt")
    made = run("performance", "new", "Golden", "--speech", SPEECH, "--transcript", words, *there, "--json")
    assert made.code == 0, made.out
    assert made.json["document"]["layers"][0]["kind"] == "speech"
    run(
        "performance", "layer", "Golden", "laugh", "--add", "expression", "--set", "smile=0.6", "--start", "0.4", *there
    )
    said = run("performance", "sounds", "Golden", *there, "--json").json["phones"]
    border = round((said[3][1] + said[4][1]) / 2, 3)  # sound 4 begins sooner, in the middle of sound 3
    moved = run("performance", "sounds", "Golden", "--move", f"4={border}", *there, "--json").json["phones"]
    assert moved[3][2] == moved[4][1] == pytest.approx(border, abs=0.02)
    assert [*moved[:3], *moved[5:]] == [*said[:3], *said[5:]]
    assert run("performance", "sounds", "Golden", "--move", "x=1", *there).code == 2
    assert run("performance", "sounds", "Golden", "--move", "9999=1", *there).code == 2
    before = run("performance", "words", "Golden", *there, "--json").json
    mended = run("performance", "words", "Golden", "--mend", "1=poppy seed", *there, "--json").json
    assert [w[0] for w in mended["words"][:4]] == [before["words"][0][0], "poppy", "seed", before["words"][2][0]]
    start, end = before["words"][1][1:]
    outside = [[p for p in rows["phones"] if p[2] <= start or p[1] >= end] for rows in (before, mended)]
    assert outside[0] == outside[1]
    assert run("performance", "words", "Golden", "--mend", "x=1", *there).code == 2
    assert run("performance", "words", "Golden", "--mend", "9999=a", *there).code == 2
    run("performance", "layer", "Golden", "speech", "--amount", "0.8", "--regions", "mouth,eyes", *there)
    run("performance", "key", "Golden", "0", "--set", "headYaw=-8", "--emotion", "joy:0.5", *there)
    run("performance", "key", "Golden", "1", "--set", "headYaw=8", *there)
    shown = run("performance", "show", "Golden", *there)
    assert "laugh" in shown.out and "headYaw=-8@0" in shown.out and "emotion joy" in shown.out  # noqa: PT018
    out = tmp_path / "a.mp4"
    played = run(
        "performance", "play", "Golden", str(sample_portrait()), "--out", str(out), "--size", "256", "--seconds", "1.2",
        "--curves", str(tmp_path / "a.json"), *there, "--json",
    )  # fmt: skip
    assert played.code == 0, played.out
    motion = read_json(tmp_path / "a.json")
    assert (out.is_file(), len(motion), played.json["phone_path"]) == (True, 30, "composed")
    assert motion.head_degrees[0, 0] == pytest.approx(-8, abs=0.2)
    assert motion.head_degrees[25, 0] == pytest.approx(8, abs=0.2)
    file = tmp_path / "g.performance.zip"
    assert run("performance", "export", "Golden", str(file), *there).code == 0
    came = run("performance", "import", str(file), "--name", "Twin", *there, "--json")
    assert came.json["document"] == run("performance", "show", "Golden", *there, "--json").json["document"]
    run("performance", "undo", "Golden", *there)
    assert "redo: Turn to their left at 1 s" in run("performance", "show", "Golden", *there).out
    run("performance", "redo", "Golden", *there)
    gone = run("performance", "key", "Golden", "0", "--remove", "joy", *there)
    assert gone.code == 0
    assert "emotion joy" not in gone.out
    run("performance", "copy", "Golden", *there)
    assert run("performance", "delete", "Twin", *there).code == 0
    names = [p["name"] for p in run("performance", "list", *there, "--json").json["performances"]]
    assert sorted(names) == ["Golden", "Golden 2"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "none"), 3, "no performance"),
        (("new", "x"), 2, "begins from"),
        (("new", "x", "--clip", "none"), 3, "no"),
        (("layer", "x", "idle"), 2, "Nothing is to be changed"),
        (("layer", "X", "idle", "--amount", "2"), 2, "at most 1.5"),
        (("layer", "X", "idle", "--regions", "nose"), 2, "'nose'"),
        (("layer", "X", "idle", "--start", "-1"), 2, "at least 0"),
        (("layer", "X", "idle", "--start", "1", "--end", "0.5"), 2, "ends at"),
        (("layer", "X", "none", "--amount", "1"), 2, "no layer 'none'"),
        (("layer", "X", "e", "--add", "expression", "--set", "smirk=1"), 2, "no control named 'smirk'"),
        (("key", "X", "1", "--set", "smile=nan"), 2, "nan"),
        (("key", "X", "1", "--remove", "smile"), 2, "no keyframes"),
        (("undo", "X"), 2, "nothing to take back"),
        (("redo", "X"), 2, "nothing to bring back"),
        (("export", "X", "x.json"), 2, "names no performance file"),
        (("import", "nowhere.zip"), 3, "nowhere.zip"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tmp_path, arguments, code, said) -> None:
    there = ("--data-dir", str(tmp_path / "data"))
    run("performance", "new", "X", "--seconds", "2", *there)
    ran = run("performance", *arguments, *there, "--json")
    assert ran.code == code
    assert said in ran.json["error"]["message"]
