"""What every row of ENGINES promises: its class satisfies the Protocol of its role, and its needs are told."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from pathlib import Path

import pytest

from studio import engines
from studio.domain import adapter, base_model, training
from studio.engines import ENGINES, PROTOCOLS, EngineEntry, Engines, base, load
from studio.engines.base import Portrait
from studio.errors import EngineUnavailableError

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
ALWAYS = {"numpy", "pydantic", "PIL", "psutil"}
"""Without these there is no studio at all."""
BROUGHT = {"huggingface_hub": "transformers", "tokenizers": "transformers", "llvmlite": "numba"}
"""Libraries that another one requires."""
OPTIONAL = {
    "vision": {"dlib", "torch", "safetensors"},
    "landmarks": {"dlib", "torch", "safetensors"},
    "rig-dubbing": {"dlib", "torch", "safetensors"},
    "base-files": {"tokenizers"},
}
"""Libraries that an engine does much without; it says itself what is missing."""

each = pytest.mark.parametrize("entry", ENGINES, ids=lambda entry: entry.name)


def class_of(entry: EngineEntry) -> type:
    module, _, name = entry.factory.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def hints(function: typing.Callable[..., object]) -> dict[str, object]:
    """Return a function's types; the Protocols name some that they import for type checkers alone."""
    named = {**vars(adapter), **vars(base_model), **vars(training)}
    return typing.get_type_hints(function, localns={n: v for n, v in named.items() if isinstance(v, type)})


def members(protocol: type) -> set[str]:
    own = {name for name in vars(protocol) if not name.startswith("_")}
    return own | set(protocol.__annotations__)


def assert_satisfies(kind: type, protocol: type) -> None:
    """Check names, parameters, defaults and results of everything a Protocol asks for."""
    assert inspect.isclass(protocol)
    for name in members(protocol):
        wanted = inspect.getattr_static(protocol, name, None)
        if not inspect.isfunction(wanted):  # a value or a property; values may be set when an object is made
            given = hasattr(kind, name) or re.search(rf"self\.{name}(: [^=]+)? =", source(kind))
            assert given, f"{kind.__name__} has no {name}"
            continue
        assert callable(getattr(kind, name, None)), f"{kind.__name__} cannot {name}"
        assert_alike(getattr(kind, name), wanted)


def source(kind: type) -> str:
    return "".join(inspect.getsource(k) for k in kind.__mro__ if k.__module__.startswith("studio."))


def parameters(function: typing.Callable) -> dict[str, inspect.Parameter]:
    """Return what a caller gives; an engine may also lend a plain function as a method."""
    return {name: p for name, p in inspect.signature(function).parameters.items() if name != "self"}


def assert_alike(method: typing.Callable, wanted: typing.Callable) -> None:
    """Check that whoever calls as the Protocol says is understood, and gets what it says."""
    ours, theirs = parameters(method), parameters(wanted)
    where = method.__qualname__
    assert list(ours)[: len(theirs)] == list(theirs), where
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind, f"{where}({name})"
        assert ours[name].default == parameter.default, f"{where}({name})"
    for name in list(ours)[len(theirs) :]:
        assert ours[name].default is not inspect.Parameter.empty, f"{where}({name}) must not be asked for"
    mine, asked = hints(method), hints(wanted)
    for name in theirs:
        assert mine[name] == asked[name], f"{where}({name})"
    result = asked["return"]
    if getattr(result, "_is_protocol", False) and mine["return"] is not result:
        assert_satisfies(mine["return"], result)
    else:
        assert mine["return"] == result, where


@each
def test_an_engine_satisfies_the_protocol_of_its_role(entry: EngineEntry) -> None:
    assert_satisfies(class_of(entry), PROTOCOLS[entry.role])


def test_the_check_of_protocols_sees_what_is_wrong() -> None:
    """The check is code too: each kind of fault must be found."""

    class Wanted(typing.Protocol):
        name: str

        def draw(self, count: int, *, seed: int = 0) -> Portrait: ...

    def made(body: str) -> type:
        space: dict[str, typing.Any] = {"Portrait": Portrait, "__name__": "studio.made"}
        exec(body, space)
        return space["Made"]

    good = (
        "class Made:\n    name = 'x'\n    def draw(self, count: int, *, seed: int = 0, more: int = 1) -> Portrait: ..."
    )
    assert_satisfies(made(good), Wanted)
    faults = [
        ("def draw", "def paint"), ("count: int,", "number: int,"), ("seed: int = 0", "seed: int = 1"),
        ("more: int = 1", "more: int"), ("count: int,", "count: str,"), ("-> Portrait", "-> int"), ("*, ", ""),
    ]  # fmt: skip
    for old, new in faults:
        assert old in good
        with pytest.raises((AssertionError, AttributeError)):
            assert_satisfies(made(good.replace(old, new)), Wanted)


