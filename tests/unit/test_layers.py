"""The house rules about who may import whom, kept by reading every import."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ROOT / "studio"

ALLOWED = {
    "domain": {"domain", "errors"},
    "store": {"store", "domain", "errors", "outside"},
    "engines": {"engines", "domain", "errors", "outside", "pins"},
    "jobs": {"jobs", "domain", "store", "errors", "outside", "log"},
    "services": {"services", "domain", "store", "engines", "jobs", "errors", "outside", "pins"},
    "ui": {"ui", "services", "domain", "errors", "outside"},
    "studio": {"services", "domain", "store", "engines", "jobs", "errors", "settings", "log"},
    "factory": {"factory", "engines", "domain", "errors"},
    "cli": {"commands", "cli_output", "errors", "outside"},
    "commands": {
        "commands",
        "studio",
        "services",
        "domain",
        "errors",
        "outside",
        "settings",
        "log",
        "cli_output",
        "factory",
    },
    "compile_loops": {"studio", "services", "engines", "domain"},
    "cli_output": {"domain", "errors"},
    "settings": {"errors", "outside"},
    "outside": {"errors"},
    "pins": set(),
    "errors": set(),
    "log": set(),
    "__init__": set(),
    "__main__": {"cli"},
}
HEAVY = {"torch", "diffusers", "peft", "transformers", "cv2", "onnxruntime", "numba", "gradio"}
ONLY_IN_ENGINES = HEAVY - {"gradio"} | {
    "moviepy",
    "pocketsphinx",
    "dlib",
    "insightface",
    "imageio_ffmpeg",
    "pillow_heif",
}


def modules() -> list[Path]:
    return sorted(STUDIO.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(STUDIO).with_suffix("").parts
    return parts[0]


def imports(path: Path, *, at_import_time: bool = False) -> set[str]:
    """Return full names of imported modules; with `at_import_time` without those inside functions and TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if at_import_time and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if at_import_time and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                found.add(child.module or "")
                # `from studio.x import y` may name a module y.
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_imports_stay_inside_the_allowed_rooms(path: Path) -> None:
    here = room(path)
    assert here in ALLOWED, f"studio/{here} is not in the table of rooms"
    for name in imports(path):
        if name.startswith("studio."):
            target = name.split(".")[1]
            if (STUDIO / target).exists() or (STUDIO / f"{target}.py").exists():
                assert target in ALLOWED[here] | {here}, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_heavy_libraries_stay_in_their_room(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    here = room(path)
    if here not in {"engines", "factory"}:
        assert not tops & ONLY_IN_ENGINES
    if here != "ui":
        assert "gradio" not in tops
    if here in {"domain"}:
        assert tops <= {*sys.stdlib_module_names, "numpy", "pydantic", "studio"}


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_services_see_engines_through_their_door(path: Path) -> None:
    """The table, the Protocols, and files of pictures and sounds; what stands behind a row is the engine's own."""
    if room(path) not in {"services", "jobs", "ui"}:
        return
    for name in imports(path):
        if name.startswith("studio.engines."):
            inner = STUDIO / "engines" / name.removeprefix("studio.engines.").split(".")[0]
            behind = inner.exists() or inner.with_suffix(".py").exists()  # else it is a name of the table's module
            door = inner.name in {"base", "base_diffusion", "base_video", "media"} or not behind
            assert door, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_only_the_top_sees_settings(path: Path) -> None:
    if room(path) not in {"settings", "commands", "studio"}:
        assert "studio.settings" not in imports(path)


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_pictures_are_opened_with_a_list_of_formats(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open"):
            assert any(k.arg == "formats" for k in node.keywords), f"{path.relative_to(ROOT)}:{node.lineno}"


OWN_MESSAGES = {"store/rows.py", "jobs/worker.py", "engines/voice/listening.py"}
OWN_MESSAGES |= {"engines/diffusion/training/other_process.py", "engines/diffusion/adapters/files.py"}
"""They read only what the studio itself wrote a moment ago."""


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(STUDIO).as_posix())
def test_what_comes_from_outside_is_decoded_in_one_place(path: Path) -> None:
    if path.name == "outside.py" or path.relative_to(STUDIO).as_posix() in OWN_MESSAGES or room(path) == "factory":
        return
    calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)}
    readers = {"json.loads", "json.load", "tomllib.loads", "tomllib.load", "zipfile.ZipFile", "zlib.decompress"}
    allowed = (
        {"zipfile.ZipFile"}
        if path.name in ("stills.py", "model_meshes.py", "performance_zip.py", "archive.py")
        else set()
    )  # they write one
    assert not calls & readers - allowed, f"{path.relative_to(ROOT)}: see studio/outside.py"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports in functions and for types count too: a late import hides a circle, it does not break it."""
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in modules()}
    needs = {name: {n for n in imports(path) if n in names and n != name} for name, path in names.items()}
    # A package named on the way to its module is no need of its own.
    needs = {name: {n for n in found if not any(o.startswith(f"{n}.") for o in found)} for name, found in needs.items()}
    order = TopologicalSorter(needs)
    try:
        order.prepare()
    except CycleError as exc:
        raise AssertionError(" -> ".join(exc.args[1])) from None


def test_no_catch_all_modules() -> None:
    banned = {"utils", "helper", "helpers", "manager", "common", "misc"}
    assert not [p for p in modules() if p.stem in banned or banned & set(p.relative_to(STUDIO).parts[:-1])]


def test_the_checker_sees_imports_in_functions_too(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("import os\ndef f():\n    import cv2\n    from studio.store import media\n")
    assert {"os", "cv2", "studio.store", "studio.store.media"} <= imports(source)
    assert imports(source, at_import_time=True) == {"os"}


@pytest.mark.parametrize("module", ["studio.studio", "studio.cli", "studio.jobs.worker"])
def test_opening_a_studio_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({[*sorted(HEAVY), 'studio.factory']!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_an_open_studio_has_loaded_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom studio.studio import Studio\n"
        f"with Studio(Path({str(tmp_path / 'data')!r})) as s:\n"
        "    me = s.for_owner()\n    me.library.page(); me.presets.list(); me.identities.list()\n"
        f"print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_app_is_short() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) <= 26
