"""Curves for other programs: NumPy archives, Audio2Face, BVH come back, also when somebody else wrote them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given

from studio.domain.action_units import NOT_COVERED
from studio.domain.clip_format import CURVE_FORMATS, curve_format_of
from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import read_curves, write_curves
from studio.engines.media.curves_action_units import read_action_units, write_action_units
from studio.engines.media.curves_audio2face import read_audio2face, write_audio2face
from studio.engines.media.curves_bvh import read_bvh, write_bvh
from studio.engines.media.curves_npz import read_npz, write_npz
from studio.errors import LimitExceededError, UnreadableMediaError, UserInputError
from tests.engines.media.test_media_curves import QUICK, performances, still


@QUICK
@given(performances(-1))
def test_an_archive_gives_the_same_bits(tmp_path, performance):
    back = read_npz(write_npz(performance, tmp_path / "a.npz"))
    assert back.frame_rate_hz == performance.frame_rate_hz
    for name in ("weights", "head_degrees", "own_mouth", "lip_seal", "breath"):
        assert np.array_equal(getattr(back, name), getattr(performance, name)), name


def test_an_archive_never_runs_what_is_in_it(tmp_path):
    file = tmp_path / "evil.npz"
    np.savez(file, names=np.array([object()], dtype=object), weights=np.zeros(3))
    with pytest.raises(UnreadableMediaError, match="holds no performance"):
        read_npz(file)
    plain = tmp_path / "pickle.npz"
    plain.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnreadableMediaError, match="damaged zip"):
        read_npz(plain)


@QUICK
@given(performances(0))
def test_audio2face_keeps_the_weights(tmp_path, performance):
    file = write_audio2face(performance, tmp_path / "a.a2f.json")
    assert np.array_equal(read_audio2face(file).weights, performance.weights)
    assert np.array_equal(read_curves(file.rename(tmp_path / "plain.json")).weights, performance.weights)


def test_an_export_with_other_poses_is_read_by_name(tmp_path):
    file = tmp_path / "a.json"
    document = {"exportFps": 30, "facsNames": ["JawOpen", "headTilt"], "weightMat": [[0.5, 1.0], [0.25, 1.0]]}
    file.write_text(json.dumps(document))
    read = read_curves(file)
    assert read.frame_rate_hz == 30
    assert read.weights[:, INDEX["jawOpen"]].tolist() == [0.5, 0.25]
    assert float(read.weights.sum()) == 0.75


@pytest.mark.parametrize(
    "change",
    [{"weightMat": [[1.0]]}, {"weightMat": "x"}, {"facsNames": ["a", "b"]}, {"exportFps": 0}, {"exportFps": None}],
)
def test_a_damaged_export_is_named(tmp_path, change):
    file = tmp_path / "a.json"
    document = {"exportFps": 30, "facsNames": ["JawOpen", "x"], "weightMat": [[0.5, 1.0]]}
    file.write_text(json.dumps(document | change))
    with pytest.raises(UnreadableMediaError, match="is damaged"):
        read_curves(file)


@QUICK
@given(performances(0))
def test_bvh_keeps_how_the_head_turns(tmp_path, performance):
    back = read_bvh(write_bvh(performance, tmp_path / "a.bvh"))
    assert back.frame_rate_hz == performance.frame_rate_hz
    assert np.abs(back.head_degrees - performance.head_degrees).max() < 1e-3


@pytest.mark.parametrize("name", ["eyeLookOutLeft", "eyeLookInLeft", "eyeLookUpRight", "eyeLookDownRight"])
def test_bvh_keeps_where_an_eye_looks(tmp_path, name):
    back = read_bvh(write_bvh(still(3, **{name: 0.75}), tmp_path / "a.bvh"))
    assert np.abs(back.weights[:, INDEX[name]] - 0.75).max() < 1e-3
    assert float(back.weights.sum()) == pytest.approx(3 * 0.75, abs=0.01)


def test_a_skeleton_of_another_program_turns_the_head_by_all_its_bones(tmp_path):
    file = tmp_path / "walk.bvh"
    file.write_text(
        "HIERARCHY\nROOT Hips\n{\n OFFSET 0 0 0\n"
        " CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        " JOINT mixamorig:Head\n {\n OFFSET 0 1 0\n CHANNELS 3 Zrotation Xrotation Yrotation\n"
        " End Site\n {\n OFFSET 0 1 0\n }\n }\n JOINT Arm\n {\n OFFSET 1 0 0\n"
        " CHANNELS 3 Zrotation Xrotation Yrotation\n"
        " End Site\n {\n OFFSET 1 0 0\n }\n }\n}\nMOTION\nFrames: 2\nFrame Time: 0.0333333\n"
        "0 0 0 0 0 10 0 0 5 0 0 90\n0 0 0 0 -4 0 0 -3 0 0 0 90\n"
    )
    read = read_bvh(file)
    assert read.frame_rate_hz == 30
    assert np.abs(read.head_degrees - [[15, 0, 0], [0, 7, 0]]).max() < 1e-4


def test_bvh_that_cannot_be_used_is_named(tmp_path):
    good = write_bvh(still(3), tmp_path / "a.bvh").read_text()
    for number, (text, said) in enumerate(
        [
            ("hello", "is not BVH"),
            (good.replace("JOINT Head", "JOINT Skull"), "no bone named like a head"),
            (good.replace("Frames: 3", "Frames: 4"), "is damaged"),
            (good.replace("Frame Time: 0.04", "Frame Time: 0"), "is damaged"),
            (good.replace("}", "", 1), "is damaged"),
            (good.replace("0.00000", "nan", 1), "is damaged"),
        ]
    ):
        file = tmp_path / f"{number}.bvh"
        file.write_text(text)
        with pytest.raises(UnreadableMediaError, match=said):
            read_bvh(file)
    long = tmp_path / "long.bvh"
    long.write_text(good.replace("Frames: 3", "Frames: 99999999"))
    with pytest.raises(LimitExceededError):
        read_bvh(long)


@QUICK
@given(performances(0))
@example(  # three frames: their times, in millionths, tell a rate of 60.001
    Performance(
        60.0,
        np.zeros((3, 52), np.float32),
        np.array([[-13, 15, 15], [15, 15, 15], [15, 15, 15]], np.float32),
        np.zeros(3, np.float32),
        np.zeros(3, np.float32),
        np.zeros(3, np.float32),
    )
)
def test_action_units_give_back_all_that_units_are(tmp_path, performance):
    file = write_action_units(performance, tmp_path / "a.au.csv")
    if len(performance) < 2:
        with pytest.raises((UserInputError, UnreadableMediaError)):
            read_action_units(file)
        return
    back = read_action_units(file)
    assert back.frame_rate_hz == performance.frame_rate_hz
    lost = [INDEX[name] for name in NOT_COVERED]
    kept = np.setdiff1d(np.arange(52), lost)
    assert np.abs(back.weights[:, kept] - performance.weights[:, kept]).max() < 1e-3
    assert not back.weights[:, lost].any()
    assert np.abs(back.head_degrees - performance.head_degrees).max() < 1e-3


def test_a_table_of_another_program_moves_both_sides(tmp_path):
    file = tmp_path / "openface.au.csv"
    file.write_text(
        "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, AU45_r, AU12_c\n"
        "1, 0, 0.0, 0.98, 1, 0.0, 1.0, 0.0, 1\n2, 0, 0.04, 0.98, 1, 2.5, 3.0, 5.0, 1\n3, 0, 0.08, 0.98, 1, 0, 0, 0, 0\n"
    )
    read = read_curves(file)
    assert (len(read), read.frame_rate_hz) == (3, 25.0)
    assert read.weights[1, INDEX["mouthSmileLeft"]] == read.weights[1, INDEX["mouthSmileRight"]]
    assert read.weights[1, [INDEX["browInnerUp"], INDEX["mouthSmileLeft"], INDEX["eyeBlinkRight"]]] == pytest.approx(
        [0.5, 0.6, 1.0]
    )
    commas = tmp_path / "commas.au.csv"
    write_action_units(still(30, jawOpen=0.5), commas)
    commas.write_text(commas.read_text().replace(",", ";").replace(".", ","))
    assert read_curves(commas).weights[3, INDEX["jawOpen"]] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("frame,timestamp,AU99_r\n1,0,3\n", "is not a table of action units"),
        ("frame,AU12_r\n1,3\n", "is not a table of action units"),
        ("timestamp,AU12_r\n0,3\n", "too short"),
        ("timestamp,AU12_r\n0,3\n1\n", "different length"),
        ("timestamp,AU12_r\n0,3\n1,much\n", "not numbers"),
        ("timestamp,AU12_r\n0,3\n1,nan\n", "not numbers"),
        ("timestamp,AU12_r\n0,3\n2,1\n1,1\n3,0\n", "run backwards"),
        ("timestamp,AU12_r\n0,3\n7200,1\n", "longer than an hour"),
        ("timestamp,AU12_r\n0,3\n0.0001,1\n", "frame rate"),
    ],
)
def test_tables_that_are_no_action_units(tmp_path, text, said):
    file = tmp_path / "bad.au.csv"
    file.write_text(text)
    with pytest.raises((UnreadableMediaError, UserInputError, LimitExceededError), match=said):
        read_action_units(file)


@pytest.mark.parametrize("name", list(CURVE_FORMATS))
def test_every_format_is_chosen_by_its_name_and_comes_back(tmp_path, name):
    row = CURVE_FORMATS[name]
    assert curve_format_of(Path(f"TAKE{row.suffix.upper()}")) is row
    motion = still(60, jawOpen=0.5)
    back = read_curves(write_curves(motion, tmp_path / f"take{row.suffix}"))
    assert (len(back), back.frame_rate_hz) == (60, 25.0)
    with pytest.raises(UserInputError, match="names no format"):
        curve_format_of(Path("take.xyz"))