@pytest.mark.parametrize("protocol", [*PROTOCOLS.values(), Portrait], ids=lambda p: p.__name__)
def test_protocols_speak_of_domain_values_only(protocol: type) -> None:
    allowed = ("studio.domain.", "studio.engines.base", "builtins", "typing", "collections.abc", "pathlib", "numpy")

    def types(hint: typing.Any) -> typing.Iterator[typing.Any]:
        arguments = typing.get_args(hint)
        yield from (t for a in arguments for t in (types(a) if not isinstance(a, list) else (a,)))
        if not arguments:
            yield hint

    for name in members(protocol):
        wanted = inspect.getattr_static(protocol, name, None)
        if inspect.isfunction(wanted):
            for part in (t for hint in hints(wanted).values() for t in types(hint)):
                module = getattr(part, "__module__", "builtins")
                assert module.startswith(allowed), f"{protocol.__name__}.{name}: {part}"


def test_every_protocol_of_an_engine_has_an_engine() -> None:
    assert {entry.role for entry in ENGINES} == set(PROTOCOLS) == set(typing.get_args(engines.Role))


def test_names_and_words_are_complete() -> None:
    assert len({e.name for e in ENGINES}) == len({e.title for e in ENGINES}) == len(ENGINES)
    for entry in ENGINES:
        assert entry.title[0].isupper()
        assert entry.does.endswith(".")
        assert len(entry.licence) > 5
        for asset in entry.assets:
            assert (ASSETS / asset).exists(), entry.name
        for package in entry.needs.values():
            known = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
            told = f"pip install {package}" in (ROOT / "README.md").read_text(encoding="utf-8")
            assert told or any(line.startswith(f"{package}>=") for line in known), package


def imported_by(module: str) -> set[str]:
    """Return the foreign libraries that a module of the studio imports, itself or through others, also late."""
    seen: set[str] = set()
    foreign: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        spec = importlib.util.find_spec(name) if name.startswith("studio.") else None
        if name in seen or spec is None or spec.origin is None:
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            waiting += [n for n in names if n.startswith("studio.") and is_module(n)]
            foreign |= {n.partition(".")[0] for n in names} - {"studio"} - sys.stdlib_module_names
    return foreign


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@each
def test_every_library_that_is_imported_is_a_need(entry: EngineEntry) -> None:
    """A library that the table does not name would end as a bug where it is missing."""
    told = ALWAYS | set(entry.needs) | OPTIONAL.get(entry.name, set())
    told |= {name for name, bringer in BROUGHT.items() if bringer in entry.needs}
    assert imported_by(entry.factory.partition(":")[0]) - told == set()


@pytest.mark.parametrize(
    ("entry", "library"), [(e, n) for e in ENGINES for n in e.needs], ids=lambda v: getattr(v, "name", v)
)
def test_a_missing_library_explains_itself(entry: EngineEntry, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == library else real(name, *more))
    package = entry.needs[library]
    assert package in entry.missing(ASSETS)
    with pytest.raises(EngineUnavailableError) as caught:
        load(entry, ASSETS)
    assert (entry.title in caught.value.message, package in caught.value.message) == (True, True)
    assert caught.value.hint.startswith("pip install ")
    assert package in caught.value.hint.split()


@pytest.mark.parametrize("entry", [e for e in ENGINES if e.assets], ids=lambda entry: entry.name)
def test_a_missing_asset_explains_itself(entry: EngineEntry, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        load(entry, tmp_path)
    assert entry.assets[0] in caught.value.message
    assert "assets build" in caught.value.hint


def test_every_engine_can_be_asked_for() -> None:
    """Each row is reached by a method of Engines, and says who it is."""
    made = Engines(ASSETS)
    asked = [member for name, member in inspect.getmembers(made, inspect.ismethod) if not name.startswith("_")]
    results = {typing.get_type_hints(ask).get("return") for ask in asked}
    assert results >= set(PROTOCOLS.values())
    for entry in ENGINES:
        kind = class_of(entry)
        if "name" in members(PROTOCOLS[entry.role]):
            assert isinstance(kind.name, str)
            assert kind.name
    assert issubclass(base.Portrait, typing.Protocol)  # type: ignore[arg-type]
