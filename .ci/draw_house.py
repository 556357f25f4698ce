"""Draw the house from its code: python .ci/draw_house.py writes docs/pictures/house.svg.

Each box is a room (a folder or file right below studio/), with the rooms inside
it and the first sentence of its docstring; an arrow says that one imports
another, read from every import statement. Arrows that follow from others are left out.
Floors are computed: a room stands above all that it imports. A test compares
the picture with the code, so that it cannot grow old.
"""

from __future__ import annotations

import ast
import textwrap
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUDIO = ROOT / "studio"
PICTURE = ROOT / "docs" / "pictures" / "house.svg"
LEFT_OUT = {"compile_loops", "errors", "log", "outside", "pins", "settings", "cli_output", "__init__", "__main__"}
"""Nearly everybody's: their arrows would hide the others."""

WIDTH, FLOOR, GAP, BOX = 1080, 128, 18, 88


def rooms() -> dict[str, list[str]]:
    """Return room -> the rooms inside it."""
    found: dict[str, list[str]] = {}
    for path in sorted(STUDIO.iterdir()):
        name = path.stem
        if name in LEFT_OUT or name.startswith("__") or (path.is_file() and path.suffix != ".py"):
            continue
        inner = [p for p in sorted(path.iterdir()) if p.is_dir() and list(p.glob("*.py"))] if path.is_dir() else []
        deeper = {p.name: [q.name for q in sorted(p.iterdir()) if q.is_dir() and list(q.glob("*.py"))] for p in inner}
        found[name] = [f"{n} ({', '.join(d)})" if d else n for n, d in deeper.items()]
    return found


def arrows(names: set[str]) -> set[tuple[str, str]]:
    """Return who imports whom among the rooms; a module named as "module:Class" text is no import."""
    found = set()
    for path in STUDIO.rglob("*.py"):
        here = path.relative_to(STUDIO).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "studio":
                modules = [f"studio.{a.name}" for a in node.names]
            for module in modules:
                parts = module.split(".")
                if parts[0] == "studio" and len(parts) > 1 and parts[1] in names and here in names and parts[1] != here:
                    found.add((here, parts[1]))
    return found


def straight(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that do not follow from others."""

    def reaches(a: str, b: str) -> bool:
        return any(x == a and (y == b or reaches(y, b)) for x, y in edges)

    return {(a, b) for a, b in edges if not any(x == a and y != b and reaches(y, b) for x, y in edges)}


def sentence(name: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = STUDIO / name / "__init__.py" if (STUDIO / name).is_dir() else STUDIO / f"{name}.py"
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


def floors(names: set[str], edges: set[tuple[str, str]]) -> dict[str, int]:
    """Return the floor of each room: one above the highest that it imports."""
    below = {name: {b for a, b in edges if a == name} for name in names}
    level: dict[str, int] = {}
    for name in TopologicalSorter(below).static_order():
        level[name] = 1 + max((level[b] for b in below[name]), default=-1)
    return level


def draw() -> str:
    """Return the picture as SVG text."""
    inside = rooms()
    edges = straight(arrows(set(inside)))
    level = floors(set(inside), edges)
    top = max(level.values())
    place: dict[str, tuple[float, float, float]] = {}
    for floor in range(top + 1):
        names = sorted(n for n in inside if level[n] == floor)
        width = (WIDTH - GAP * (len(names) + 1)) / len(names)
        for i, name in enumerate(names):
            place[name] = (GAP + i * (width + GAP), GAP + (top - floor) * FLOOR, width)
    height = GAP * 2 + top * FLOOR + BOX
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a869a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for a, b in sorted(edges):
        (ax, ay, aw), (bx, by, bw) = place[a], place[b]
        x1, x2 = ax + aw / 2 + (bx - ax) * 0.08, bx + bw / 2 + (ax - bx) * 0.08
        out.append(
            f'<path d="M{x1:.0f} {ay + BOX} C{x1:.0f} {ay + BOX + 40} {x2:.0f} {by - 40} {x2:.0f} {by - 2}" '
            'fill="none" stroke="#7a869a" stroke-width="1.3" opacity=".75" marker-end="url(#tip)"/>'
        )
    for name, (x, y, width) in sorted(place.items()):
        out.append(
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="10" fill="#eef3fb" stroke="#5b7db8"/>'
            f'<text x="{x + 12:.0f}" y="{y + 24}" font-size="16" font-weight="bold" fill="#135">{escape(name)}</text>'
        )
        columns = int((width - 24) / 6.2)
        lines = _wrapped(sentence(name), columns)[:2]
        lines += _wrapped("Rooms: " + ", ".join(inside[name]), columns)[:2] if inside[name] else []
        for i, line in enumerate(lines):
            at = f'x="{x + 12:.0f}" y="{y + 42 + 15 * i}"'
            out.append(f'<text {at} font-size="12" fill="#33475b">{escape(line)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, max(columns, 12))


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
