"""The folder that a hosted Space is made of, and a look at whether it will run there.

A Space is for one person or one team: behind its password everybody sees the same. The hub builds it from the front
matter of README.md and from requirements.txt; facts of both are those of the hub's reference for configurations.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from studio.errors import ConflictError, EngineError, NotFoundError, UserInputError

ROOT = Path(__file__).resolve().parents[2]
FILES = ("app.py", "LICENSE", "NOTICE", "CHANGELOG.md", "constraints.txt", "packages.txt", "docs/agents.md")
FOLDERS = ("studio", "assets", "presets")
NEVER = re.compile(r"(^|/)(__pycache__|\.[^/]+_cache|tests|\.git|\.venv[^/]*)(/|$)|\.(pyc|nbi|nbc|db|pem|key|toml)$")
PYTHON = "3.12"
LARGE_BYTES = 10_000_000
"""From here on the hub wants a file in its large-file store."""
MOST_BYTES = 1_000_000_000
LONGEST_TITLE = 60
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds without CUDA, several GB smaller."""
HARDWARE = (
    "cpu-basic", "cpu-upgrade", "t4-small", "t4-medium", "l4x1", "l40sx1", "a10g-small", "a10g-large", "a100-large",
)  # fmt: skip
START_SECONDS = 180.0
_README = """\
# {title}

A studio for one person's likeness: edit a portrait's expression, let it speak, train an adapter, draw pictures.

**Before it starts** set the secret `STUDIO_PASSWORD` in the Space's settings; the user's name is `studio`. Whoever has
the password sees everything in it: keep the Space private, or share it only with people you work with.

What it holds lies on the Space's own disk and is gone when the Space restarts: "Export everything" or "Make a backup"
on Settings takes it along. Everything that is made carries AI in a corner, signed credentials and an invisible mark.

The software is Likeness Studio, Apache-2.0; LICENSE and NOTICE lie beside this file.
"""


