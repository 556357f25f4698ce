"""A performance with layers: what its document may say, and what the layers come to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.expression import ARKIT_NAMES, CONTROL, INDEX
from studio.domain.performance import Performance
from studio.domain.performance_document import (
    KINDS,
    REGIONS,
    VERSION,
    PerformanceDocument,
    document_of,
    layers_of,
    performance_schema,
)
from studio.domain.performance_layers import USUAL_GAP, WEIGHTS_IN, evaluate, region_of
from studio.errors import UserInputError

SCHEMA = Path(__file__).resolve().parents[2] / "presets" / "schema" / "performance.json"
SHA = "ab" * 32
SECONDS = 4.0
RATE = 25.0
BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
WIDES = [INDEX["eyeWideLeft"], INDEX["eyeWideRight"]]


def motion(seed: int = 0, rate: float = RATE, seconds: float = SECONDS, quiet: bool = False) -> Performance:
    """Return something like speech: an open mouth that shuts, lids that blink."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    at = np.arange(count) / rate
    weights = np.zeros((count, 52), np.float32)
    for i in range(52):
        weights[:, i] = 0.3 * (1 + np.sin(at * rng.uniform(1, 6) + rng.uniform(0, 6))) / 2
    seal = np.clip(2 * np.sin(at * 5 + seed) - 0.5, 0, 1)
    weights[:, WIDES] = 0
    weights[:, BLINKS] = np.clip(1 - np.abs(at[:, None] - 1.0) / 0.12, 0, 1)
    own = np.full(count, 0.25)
    if quiet:
        seal, own = seal * 0, own * 0 + 1
    head = np.stack([np.sin(at), np.cos(at), at / 9], 1)
    return Performance(rate, weights, *(a.astype(np.float32) for a in (head, own, seal, np.sin(at))))


def document(*layers, **fields) -> PerformanceDocument:
    return document_of(
        {"format": "likeness-studio-performance-layers", "version": VERSION, "duration_seconds": SECONDS,
         "layers": list(layers), **fields}
    )  # fmt: skip


def speech(**fields):
    return {"kind": "speech", "id": "speech", "sound": SHA, **fields}


def smile(**fields):
    return {"kind": "expression", "id": "smile", "values": {"smile": 0.6, "headYaw": 4.0}, **fields}


def arrays(performance: Performance):
    return [getattr(performance, n) for n in ("weights", "head_degrees", "own_mouth", "lip_seal", "breath")]


def assert_same(one: Performance, other: Performance, within: float = 1e-6) -> None:
    for a, b in zip(arrays(one), arrays(other), strict=True):
        assert np.abs(a - b).max() <= within


# -- the document ---------------------------------------------------------------------------

regions = st.lists(st.sampled_from(REGIONS), unique=True).map(tuple)
amounts = st.floats(0, 1.5)
whole_moments = st.integers(0, 90).map(lambda n: n / 25)


@st.composite
def layers(draw):
    start = draw(whole_moments)
    end = draw(st.none() | st.integers(1, 99).map(lambda n: start + n / 25))
    room = (end if end is not None else SECONDS + 1) - start
    common = {
        "amount": draw(amounts), "regions": list(draw(regions)), "blend": draw(st.sampled_from(["add", "override"])),
        "start_seconds": start, "end_seconds": end, "on": draw(st.booleans()),
        "ease_in_seconds": draw(st.floats(0, room / 2)), "ease_out_seconds": draw(st.floats(0, room / 2)),
    }  # fmt: skip
    kind = draw(st.sampled_from(KINDS))
    names = st.sampled_from(sorted(CONTROL))
    if kind == "speech":
        return {**common, "kind": kind, "sound": SHA, "at_seconds": draw(whole_moments)}
    if kind == "driving":
        neutral = draw(st.none() | st.just("calm") | whole_moments)
        return {**common, "kind": kind, "curves": SHA, "at_seconds": draw(whole_moments), "neutral": neutral}
    if kind == "idle":
        return {**common, "kind": kind, "seed": draw(st.integers(0, 9))}

    def value(name):
        return draw(st.floats(CONTROL[name].minimum, CONTROL[name].maximum))

    if kind == "expression":
        return {**common, "kind": kind, "values": {n: value(n) for n in draw(st.lists(names, max_size=4))}}
    met = draw(st.lists(st.tuples(names, st.integers(0, 100)), unique=True, max_size=5))
    keys = [
        {
            "control": n,
            "seconds": f / 25,
            "value": value(n),
            "ease": draw(st.sampled_from(["smooth", "linear", "hold"])),
        }
        for n, f in met
    ]
    return {**common, "kind": kind, "keys": keys}


