"""The folder of a Space: whole, small, private, and it starts as the hub starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio import settings
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.factory import space

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("space") / "mine"
    assert space.build(folder, title="Ann's studio").ok
    return folder


@pytest.fixture
def copy(built, tmp_path):
    """A folder with the same files, as links: a change replaces the link."""
    for path in built.rglob("*"):
        if path.is_file():
            target = tmp_path / "copy" / path.relative_to(built)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    return tmp_path / "copy"


def replaced(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_it_starts_wants_its_password_and_takes_it(built) -> None:
    report = space.check(built, start=True)
    assert report.problems == ()
    assert report.started_seconds is not None
    assert report.bytes < 150_000_000


def test_nothing_that_is_not_ours_to_show_is_in_it(built) -> None:
    names = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert {"app.py", "studio/cli.py", "assets/head.npz", "presets/bases/preview.json", "docs/agents.md"} <= names
    assert not [n for n in names if n.startswith(("tests", "benchmarks", ".ci", ".git/")) or "__pycache__" in n]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if len(tracked) > 1:  # not where the tests run without the repository
        assert names - {"README.md", "requirements.txt", ".gitattributes"} <= set(tracked)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("README.md", lambda text: text.replace("6.", "5."), "tested is"),
        ("README.md", lambda text: text.replace("app.py", "main.py"), "missing: main.py"),
        ("README.md", lambda text: text.replace('"3.12"', '"3.9"'), "Python 3.9"),
        ("README.md", lambda text: text.replace("description: ", "description: " + "very " * 20), "60 letters"),
        ("README.md", lambda text: text.replace("---", "", 1), "front matter"),
        ("README.md", lambda text: text.replace("sdk: gradio", "sdk: [gradio"), "front matter"),
        (".gitattributes", lambda text: "", "is large and not in"),
        ("tests/test_x.py", lambda text: "", "belongs to no Space"),
        ("studio.db", lambda text: "", "belongs to no Space"),
        ("keys/key.pem", lambda text: "", "belongs to no Space"),
    ],
)  # fmt: skip
def test_what_would_fail_on_the_hub_is_found_here(copy, name, change, words) -> None:
    path = copy / name
    replaced(path, change(path.read_text("utf-8") if path.exists() else ""))
    found = space.check(copy, start=True)
    assert any(words in problem for problem in found.problems), found.problems
    assert found.started_seconds is None, "what is wrong is not started"


def test_a_program_that_does_not_start_is_told_with_its_last_words(copy) -> None:
    replaced(copy / "app.py", "import sys\nprint('STUDIO_PASSWORD')\nsys.exit('no such thing')\n")
    found = space.check(copy, start=True)
    assert found.problems == ("It does not start: no such thing",)


@pytest.mark.parametrize("ends", [True, False])
def test_a_program_without_a_password_is_told(copy, monkeypatch, ends) -> None:
    monkeypatch.setattr(space, "START_SECONDS", 10.0)
    server = (
        "import http.server, os\n"
        "class All(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "    do_POST = do_GET\n"
        "    def log_message(self, *a): pass\n"
        f"if not {ends} or 'STUDIO_PASSWORD' in os.environ:\n"
        "    http.server.HTTPServer(('127.0.0.1', int(os.environ['STUDIO_PORT'])), All).serve_forever()\n"
    )
    replaced(copy / "app.py", server)
    told = " ".join(space.check(copy, start=True).problems)
    assert "without a password" in told
    assert "before anybody logged in" in told
    assert "another name" in told


def test_what_cannot_be_is_refused(built, tmp_path) -> None:
    with pytest.raises(ConflictError):
        space.build(built)
    with pytest.raises(NotFoundError):
        space.build(tmp_path / "none" / "x")
    with pytest.raises(NotFoundError):
        space.check(tmp_path / "none")
    for title in ("", "x" * 61, "two\nlines", 'a "quote'):
        with pytest.raises(UserInputError):
            space.build(tmp_path / "x", title=title)
    with pytest.raises(UserInputError, match="zero-a10g"):
        space.build(tmp_path / "x", hardware="zero-a10g")
    assert not (tmp_path / "x").exists()


def test_in_a_space_the_window_is_open_to_the_hub_and_everything_is_labelled(tmp_path) -> None:
    hosted = {"SPACE_ID": "me/studio", "STUDIO_DATA_DIR": str(tmp_path)}
    with pytest.raises(UserInputError, match="without a password"):
        settings.load(environment=hosted)
    found = settings.load(environment={**hosted, "STUDIO_PASSWORD": "x"})
    assert (found.host, found.ai_label) == ("0.0.0.0", True)
    assert not settings.load(environment={**hosted, "STUDIO_PASSWORD": "x", "STUDIO_AI_LABEL": "no"}).ai_label
    assert settings.load(environment={"STUDIO_DATA_DIR": str(tmp_path)}).host == "127.0.0.1"


def test_the_command_line_says_what_is_wrong_and_fails(built, copy) -> None:
    replaced(copy / ".gitattributes", "")
    check = [sys.executable, "-m", "studio", "space", "check"]
    done = subprocess.run([*check, str(copy)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is large" in done.stdout
    done = subprocess.run([*check, str(built)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "It may be pushed" in done.stdout