@dataclass(frozen=True)
class SpaceReport:
    """What was found in a folder for a Space.

    Attributes:
        problems: one sentence each; empty when it may be pushed.
        started_seconds: until the window answered; None where it was not started.
    """

    folder: Path
    files: int
    bytes: int
    problems: tuple[str, ...]
    started_seconds: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it may be pushed."""
        return not self.problems


def build(out: Path, *, title: str = "Likeness Studio", hardware: str = "cpu-basic") -> SpaceReport:
    """Write the folder of a Space.

    Args:
        out: is not there yet, or is empty.
        title: of the Space, 1..60 letters on one line.
        hardware: one of HARDWARE; ZeroGPU is none of them, since its cards are lent inside a visitor's event only, and
            jobs run in a process of their own.

    Raises:
        ConflictError: the folder holds something.
        NotFoundError: it is to lie in a folder that does not exist, or this studio was installed without its files.
        UserInputError: the title or the hardware cannot be.
    """
    if not 0 < len(title.strip()) <= LONGEST_TITLE or "\n" in title or '"' in title:
        raise UserInputError(f"{title[:80]!r} cannot be the title of a Space.", "Write up to 60 letters on one line.")
    if hardware not in HARDWARE:
        raise UserInputError(
            f"There is no hardware {hardware!r} that the studio runs on.", f"One of {', '.join(HARDWARE)}."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConflictError(f"{out.name} is there already.", "Name a new folder; nothing is overwritten.")
    if not out.parent.is_dir():
        raise NotFoundError(f"There is no folder {out.parent}.", "Create it first.")
    missing = [name for name in (*FILES, *FOLDERS) if not (ROOT / name).exists()]
    if missing:
        raise NotFoundError(f"{missing[0]} is missing here.", "Build the Space from a clone of the repository.")
    out.mkdir(exist_ok=True)
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, out / name)
    for folder in FOLDERS:
        for source in sorted((ROOT / folder).rglob("*")):
            name = source.relative_to(ROOT).as_posix()
            if source.is_file() and not NEVER.search(name):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, out / name)
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    if hardware.startswith("cpu"):
        requirements = f"--extra-index-url {CPU_INDEX}\n{requirements}"
    (out / "requirements.txt").write_text(requirements, "utf-8")
    large = [p.relative_to(out).as_posix() for p in _files(out) if p.stat().st_size >= LARGE_BYTES]
    lines = [f"{name} filter=lfs diff=lfs merge=lfs -text" for name in large]
    (out / ".gitattributes").write_text("".join(line + "\n" for line in lines), "utf-8")
    (out / "README.md").write_text(_front_matter(title.strip(), hardware) + _README.format(title=title), "utf-8")
    return check(out)


def check(folder: Path, *, start: bool = False, install: bool = False) -> SpaceReport:
    """Look at the folder of a Space.

    Args:
        start: run it as the hub does, see that it answers, that it wants the password, and that it takes it.
        install: do so in an empty environment, with what its own requirements.txt brings; takes minutes.

    Raises:
        NotFoundError: no such folder.
        EngineError: what it needs cannot be installed.
    """
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder.name!r}.", "Write one with `studio space build`.")
    files = _files(folder)
    total = sum(p.stat().st_size for p in files)
    problems = [*_about_front_matter(folder), *_about_files(folder, files, total)]
    seconds = None
    if (start or install) and not problems:
        with tempfile.TemporaryDirectory(prefix="space-") as place:
            python = _installed(folder, Path(place)) if install else Path(sys.executable)
            seconds, found = _started(folder, Path(place) / "data", python)
            problems += found
    return SpaceReport(folder, len(files), total, tuple(problems), seconds)


def _front_matter(title: str, hardware: str) -> str:
    return (
        "---\n"
        f'title: "{title}"\n'
        "emoji: 🎭\ncolorFrom: green\ncolorTo: gray\nsdk: gradio\n"
        f"sdk_version: {_pinned('gradio')}\n"
        f'python_version: "{PYTHON}"\n'
        "app_file: app.py\n"
        f"suggested_hardware: {hardware}\n"
        "startup_duration_timeout: 1h\n"
        "short_description: One person's likeness, from photos to a talking clip\n"
        "license: apache-2.0\npinned: false\n"
        "---\n\n"
    )


def _pinned(name: str) -> str:
    found = re.search(rf"^{name}==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    if found is None:
        raise NotFoundError(f"constraints.txt pins no {name}.", "Build the Space from a clone of the repository.")
    return found[1]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and ".git" not in p.relative_to(folder).parts[:1])


def _about_front_matter(folder: Path) -> list[str]:
    """Return what is wrong with the head of README.md."""
    import yaml

    readme = folder / "README.md"
    text = readme.read_text("utf-8", "replace") if readme.is_file() else ""
    head = re.match(r"---\n(.*?)\n---\n", text, re.S)
    try:
        told = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        told = None
    if not isinstance(told, dict):
        return ["README.md has no front matter that can be read."]
    out = []
    if told.get("sdk") != "gradio" or str(told.get("sdk_version")) != _pinned("gradio"):
        out.append(f"README.md asks for {told.get('sdk')} {told.get('sdk_version')}, tested is {_pinned('gradio')}.")
    if not (folder / str(told.get("app_file") or "none")).is_file():
        out.append(f"The file that is to be started is missing: {told.get('app_file')}.")
    if str(told.get("python_version")) not in ("3.11", "3.12", "3.13"):
        out.append(f"The studio does not run on Python {told.get('python_version')}.")
    if len(str(told.get("short_description") or "")) > LONGEST_TITLE:
        out.append("The short description has more than 60 letters.")
    return out


def _about_files(folder: Path, files: list[Path], total: int) -> list[str]:
    names = {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}
    out = [f"{name} is missing." for name in (*FILES, "requirements.txt") if name not in names]
    out += [f"{name}/ is missing." for name in FOLDERS if not (folder / name).is_dir()]
    out += [f"{name} belongs to no Space." for name in names if NEVER.search(name)]
    listed = (folder / ".gitattributes").read_text("utf-8") if (folder / ".gitattributes").is_file() else ""
    stored = {line.split(" ")[0] for line in listed.splitlines() if "filter=lfs" in line}
    large = [name for name, size in names.items() if size >= LARGE_BYTES and name not in stored]
    out += [f"{name} is large and not in .gitattributes." for name in large]
    if total > MOST_BYTES:
        out.append(f"{total / 1e6:.0f} MB are more than the {MOST_BYTES / 1e6:.0f} MB of a Space.")
    return out


def _installed(folder: Path, place: Path) -> Path:
    """Return the Python of a new environment with everything that the Space asks for."""
    venv.create(place / "venv", with_pip=True)
    python = place / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(folder / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise EngineError(
            f"What the Space needs cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}",
            "Look at its requirements.txt and constraints.txt.",
        )
    return python


def _started(folder: Path, data: Path, python: Path) -> tuple[float | None, list[str]]:
    """Run the Space as the hub does; return the seconds until it answered, and what is wrong."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    name, password = "me-studio.hf.space", secrets.token_urlsafe(12)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STUDIO_", "GRADIO_", "SPACE_", "PYTHONPATH"))}
    hosted = {
        **kept, "SPACE_ID": "me/studio", "SPACE_HOST": name, "STUDIO_PORT": str(port), "STUDIO_DATA_DIR": str(data),
        "STUDIO_SAMPLE": "no", "STUDIO_WORKER": "no",
    }  # fmt: skip
    problems = (
        [] if _wants_password(folder, python, hosted) else ["It starts without a password, or does not ask for one."]
    )
    log = data.parent / "app.log"
    with log.open("wb") as out:
        environment = {**hosted, "STUDIO_PASSWORD": password}
        process = subprocess.Popen([str(python), "app.py"], cwd=folder, env=environment, stdout=out, stderr=out)
        begin = time.monotonic()
        try:
            while True:
                if process.poll() is not None or time.monotonic() - begin > START_SECONDS:
                    return None, [*problems, f"It does not start: {_last(log.read_text('utf-8', 'replace'))}"]
                if _ask(port, name, "/") is not None:
                    break
                time.sleep(0.2)
            seconds = time.monotonic() - begin
            if (closed := _ask(port, name, "/config")) is None or closed[0] != 401:
                problems.append("It shows more than its login page before anybody logged in.")
            if (other := _ask(port, "elsewhere.example", "/")) is None or other[0] != 421:
                problems.append("It answers under another name than the Space's.")
            form = urlencode({"username": "studio", "password": password})
            entered = _ask(port, name, "/login", form)
            inside = None if entered is None else _ask(port, name, "/config", cookie=entered[1])
            if inside is None or inside[0] != 200:
                problems.append("It does not take its password.")
        finally:
            process.terminate()
            process.wait()
    return seconds, problems


def _wants_password(folder: Path, python: Path, hosted: dict[str, str]) -> bool:
    """Say whether it refuses to start without a password, and names the setting."""
    command = [str(python), "app.py"]
    try:
        done = subprocess.run(command, cwd=folder, env=hosted, capture_output=True, text=True, timeout=START_SECONDS)
    except subprocess.TimeoutExpired:  # it serves
        return False
    return done.returncode != 0 and "STUDIO_PASSWORD" in done.stderr + done.stdout


def _ask(port: int, host: str, path: str, form: str = "", cookie: str = "") -> tuple[int, str, str] | None:
    """Return status, cookies and text of an answer; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Host": host, "Cookie": cookie}
    if form:
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("POST" if form else "GET", path, form or None, headers)
        answer = connection.getresponse()
        cookies = [v.partition(";")[0] for k, v in answer.getheaders() if k.lower() == "set-cookie"]
        return answer.status, "; ".join(cookies), answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said"])[-1][:200]
