"""The picture of the house is what the code is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_picture_of_the_house_is_drawn_from_this_code() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / '.ci')!r}); import draw_house; sys.stdout.write(draw_house.draw())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    kept = (ROOT / "docs" / "pictures" / "house.svg").read_text(encoding="utf-8")
    assert done.stdout == kept, "run `python .ci/draw_house.py`"


def test_links_of_the_documents_lead_somewhere() -> None:
    import re

    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
