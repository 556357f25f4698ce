"""Every endpoint of the API with wrong types: one sentence each time, and never a bug."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from studio.studio import Studio
from studio.ui import guard
from studio.ui.api import actions, arguments
from studio.ui.api.models import ModelApi
from studio.ui.api.performances import PerformanceApi
from studio.ui.shelf import Shelf
from studio.ui.window import Window

DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
WRONG: tuple[Any, ...] = (
    None, 5, -1, 10**30, 1e308, float("nan"), True, "", "x", "\0", "\ud800", "../../etc/passwd", "y" * 9000, [], [[]],
    [None], {}, {"photo_id": {}}, {"photo_id": ["x"]}, {"file": 7}, {"file": {"path": "z" * 9000}},
    {"file": {"path": 3}},
    {"photo_id": "x", "face_index": "first"}, {"photo_id": "x", "size": []}, {"smile": "much"}, {"smile": None},
    {"portrait": 3}, {"portrait": {"photo_id": "x"}, "sound": "x"}, {"portrait": {}, "emotions": 4, "seed": "x"},
    {"prompt": 3}, {"prompt": "x", "adapters": 9}, {"prompt": "x", "source": []},
    {"prompt": "x", "source": {"file": 1}},
    {"steps": "many"}, {"photos": "x"}, {"preset": "x"}, {"self": 1}, {"base": []}, {"base": "x"}, {"": ""}, DEEP,
)  # fmt: skip


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("api")
    with Studio(folder / "data", offline=True) as studio:
        me = studio.for_owner()
        window = Window(me, studio.upkeep, Shelf(folder / "data" / "cache" / "window"), folder / "data", "0")
        own = actions.Api(window)
        models = ModelApi(window, actions.plain, own.upload, own.file, own.job_row)
        played = PerformanceApi(window, own.upload, own.source, own.file, own.job_row)
        homes = (own, played, models)
        yield {
            name: guard.answered(arguments.checked(getattr(next(h for h in homes if hasattr(h, name)), name)))
            for name in actions.NAMES
        }


@pytest.mark.parametrize("name", actions.NAMES)
def test_wrong_types_end_in_one_sentence(endpoints: dict[str, Any], name: str, caplog) -> None:
    function = endpoints[name]
    parameters = list(inspect.signature(function).parameters.values())
    bugs: list[Any] = []
    lengths: list[int] = []
    for place in range(len(parameters)):
        for wrong in WRONG:
            given = [_plausible(p.name) for p in parameters]
            given[place] = wrong
            try:
                function(*given)
            except gr.Error as error:
                if guard.BUG in str(error) or "nput should" in str(error) or "valid " in str(error):
                    bugs.append((parameters[place].name, repr(wrong)[:60], caplog.text[-300:]))
                lengths.append(len(str(error)))
    assert max(lengths, default=0) < 700
    assert bugs == []


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("job", [5], "job_id is 5, but must be a text."),
        ("add_identity", ["Ann", "x"], "photos is 'x', but must be a list."),
        ("add_identity", ["Ann", [], "first"], "face_index is 'first', but must be a whole number."),
        ("open_portrait", [7], "portrait is 7, but must be names with values."),
        ("open_portrait", [{"photo_id": "x", "size": "big"}], "portrait.size is 'big', but must be a whole number."),
        ("edit_expression", [{"photo_id": "x"}, {"smile": "much"}], "values.smile is 'much', but must be a number."),
        ("edit_expression", [{"photo_id": "x"}, {}, "perhaps"], "neutralise is 'perhaps', but must be yes or no."),
        ("video", [{"prompt": "x", "text": "hi", "motion": "/somewhere"}], "There is no motion '/somewhere'."),
        ("library", [None, "poem"], "kind is 'poem', but must be 'image'"),
    ],
)
def test_what_does_not_fit_is_said_in_words_of_ours(endpoints: dict[str, Any], name: str, given: list[Any], said: str):
    with pytest.raises(gr.Error) as refused:
        endpoints[name](*given)
    assert said in str(refused.value)
    assert "Input should be" not in str(refused.value)


def _plausible(name: str) -> Any:
    return {
        "name": "Ann", "photos": [], "face_index": None, "portrait": {"photo_id": "x"}, "values": {},
        "neutralise": False,
        "note": "", "request": {}, "seconds": 1.0, "cursor": None, "kind": None, "identity_id": "x", "file": {},
        "preset": "preview-quick", "changes": {}, "curves": False, "steps": None, "layout": "peft",
    }.get(name, "x")  # fmt: skip
