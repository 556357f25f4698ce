"""What an error says at the console and in the window: every place that raises one is read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from studio import errors
from studio.domain.consent import require
from studio.domain.job import Failure
from studio.domain.refusal import in_a_file
from studio.errors import NotFoundError, StudioError, UserInputError

ROOT = Path(__file__).resolve().parents[2] / "studio"
ROOMS = ("domain", "engines", "jobs", "services", "store", "ui")
"""Those whose errors may reach the window; the API's words, in ui/api, are for programs."""
KINDS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, StudioError)}
CONSOLE = re.compile(r"`(python -m )?studio |[ (]--[a-z]|`--")
PIP = re.compile(r"`?pip (install|download)[^`]*`?")
"""What has to be installed beside the studio is installed at a console; the window says so too."""
IDS = {"id", "sha256", "photo_id", "render_id", "run_id", "cell_id", "person_id", "identity_id", "job_id"}


@dataclass
class Said:
    """One place that raises, and what the window shows of it."""

    where: str
    message: ast.expr | None
    hint: ast.expr | None
    constants: dict[str, ast.expr]

    def words(self, part: ast.expr | None) -> str:
        """Return the fixed words of an expression, those of the module's constants with them."""
        if isinstance(part, ast.Name):
            return self.words(self.constants.get(part.id))
        return " ".join(str(n.value) for n in ast.walk(part or ast.Constant("")) if isinstance(n, ast.Constant))

    def ids(self) -> set[str]:
        """Return the ids that the message repeats."""
        shown = [n.value for n in ast.walk(self.message or ast.Constant("")) if isinstance(n, ast.FormattedValue)]
        whole = [n.value if isinstance(n, ast.Subscript) else n for n in shown]  # sha256[:12] is an id too
        return IDS & {n.id if isinstance(n, ast.Name) else getattr(n, "attr", "") for n in whole}


def said_in(path: Path) -> Iterator[Said]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        t.id: node.value
        for node in ast.walk(tree) if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in KINDS:
            words = {
                k.arg: k.value
                for k in node.keywords
                if not (isinstance(k.value, ast.Constant) and k.value.value is None)
            }
            given = dict(zip(("message", "hint"), node.args, strict=False)) | words
            yield Said(
                f"{path.relative_to(ROOT)}:{node.lineno}",
                given.get("window_message", given.get("message")),
                given.get("window", given.get("hint")),
                constants,
            )


@cache
def every_place() -> list[Said]:
    paths = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py")) if "api" not in p.parts]
    return [said for path in [*paths, ROOT / "outside.py"] for said in said_in(path)]


def test_the_window_is_shown_no_commands() -> None:
    places = every_place()
    assert len(places) > 300
    found = [
        f"{s.where}: {words}"
        for s in places
        for words in (s.words(s.message), s.words(s.hint))
        if CONSOLE.search(PIP.sub("", words))
    ]
    assert not found


def test_the_window_is_shown_no_ids() -> None:
    assert not [f"{s.where}: {s.ids()}" for s in every_place() if s.ids()]


def test_the_reader_of_places_finds_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    source = tmp_path / "x.py"
    source.write_text(
        'HINT = "Run `studio doctor`."\n'
        'raise NotFoundError(f"There is no run {run.id!r}.", HINT)\n'
        'raise StoreError("Gone.", HINT, window="Open Settings.")\n'
        'raise UserInputError("Two faces.", f"Give --face {n}.")\n'
    )
    first, second, third = said_in(source)
    assert CONSOLE.search(first.words(first.hint))
    assert first.ids() == {"id"}
    assert not CONSOLE.search(second.words(second.hint))
    assert CONSOLE.search(third.words(third.hint))


def test_pages_show_errors_in_the_words_for_the_window() -> None:
    """Nobody in the window's code takes the console's words of an error or a failed job."""
    raw = re.compile(r"\b(error|exc|failure)\.(message|hint)\b|str\((error|exc)\)")
    paths = [p for p in (ROOT / "ui").rglob("*.py") if "api" not in p.parts]
    found = [
        f"{p.name}: {line.strip()}"
        for p in paths
        for line in p.read_text(encoding="utf-8").splitlines()
        if raw.search(line) and "told_outside" not in line and "said.hint" not in line
    ]
    assert not found


@pytest.mark.parametrize("kind", sorted(KINDS - {"StudioError"}))
def test_every_class_of_error_has_words_for_both_doors(kind: str) -> None:
    error = getattr(errors, kind)("There is no run 'r1'.", "See `studio runs list`.", window="Open Train again.")
    assert str(error) == "There is no run 'r1'. See `studio runs list`."
    assert error.in_window == ("There is no run 'r1'.", "Open Train again.")
    assert getattr(errors, kind)("Too large.", "Trim it.").in_window == ("Too large.", "Trim it.")


def test_a_failed_job_keeps_the_words_of_both_doors() -> None:
    gone = Failure.of(NotFoundError.row("adapter", "a1", "`studio adapter list`"))
    assert gone.hint == "It may have been deleted; `studio adapter list` shows what is there."
    assert gone.in_window.message == "That adapter is not there any more."
    assert "studio" not in gone.in_window.hint
    assert Failure(error="X", message="Full.", hint="Free some space.").in_window == ("Full.", "Free some space.")


def test_a_file_that_is_named_is_named_at_both_doors() -> None:
    error = UserInputError("The picture shows 2 faces.", "Give --face 1.", window="Pick the face that you mean.")
    error.about("ann.jpg")
    assert error.message == "ann.jpg: the picture shows 2 faces."
    assert error.in_window == ("ann.jpg: the picture shows 2 faces.", "Pick the face that you mean.")


def test_missing_consent_names_the_tab_in_the_window_and_the_command_at_the_console() -> None:
    with pytest.raises(errors.ConsentMissingError) as caught:
        require((), "train", datetime.now(UTC), "Ann")
    assert "`studio identity consent`" in caught.value.hint
    assert caught.value.in_window.hint == "Record on the Identities tab who agreed to “train”, and until when."


def test_a_file_of_ours_is_refused_in_words_of_ours() -> None:
    class Preset(BaseModel):
        title: str

    with pytest.raises(ValueError, match="valid string") as caught:
        Preset(title=3)  # type: ignore[arg-type]
    assert in_a_file("The preset file x.json", caught.value).message == (
        "The preset file x.json cannot be used: title is 3, but must be a text."
    )
    shown = in_a_file("The preset file x.json", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    assert shown.in_window.message == "The preset file x.json cannot be read."
