"""Which versions of the libraries the studio was tried with, and which are installed.

requirements.txt says which releases each library may have; constraints.txt
names the one of every library, also of those that others pull in, with which
the tests passed. Both stand beside the studio; a copy without them says so.
Nothing is imported to find out: the answer is what pip wrote down, so that a
library which breaks at its import can still be named.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"


@dataclass(frozen=True)
class Library:
    """One library as it is installed, beside what was tried.

    Attributes:
        name: as pip writes it.
        installed: its version, None where it is not installed.
        tried: the version that the tests passed with, None where constraints.txt has none for this system.
        allowed: whether requirements.txt lets the installed version in; True for what it does not name.
    """

    name: str
    installed: str | None
    tried: str | None
    allowed: bool

    @property
    def as_tried(self) -> bool:
        """Whether the installed version is the tried one (a build such as "+cpu" does not count)."""
        if self.installed is None or self.tried is None:
            return self.installed is None
        return _public(self.installed) == _public(self.tried)


def requirements(path: Path = REQUIREMENTS) -> tuple[Requirement, ...]:
    """Return the lines of a requirements file that hold for this Python and system; empty where the file is not there.

    Raises:
        packaging.requirements.InvalidRequirement: the file is damaged.
    """
    if not path.exists():
        return ()
    lines = (line.split(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = (Requirement(line) for line in lines if line and not line.startswith(("#", "-")))
    return tuple(r for r in found if r.marker is None or r.marker.evaluate())


def libraries(requirements_file: Path = REQUIREMENTS, constraints_file: Path = CONSTRAINTS) -> tuple[Library, ...]:
    """Return what requirements.txt names, in its order, as installed here."""
    tried = _tried(constraints_file)
    return tuple(_library(r, tried) for r in requirements(requirements_file))


def others(requirements_file: Path = REQUIREMENTS, constraints_file: Path = CONSTRAINTS) -> tuple[Library, ...]:
    """Return what is installed of the libraries that only the others pull in, by name."""
    named = {canonicalize_name(r.name) for r in requirements(requirements_file)}
    tried = _tried(constraints_file)
    found = (Library(name, _installed(name), version, True) for name, version in sorted(tried.items()))
    return tuple(one for one in found if one.installed is not None and canonicalize_name(one.name) not in named)


@cache
def refused(names: tuple[str, ...]) -> tuple[Library, ...]:
    """Return which of these libraries are installed in a release that requirements.txt does not let in.

    Kept for the life of the process: what is imported does not change under it.
    """
    wanted = {canonicalize_name(name) for name in names}
    # Only these are looked up: asking for every library's version takes a fifth of a second, at every start.
    asked = [r for r in _readable() if canonicalize_name(r.name) in wanted]
    found = [r for r in asked if not _library(r, {}).allowed]
    tried = _tried(CONSTRAINTS) if found else {}
    return tuple(_library(r, tried) for r in found)


def sentence(found: Collection[Library]) -> str:
    """Return what is installed and what was tried, e.g. "peft 0.30 is installed, 0.21.2 was tried"."""
    return "; ".join(f"{one.name} {one.installed} is installed, {one.tried or 'another'} was tried" for one in found)


def mending() -> str:
    """Return the command that installs the tried versions."""
    python = Path(sys.executable)
    try:
        shown = python.relative_to(ROOT).as_posix()
    except ValueError:
        shown = python.as_posix()
    return f"{shown} -m pip install -r requirements.txt"


def _readable() -> tuple[Requirement, ...]:
    try:
        return requirements(REQUIREMENTS)
    except InvalidRequirement:  # a damaged file refuses nothing; the doctor names it
        return ()


def _library(requirement: Requirement, tried: Mapping[str, str]) -> Library:
    installed = _installed(requirement.name)
    allowed = installed is None or requirement.specifier.contains(_public(installed), prereleases=True)
    return Library(requirement.name, installed, tried.get(canonicalize_name(requirement.name)), allowed)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tried(path: Path) -> dict[str, str]:
    """Return canonical name -> version of a constraints file, of the lines that hold here."""
    pins: dict[str, str] = {}
    for line in requirements(path):
        versions = [s.version for s in line.specifier if s.operator == "=="]
        if versions:
            pins[canonicalize_name(line.name)] = versions[0]
    return pins


def _public(version: str) -> str:
    try:
        return Version(version).public
    except InvalidVersion:
        return version