@st.composite
def documents(draw):
    made = [{**layer, "id": f"l{i}"} for i, layer in enumerate(draw(st.lists(layers(), max_size=4)))]
    marks = [
        {"emotion": e, "seconds": f / 25, "strength": draw(st.floats(0, 1))}
        for e, f in draw(
            st.lists(st.tuples(st.sampled_from(["joy", "fear"]), st.integers(0, 90)), unique=True, max_size=3)
        )
    ]
    return document(*made, emotions=marks)


def moved(made: PerformanceDocument, rate: float = RATE) -> dict[str, Performance]:
    return {one.id: motion(i, rate) for i, one in enumerate(layers_of(made, ("speech", "driving", "idle")))}


@settings(max_examples=40)
@given(documents())
def test_what_is_written_is_what_is_read(made) -> None:
    again = document_of(json.loads(json.dumps(made.as_json(), allow_nan=False)))
    assert again == made
    motions = moved(made)
    assert_same(evaluate(made, motions, RATE), evaluate(again, motions, RATE))


def test_the_schema_file_is_generated() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == performance_schema(), (
        "write presets/schema/performance.json anew from performance_schema()"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": None}, "does not say its version"),
        ({"version": 2}, "newer studio"),
        ({"format": "x"}, "no performance"),
        ({"duration_seconds": 0}, "more than 0"),
        ({"duration_seconds": float("nan")}, "number"),
        ({"layers": [smile(regions=["nose"])]}, "'nose'"),
        ({"layers": [smile(amount=float("nan"))]}, "number"),
        ({"layers": [smile(amount=1.6)]}, "at most 1.5"),
        ({"layers": [smile(start_seconds=-1)]}, "at least 0"),
        ({"layers": [smile(start_seconds=2, end_seconds=1)]}, "ends at 1 s, before it begins"),
        ({"layers": [smile(end_seconds=1, ease_in_seconds=0.8, ease_out_seconds=0.8)]}, "come and go"),
        ({"layers": [smile(start_seconds=9)]}, "performance ends at 4 s"),
        ({"layers": [smile(), smile()]}, "wo layers are called smile"),
        ({"layers": [smile(values={"smirk": 1.0})]}, "no control named 'smirk'"),
        ({"layers": [smile(values={"smile": 7.0})]}, "goes from -1 to 1"),
        ({"layers": [smile(values={"smile": float("nan")})]}, "nan"),
        ({"layers": [smile(kind="mood")]}, "layers"),
        ({"layers": [{"kind": "keyframes", "id": "keys", "keys": [
            {"seconds": 1, "control": "smile", "value": 0}, {"seconds": 1, "control": "smile", "value": 1}]}]},
         "two keys"),
        ({"layers": [{"kind": "keyframes", "id": "keys", "keys": [
            {"seconds": -1, "control": "smile", "value": 0}]}]}, "at least 0"),
        ({"emotions": [{"seconds": 1, "emotion": "glee", "strength": 1}]}, "glee"),
        ({"emotions": [{"seconds": 1, "emotion": "joy", "strength": s} for s in (0, 1)]}, "two strengths"),
        ({"sound": "../../etc/passwd"}, "sound"),
        ({"extra": 1}, "nothing called extra"),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_in_one_sentence(changes, words) -> None:
    values = {**document(smile()).as_json(), **changes}
    if values["version"] is None:
        del values["version"]
    with pytest.raises(UserInputError) as refused:
        document_of(values)
    assert words in refused.value.message
    assert refused.value.message.count("\n") == 0
    assert refused.value.message.endswith(".")
    assert refused.value.hint


@pytest.mark.parametrize("values", [None, [], 3, "x", {}])
def test_what_is_no_document_is_refused(values) -> None:
    with pytest.raises(UserInputError, match="no performance"):
        document_of(values)


def test_layers_and_keys_are_edited() -> None:
    made = document(smile()).with_added({"kind": "keyframes"}).with_added({"kind": "idle"}, lowest=True)
    assert [x.id for x in made.layers] == ["idle", "smile", "keyframes"]
    made = made.with_key("keyframes", {"control": "smile", "seconds": 2.0, "value": 0.5})
    made = made.with_key("keyframes", {"control": "smile", "seconds": 1.0, "value": 0.2})
    made = made.with_key("keyframes", {"control": "smile", "seconds": 2.0, "value": 0.9})
    assert [(k.seconds, k.value) for k in made.layer("keyframes").keys] == [(1.0, 0.2), (2.0, 0.9)]
    assert len(made.without_key("keyframes", "smile", 1.0).layer("keyframes").keys) == 1
    assert made.with_layer("smile", {"amount": 0.3}).layer("smile").amount == 0.3
    assert made.with_added({"kind": "idle"}).layers[-1].id == "idle-2"
    assert made.without("smile").with_emotion("joy", 1, 0.5).with_emotion("joy", 1, 0.7).emotions[0].strength == 0.7
    for wrong in (
        lambda: made.with_layer("none", {"amount": 1}),
        lambda: made.with_layer("smile", {"amount": 9}),
        lambda: made.with_layer("smile", {"kind": "idle"}),
        lambda: made.with_key("smile", {"control": "smile", "seconds": 1, "value": 0}),
        lambda: made.without_key("keyframes", "smile", 1.5),
    ):
        with pytest.raises(UserInputError):
            wrong()


# -- what the layers come to -----------------------------------------------------------------


def test_every_weight_is_in_one_region() -> None:
    assert sum(WEIGHTS_IN[r].astype(int) for r in REGIONS).tolist() == [1] * 52
    assert [region_of(n) for n in ("jawOpen", "eyeBlinkLeft", "eyeLookUpRight", "browInnerUp")] == [
        "mouth", "eyes", "gaze", "brows"]  # fmt: skip


def test_one_layer_of_motion_is_that_motion() -> None:
    assert_same(evaluate(document(speech()), {"speech": motion()}, RATE), motion())


@settings(max_examples=40)
@given(documents(), layers(), st.integers(0, 4))
def test_an_amount_of_nothing_is_no_layer(made, extra, place) -> None:
    motions = moved(made) | {"extra": motion(7)}
    values = made.as_json()
    with_it = [*values["layers"]]
    with_it.insert(place, {**extra, "id": "extra", "amount": 0.0, "on": True})
    both = document_of({**values, "layers": with_it})
    assert_same(evaluate(both, motions, RATE), evaluate(made, motions, RATE), 0.0)


@settings(max_examples=40)
@given(documents(), layers())
def test_a_layer_reaches_no_further_than_its_regions(made, extra) -> None:
    motions = moved(made) | {"extra": motion(7)}
    # Emotions yield to a mouth that speaks, which is their own matter.
    without = document_of({**made.as_json(), "emotions": []})
    layer = {**extra, "id": "extra", "on": True}
    under = evaluate(without, motions, RATE)
    over = evaluate(document_of({**without.as_json(), "layers": [*without.as_json()["layers"], layer]}), motions, RATE)
    outside = ~np.any([WEIGHTS_IN[r] for r in layer["regions"]] or [np.zeros(52, bool)], axis=0)
    assert np.abs(over.weights - under.weights)[:, outside].max(initial=0) < 1e-6
    if "head" not in layer["regions"]:
        assert_same(*(Performance(RATE, under.weights, p.head_degrees, under.own_mouth, under.lip_seal, p.breath)
                      for p in (under, over)))  # fmt: skip
    if "mouth" not in layer["regions"]:
        assert np.array_equal(over.lip_seal, under.lip_seal)


@settings(max_examples=40)
@given(documents(), st.sampled_from(["driving", "speech"]), regions)
def test_an_overriding_motion_takes_the_place_of_what_is_below(made, kind, where) -> None:
    motions = moved(made) | {"top": motion(7, quiet=True)}
    source = {"curves": SHA} if kind == "driving" else {"sound": SHA}
    top = {"kind": kind, "id": "top", "blend": "override", "regions": list(where), **source}
    over = evaluate(
        document_of({**made.as_json(), "emotions": [], "layers": [*made.as_json()["layers"], top]}), motions, RATE
    )
    inside = np.any([WEIGHTS_IN[r] for r in where] or [np.zeros(52, bool)], axis=0)
    assert np.abs(over.weights - motions["top"].weights)[:, inside].max(initial=0) < 1e-6
    if "head" in where:
        assert np.allclose(over.head_degrees, motions["top"].head_degrees, atol=1e-5)


@settings(max_examples=40)
@given(documents(), st.integers(2, 4))
def test_shared_moments_are_the_same_at_every_rate(made, times) -> None:
    motions = moved(made)
    slow, fast = evaluate(made, motions, RATE), evaluate(made, motions, RATE * times)
    assert len(fast) == times * len(slow)
    assert_same(Performance(RATE, *(a[::times] for a in arrays(fast))), slow, 1e-5)


@settings(max_examples=40)
@given(documents(), st.integers(0, 80), st.integers(1, 30))
def test_a_part_is_a_part_of_the_whole(made, first, count) -> None:
    motions = moved(made)
    whole = evaluate(made, motions, RATE)
    part = evaluate(made, motions, RATE, start_seconds=first / RATE, seconds=count / RATE)
    stop = min(first + count, len(whole))
    assert len(part) == stop - first
    assert_same(part, Performance(RATE, *(a[first:stop] for a in arrays(whole))), 1e-5)


def test_no_closure_falls_between_frames() -> None:
    fast = motion(rate=100.0)
    fast.lip_seal[:] = 0
    fast.lip_seal[141] = 1  # 10 ms, between two frames of 12 per second
    slow = evaluate(document(speech()), {"speech": fast}, 12.0)
    assert slow.lip_seal.max() == 1


# -- closures ----------------------------------------------------------------------------------


def gap(performance: Performance) -> np.ndarray:
    own = np.full(52, 0.2)
    mouth = np.where(WEIGHTS_IN["mouth"], own * performance.own_mouth[:, None], own)
    return np.clip(mouth + performance.weights, 0, 1) @ USUAL_GAP


@settings(max_examples=40)
@given(layers(), layers(), st.floats(0.25, 1.5))
def test_nothing_laid_over_speech_opens_its_closed_lips(one, other, amount) -> None:
    one, other = ({**x, "id": f"l{i}", "on": True, "blend": "add"} for i, x in enumerate((one, other)))
    made = document(speech(amount=amount), one, other)
    motions = {"speech": motion()} | {x["id"]: motion(7, quiet=True) for x in (one, other)}
    out = evaluate(made, motions, RATE)
    shut = motions["speech"].lip_seal >= 1
    assert shut.sum() > 10
    assert (gap(out) - gap(motions["speech"]))[shut].max() < 1e-5
    lids = motions["speech"].weights[:, BLINKS].min(1) >= 0.95
    assert out.weights[lids][:, BLINKS].min() >= 0.95 - 1e-6
    assert out.weights[lids][:, WIDES].max() <= 1e-6


def test_an_override_that_says_words_brings_its_own_closures() -> None:
    made = document(speech(), {"kind": "driving", "id": "top", "curves": SHA, "blend": "override"})
    out = evaluate(made, {"speech": motion(), "top": motion(7, quiet=True)}, RATE)
    assert not out.lip_seal.any()


def test_a_jaw_that_is_held_open_lets_p_b_and_m_through() -> None:
    held = {"kind": "expression", "id": "jaw", "values": {"jawOpen": 0.9}, "blend": "override"}
    out = evaluate(document(speech(), held), {"speech": motion()}, RATE)
    jaw, shut = out.weights[:, INDEX["jawOpen"]], motion().lip_seal >= 1
    assert np.allclose(jaw[motion().lip_seal == 0], 0.9)
    assert jaw[shut].max() < 0.35


# -- keys, emotions, rest ----------------------------------------------------------------------


def test_keys_go_from_one_to_the_next_as_they_say() -> None:
    keys = [
        {"seconds": 1, "control": "browInnerUp", "value": 0.0, "ease": "linear"},
        {"seconds": 2, "control": "browInnerUp", "value": 0.8, "ease": "hold"},
        {"seconds": 3, "control": "browInnerUp", "value": 0.2},
    ]
    out = evaluate(document({"kind": "keyframes", "id": "keys", "keys": keys}), {}, RATE)
    brow = out.weights[:, INDEX["browInnerUp"]]
    assert brow[[0, 25, 35, 37, 50, 70, 75, 99]].tolist() == pytest.approx([0, 0, 0.32, 0.384, 0.8, 0.8, 0.2, 0.2])


def test_an_expression_overrides_only_what_it_names() -> None:
    under = motion(quiet=True)
    over = {"kind": "expression", "id": "brow", "values": {"browInnerUp": 0.9}, "blend": "override"}
    out = evaluate(document(speech(), over), {"speech": under}, RATE)
    assert np.allclose(out.weights[:, INDEX["browInnerUp"]], 0.9)
    rest = [i for i, n in enumerate(ARKIT_NAMES) if n != "browInnerUp"]
    assert np.abs(out.weights - under.weights)[:, rest].max() < 1e-6


def test_a_layer_comes_and_goes_gently() -> None:
    layer = smile(start_seconds=1, end_seconds=3, ease_in_seconds=0.4, ease_out_seconds=0.4)
    yaw = evaluate(document(layer), {}, RATE).head_degrees[:, 0]
    assert yaw[24] == 0
    assert yaw[75] == 0
    assert yaw[50] == pytest.approx(4)
    assert yaw[30] == pytest.approx(2)
    assert np.abs(np.diff(yaw)).max() < 1


def test_emotion_over_time_yields_to_words_in_the_mouth_alone() -> None:
    marks = [{"seconds": 1, "emotion": "joy", "strength": 0}, {"seconds": 2, "emotion": "joy", "strength": 1}]
    silent = evaluate(document(emotions=marks), {}, RATE)
    assert not silent.weights[:26].any()
    corner, cheek = INDEX["mouthSmileLeft"], INDEX["cheekSquintLeft"]
    assert silent.weights[-1, corner] == pytest.approx(0.6)
    assert silent.weights[-1, cheek] == pytest.approx(0.6)
    talk = motion()
    talk.lip_seal[:] = 0
    spoken = evaluate(document(speech(), emotions=marks), {"speech": talk}, RATE).weights - talk.weights
    assert spoken[-1, corner] == pytest.approx(0.6 * 0.65, abs=1e-5)
    assert spoken[-1, cheek] == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("neutral", ["calm", 0.0])
def test_curves_begin_from_a_face_at_rest(neutral) -> None:
    curves = motion(quiet=True)
    curves.weights[:, INDEX["browInnerUp"]] = 0.4  # a driver who never lowers the brows
    curves.head_degrees[:, 0] = 9
    layer = {"kind": "driving", "id": "d", "curves": SHA, "neutral": neutral}
    out = evaluate(document(layer), {"d": curves}, RATE)
    assert not out.weights[:, INDEX["browInnerUp"]].any()
    assert not out.head_degrees[:, 0].any()


def test_a_motion_that_is_missing_and_a_part_behind_the_end_are_said() -> None:
    with pytest.raises(UserInputError, match="motion of the layer speech is missing"):
        evaluate(document(speech()), {}, RATE)
    with pytest.raises(UserInputError, match="ends at"):
        evaluate(document(), {}, RATE, start_seconds=9)
