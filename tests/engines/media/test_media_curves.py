"""Curve files: what is written comes back."""

import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import (
    HEADER,
    VALUE_COLUMNS,
    read_json,
    read_livelink_csv,
    timecode,
    write_json,
    write_livelink_csv,
)
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def performances(low, shortest=1):
    @st.composite
    def build(draw):
        frames = draw(st.integers(shortest, shortest + 12))

        def table(low, high, *shape):
            numbers = st.floats(low, high, width=32, allow_nan=False)
            return draw(arrays(np.float32, (frames, *shape), elements=numbers, fill=numbers))

        return Performance(
            draw(st.sampled_from([24.0, 25.0, 30.0, 60.0])),
            table(low, 1, 52),
            table(-20, 20, 3),
            table(0, 1),
            table(0, 1),
            table(-1, 1),
        )

    return build()


def still(frames, rate=25.0, **weights):
    table = np.zeros((frames, 52), np.float32)
    for name, value in weights.items():
        table[:, INDEX[name]] = value
    none = np.zeros(frames, np.float32)
    return Performance(rate, table, np.zeros((frames, 3), np.float32), none, none.copy(), none.copy())


@QUICK
@given(performances(-1))
def test_json_gives_the_same_bits(tmp_path, performance):
    back = read_json(write_json(performance, tmp_path / "a.json"))
    assert back.frame_rate_hz == performance.frame_rate_hz
    for name in ("weights", "head_degrees", "own_mouth", "lip_seal", "breath"):
        assert np.array_equal(getattr(back, name), getattr(performance, name)), name


@QUICK
@given(performances(0, shortest=61))
def test_csv_gives_weights_back_exactly_and_angles_nearly(tmp_path, performance):
    back = read_livelink_csv(write_livelink_csv(performance, tmp_path / "a.csv"))
    assert back.frame_rate_hz == performance.frame_rate_hz
    assert np.array_equal(back.weights, performance.weights)
    clamped = np.clip(performance.head_degrees, -20, 20)
    assert np.abs(back.head_degrees - clamped).max() < 1e-4
    assert not back.own_mouth.any()


def test_csv_layout(tmp_path):
    performance = still(27, jawOpen=0.25, eyeLookOutLeft=1.0, eyeLookInRight=1.0, eyeLookUpLeft=0.5, mouthClose=-0.5)
    with write_livelink_csv(performance, tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == HEADER
    assert len(VALUE_COLUMNS) == 61
    assert rows[0][:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert rows[0][-10:] == [
        "TongueOut", "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
        "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
    ]  # fmt: skip
    assert len(rows) == 28
    row = dict(zip(rows[0], rows[27], strict=True))
    assert row["Timecode"] == "00:00:01:01.000"
    assert row["BlendShapeCount"] == "61"
    assert (row["JawOpen"], row["MouthClose"]) == ("0.25", "0.0")
    assert float(row["LeftEyeYaw"]) == pytest.approx(np.radians(30))
    assert float(row["RightEyeYaw"]) == pytest.approx(np.radians(30))
    assert float(row["LeftEyePitch"]) == pytest.approx(np.radians(10))


def test_csv_on_a_photo_is_absolute(tmp_path):
    own = np.zeros(52, np.float32)
    own[INDEX["browInnerUp"]] = 0.5
    own[INDEX["mouthSmileLeft"]] = 0.5  # the performance keeps nothing of the photo's own mouth
    back = read_livelink_csv(
        write_livelink_csv(still(30, browInnerUp=0.25), tmp_path / "a.csv", own=own), frame_rate_hz=25
    )
    assert (back.weights[:, INDEX["browInnerUp"]] == 0.75).all()
    assert not back.weights[:, INDEX["mouthSmileLeft"]].any()


@given(st.integers(0, 2_000_000), st.sampled_from([24.0, 25.0, 30.0, 60.0]))
def test_timecodes_count(frame, rate):
    hours, minutes, seconds, rest = timecode(frame, rate).split(":")
    counted = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * rate + float(rest)
    assert counted == frame
    assert float(rest) < rate


def test_csv_of_the_app_with_lost_frames_is_evened_out(tmp_path):
    rows = [",".join(HEADER)]
    for frame in range(0, 150):
        if frame % 10 == 3:
            continue  # lost
        second, rest = divmod(frame + 45, 60)
        value = frame / 200
        rows.append(f"14:03:{second:02d}:{rest:02d}.207,61," + ",".join([f"{value:.6f}"] * 61))
    (tmp_path / "app.csv").write_text("\n".join(rows))
    back = read_livelink_csv(tmp_path / "app.csv")
    assert back.frame_rate_hz == 60
    assert len(back) == 150
    assert np.abs(back.weights[:, 5] - np.arange(150) / 200).max() < 1e-5


def test_short_csv_needs_its_rate(tmp_path):
    write_livelink_csv(still(10), tmp_path / "a.csv")
    with pytest.raises(UserInputError, match="too short"):
        read_livelink_csv(tmp_path / "a.csv")
    assert len(read_livelink_csv(tmp_path / "a.csv", frame_rate_hz=25)) == 10


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "Timecode,BlendShapeCount\n00:00:00:00.000,61\n",
        ",".join(HEADER) + "\n",
        ",".join(HEADER) + "\n00:00:00:00.000,61" + ",nan" * 61 + "\n",
        ",".join(HEADER) + "\n00:00:00:00.000,61" + ",x" * 61 + "\n",
        ",".join(HEADER) + "\nnoon,61" + ",0" * 61 + "\n",
        ",".join(HEADER) + "\n00:00:00:00.000,61,0\n",
    ],
)
def test_bad_csv(tmp_path, text):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(UnreadableMediaError):
        read_livelink_csv(tmp_path / "bad.csv")


def test_bad_json(tmp_path):
    good = json.loads(write_json(still(3), tmp_path / "a.json").read_text())
    bad = [
        "not json",
        "[]",
        "{}",
        json.dumps({**good, "schema_version": 99}),
        json.dumps({**good, "weights": {"jawWide": [0, 0, 0]}}),
        json.dumps({**good, "weights": {"jawOpen": [0, 0]}}),
        json.dumps({**good, "breath": [0, 0]}),
        json.dumps({**good, "breath": [0, 0, "x"]}),
        json.dumps({**good, "breath": [0, 0, float("nan")]}),
        json.dumps({**good, "frame_rate_hz": 0}),
        json.dumps({k: v for k, v in good.items() if k != "lip_seal"}),
    ]
    for text in bad:
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UnreadableMediaError):
            read_json(tmp_path / "bad.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(UnreadableMediaError):
        read_json(tmp_path / "binary.json")
    with pytest.raises(NotFoundError):
        read_json(tmp_path / "gone.json")


def test_json_names_every_channel(tmp_path):
    document = json.loads(write_json(still(2, jawOpen=0.1), tmp_path / "a.json").read_text())
    assert document["schema_version"] == 1
    assert tuple(document["weights"]) == ARKIT_NAMES
    assert document["weights"]["jawOpen"] == [0.1, 0.1]
    assert {"own_mouth", "lip_seal", "breath", "head_degrees"} <= set(document)
