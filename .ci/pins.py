"""Renew the exact versions in constraints.txt, or try the newest releases that requirements.txt allows.

    python .ci/pins.py update    resolve anew, say what moved, look for published holes, run every test
    python .ci/pins.py newest    the newest releases in an environment of their own, and a short set of tests

Both run in the development environment (`make update`, `make newest`). The
resolver is uv's: one answer that holds for Python 3.11 to 3.13 on Linux, macOS
and Windows. torch's own CUDA libraries are left to torch.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
NEWEST = ROOT / ".venv-newest"
AUDIT = "pip-audit==2.10.1"

LEFT_OUT = re.compile(r"^(nvidia-|cuda-|triton|pip==)")
"""CUDA's libraries belong to torch; pip is what installs, and cannot replace itself on Windows."""

HELD = ("torch",)
"""Moved by hand only (`make update TORCH=2.14.1`): it decides the pixels of stored recipes."""

HEADER = """\
# Every library, also those that others pull in, with which the tests passed: Python 3.11 to 3.13 on Linux, macOS and
# Windows. Written by `make update`; edit requirements.txt instead. torch's own CUDA libraries are left to torch.
"""


def main() -> int:
    """Do what the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    update_parser = actions.add_parser("update")
    update_parser.add_argument("--torch", default="", help="move torch to this version too")
    update_parser.add_argument("--no-tests", action="store_true", help="only resolve and look for holes")
    newest_parser = actions.add_parser("newest")
    newest_parser.add_argument("--keep", action="append", default=[], metavar="NAME", help="leave one as it is pinned")
    chosen = parser.parse_args()
    if chosen.action == "update":
        return update(chosen.torch, tests=not chosen.no_tests)
    return newest(chosen.keep)


def update(torch: str, *, tests: bool) -> int:
    """Resolve anew, print what moved, look for holes, install and test."""
    before = _versions(CONSTRAINTS)
    held = {name: before[name] for name in HELD if name in before}
    if torch:
        held["torch"] = torch
    CONSTRAINTS.write_text(HEADER + _resolve(held), encoding="utf-8")
    after = _versions(CONSTRAINTS)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"  {name}: {before.get(name, 'new')} -> {after.get(name, 'gone')}")
    if before == after:
        print("Nothing moved.")
    holes = audit()
    if not tests:
        return holes
    failed = _run(sys.executable, "-m", "pip", "install", "--quiet", "-r", "requirements-dev.txt") or _run(
        "make", "test"
    )
    if failed:
        print("The tests do not pass with these versions; `git checkout constraints.txt` brings the old ones back.")
    return failed or holes


def audit() -> int:
    """Name published holes of the pinned versions; return 1 when there are any or nobody could be asked."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "pins.txt"
        plain.write_text(_for_this_system(), encoding="utf-8")
        command = ("tool", "run", "--from", AUDIT, "pip-audit", "--no-deps", "--disable-pip", "-r", str(plain))
        done = subprocess.run([sys.executable, "-m", "uv", *command], capture_output=True, text=True, cwd=ROOT)
    unknown = len(re.findall("could not be audited", done.stdout))
    if unknown or (done.returncode and "vulnerabilit" not in done.stdout + done.stderr):
        print(f"Published holes: the register of holes could not be asked for {unknown or 'all'} libraries.")
        return 1
    print(f"Published holes: {done.stdout.strip() or 'none known'}")
    return done.returncode


def newest(keep: list[str]) -> int:
    """Install the newest releases our ranges allow, print what differs from the pins, run the short set of tests."""
    pins = _versions(CONSTRAINTS)
    python = NEWEST / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    venv.create(NEWEST, with_pip=True, clear=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(_ranges() + "".join(f"{name}=={pins[name]}\n" for name in keep), encoding="utf-8")
        if _run(str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)):
            print("The newest releases cannot be installed together.")
            return 1
    listed = subprocess.run([str(python), "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    installed = dict(re.findall(r"^([^=\s]+)==(\S+)$", listed, re.M))
    moved = {
        _plain(n): v.split("+")[0] for n, v in installed.items() if pins.get(_plain(n)) not in (None, v.split("+")[0])
    }
    for name, version in sorted(moved.items()):
        print(f"  {name}: {pins[name]} is pinned, {version} is the newest that may be")
    if not moved:
        print("Every pin is the newest that may be.")
    failed = _run(str(python), "-m", "pytest", "-q", "-m", "smoke")
    print("The newest releases work." if not failed else "The newest releases break something: see above.")
    return failed


def _resolve(held: dict[str, str]) -> str:
    """Return the lines of a resolution from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, hold = Path(folder) / "wanted.in", Path(folder) / "hold.txt"
        wanted.write_text(_ranges(), encoding="utf-8")
        hold.write_text("".join(f"{name}=={version}\n" for name, version in held.items()), encoding="utf-8")
        command = (
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--python-version",
            "3.11",
            "--no-header",
            "--no-annotate",
        )
        done = subprocess.run(
            [sys.executable, "-m", "uv", *command, "-c", str(hold), str(wanted)],
            stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
    return "".join(line + "\n" for line in done.stdout.splitlines() if not LEFT_OUT.match(line))


def _ranges() -> str:
    """Return the lines of all requirements files without the references between them."""
    lines = [line for name in REQUIREMENTS for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return "".join(line + "\n" for line in lines if line and not line.startswith(("#", "-")))


def _versions(path: Path) -> dict[str, str]:
    """Return name -> version, or all versions where they differ by Python or system."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.M):
        found.setdefault(_plain(name), []).append(version)
    return {name: " / ".join(versions) for name, versions in found.items()}


def _for_this_system() -> str:
    """Return the pins that hold for this Python and system, without markers."""
    from packaging.requirements import Requirement

    lines = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    kept = [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate()]
    return "".join(f"{r.name}{r.specifier}\n" for r in kept)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(*command: str) -> int:
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
