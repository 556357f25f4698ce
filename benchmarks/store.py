"""How fast the gallery pages through 100,000 renders, and how fast bytes and jobs are kept.

The store is filled through its own methods. Every figure is the median of
repeated calls in a warm process; "first" and "deep" are pages at both ends, the
others are filters of a gallery, also those that fit badly together.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from studio.domain.render import NewRender
from studio.store import Store

OWNER = "local"
LIMIT_MILLISECONDS = 50.0
_WORDS = ("morning", "portrait", "studio", "laughing", "speech", "window", "quiet", "evening")


def fill(store: Store, renders: int) -> dict[str, str]:
    """Add `renders` renders of 5 projects and 50 people; return an id of each sort to filter by."""
    projects = [store.of(OWNER).projects.add(f"Project {i}").id for i in range(5)]
    people = [store.of(OWNER).identities.add(f"Person {i}").id for i in range(50)]
    media = [store.of(OWNER).media.put(b"picture %d" % i, ".png") for i in range(20)]
    recipe = {"request": {"values": {f"control {i}": i / 100 for i in range(60)}, "transcript": "words " * 80}}
    for begin in range(0, renders, 2000):
        with store.database.transaction():
            for i in range(begin, min(begin + 2000, renders)):
                render = store.of(OWNER).renders.add(
                    NewRender(
                        kind="clip" if i % 3 else "image", media_sha256=media[i % 20],
                        thumbnail_sha256=media[(i + 1) % 20], recipe=recipe | {"seed": i}, engine="rig",
                        engine_version="1.0", inputs={"portrait": media[i % 7]}, project_id=projects[i % 5],
                        identity_id=people[i % 50], title=f"{_WORDS[i % 8]} {i}",
                        search_text=f"take {_WORDS[i * 3 % 8]} {_WORDS[i * 5 % 8]}{'' if i % 5000 else ' rare'}",
                        width=512, height=512, duration_seconds=10.0,
                    ),
                )  # fmt: skip
                if i % 97 == 0:
                    store.of(OWNER).renders.star(render.id)
    return {"project": projects[2], "identity": people[10], "other_identity": people[11]}


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of one call."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return round(median(times) * 1000, 2)


def run(renders: int = 100_000, repeats: int = 15) -> dict[str, Any]:
    """Measure pages of 24, keeping media, and the queue.

    Returns:
        Medians in milliseconds, with the machine and whether every page meets LIMIT_MILLISECONDS.
    """
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        begin = time.perf_counter()
        ids = fill(store, renders)
        filling = time.perf_counter() - begin
        page = store.of(OWNER).renders.page
        filters: dict[str, dict[str, Any]] = {
            "first": {},
            "deep": {"after": str(max(renders // 20, 30))},
            "project": {"project_id": ids["project"]},
            "identity": {"identity_id": ids["identity"]},
            "kind": {"kind": "image"},
            "starred": {"starred": True},
            "not starred": {"starred": False},
            "project and kind": {"project_id": ids["project"], "kind": "clip"},
            "project, kind and starred": {"project_id": ids["project"], "kind": "clip", "starred": True},
            "project of another identity": {"project_id": ids["project"], "identity_id": ids["other_identity"]},
            "text, common word": {"text": "morning"},
            "text, word of every render": {"text": "take"},
            "text, word of every render, and identity": {"text": "take", "identity_id": ids["identity"]},
            "text, rare word": {"text": "rare"},
            "text, beginning of a word": {"text": "mor"},
            "text and identity": {"text": "evening", "identity_id": ids["identity"]},
            "text found nowhere": {"text": "zebra"},
        }
        pages = {
            name: {"milliseconds": milliseconds(lambda f=f: page(**f), repeats), "total": page(**f).total}
            for name, f in filters.items()
        }
        data = os.urandom(1 << 20)
        counter = iter(range(1 << 30))
        job = store.of(OWNER).jobs.add("bench", {})
        sha256 = store.of(OWNER).media.put(b"x")
        new = NewRender(kind="image", media_sha256=sha256, recipe={}, engine="rig", engine_version="1")
        others = {
            "keep 1 MiB": milliseconds(lambda: store.of(OWNER).media.put(data + b"%d" % next(counter)), repeats),
            "add a render": milliseconds(lambda: store.of(OWNER).renders.add(new), repeats),
            "read a job": milliseconds(lambda: store.of(OWNER).jobs.get(job.id), repeats),
            "plan the deletion of a person": milliseconds(
                lambda: store.of(OWNER).identities.plan_deletion(ids["identity"]), 3
            ),
        }
        size = (store.data_dir / "studio.db").stat().st_size
    worst = max(p["milliseconds"] for p in pages.values())
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "renders": renders,
        "filling_seconds": round(filling, 1),
        "database_megabytes": round(size / 1e6, 1),
        "pages_of_24": pages,
        "milliseconds": others,
        "worst_page_milliseconds": worst,
        "limit_milliseconds": LIMIT_MILLISECONDS,
        "within_limit": worst <= LIMIT_MILLISECONDS,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
