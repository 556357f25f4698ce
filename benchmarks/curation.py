"""Curation measured: photos per second, and how right it is about rendered people.

    python -m benchmarks.curation

Speed: whole analysis (decode, faces, embedding, matte, measures, rows) of 1024 px
photos in one process. Accuracy: heaps of rendered people with known identity,
copies and labels. Recognition networks were made for photographs; on renders,
whose people differ less to them, more faces end as questions than on photos.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HEAPS, PHOTOS_OF_ONE, STRANGERS, COPIES = 4, 8, 4, 3
SPEED_PHOTOS = 12


def run() -> dict[str, Any]:
    """Return the figures."""
    return {"speed": speed(), "sorting": sorting(), "traits": traits()}


def speed() -> dict[str, Any]:
    """Measure photos per second on copies of the sample portrait, each with other bytes."""
    from PIL import Image

    from studio.services.projects import sample_portrait
    from studio.studio import Studio

    with tempfile.TemporaryDirectory() as folder, Studio(Path(folder) / "data") as studio:
        portrait = Image.open(sample_portrait()).convert("RGB").resize((1024, 1024))
        drop = Path(folder) / "drop"
        drop.mkdir()
        for number in range(SPEED_PHOTOS + 1):
            portrait.rotate(number / 4).save(drop / f"{number:02d}.jpg", quality=90)
        warm = studio.curation.start(drop / "00.jpg")
        studio.curation.analyse(warm.id)  # opens the models
        intake = studio.curation.start(sorted(drop.glob("*.jpg"))[1:])
        wall, busy = time.perf_counter(), time.process_time()
        studio.curation.analyse(intake.id)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        again = time.perf_counter()
        studio.curation.analyse(intake.id)
        again = time.perf_counter() - again
        began = time.perf_counter()
        studio.curation.review(intake.id)
        review_seconds = time.perf_counter() - began
    return {
        "photos": SPEED_PHOTOS,
        "photos_per_second": round(SPEED_PHOTOS / wall, 2),
        "photos_per_processor_second": round(SPEED_PHOTOS / busy, 2),
        "seconds_when_analysed_already": round(again, 3),
        "review_seconds": round(review_seconds, 3),
    }


def sorting() -> dict[str, Any]:
    """Count right and wrong verdicts in heaps of one person with copies and strangers."""
    from PIL import Image, ImageFilter

    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture
    from studio.studio import Studio

    total = {"own": 0, "own_kept": 0, "own_unsure": 0, "strangers": 0, "strangers_kept": 0, "strangers_unsure": 0}
    copies = found_copies = wrong_pairs = questions = after = 0
    for number in range(HEAPS):
        rng = np.random.default_rng((5, number))
        with tempfile.TemporaryDirectory() as folder, Studio(Path(folder) / "data") as studio:
            drop = Path(folder) / "drop"
            drop.mkdir()
            one = sample_person(rng)
            for i in range(PHOTOS_OF_ONE):
                Image.fromarray(render(sample_picture(rng, one), 384)[0]).save(drop / f"own{i}.png")
            for i in range(STRANGERS):
                Image.fromarray(render(sample_picture(rng), 384)[0]).save(drop / f"stranger{i}.png")
            for i in range(COPIES):
                copy = Image.open(drop / f"own{i}.png").resize((320 - 30 * i, 320 - 30 * i))
                copy.filter(ImageFilter.GaussianBlur(0.4 * i)).save(drop / f"copy{i}.jpg", quality=85 - 15 * i)
            intake = studio.curation.analyse(studio.curation.start(drop).id)
            names = {p.id: p.file_name for p in intake.photos}
            review = studio.curation.review(intake.id)
            groups = [{names[i].rpartition(".")[0] for i in group} for group in review.groups]
            copies += COPIES
            found_copies += sum({f"own{i}", f"copy{i}"} in groups for i in range(COPIES))
            wrong_pairs += sum(len({(n.startswith("stranger"), n[-1]) for n in g}) > 1 for g in groups)
            copied = {i for g in review.groups for i in g if names[i].startswith("copy")}
            for verdict in review.verdicts:
                name = names[verdict.photo_id]
                kind = "strangers" if name.startswith("stranger") else "own"
                if verdict.photo_id in copied or name.startswith("copy") or "which is better" in verdict.reason:
                    continue
                total[kind] += 1
                if verdict.state != "drop":
                    total[f"{kind}_{'kept' if verdict.state == 'keep' else 'unsure'}"] += 1
            asked = 0
            while (asks := studio.curation.review(intake.id).questions) and asked < 12:
                first, second = (names.get(k.partition(":")[0], "") for k in (asks[0].first, asks[0].second))
                same = not (first.startswith("stranger") or second.startswith("stranger"))
                studio.curation.answer(intake.id, asks[0].first, asks[0].second, same)
                asked += 1
            questions += asked
            after += sum(v.state == "unsure" for v in studio.curation.review(intake.id).verdicts)
    return {
        **total, "copies": copies, "copies_found": found_copies, "wrong_groups": wrong_pairs,
        "questions_per_heap": questions / HEAPS, "unsure_after_answers": after,
    }  # fmt: skip


def traits(people: int = 12, pictures: int = 6) -> dict[str, Any]:
    """Compare the words of captions with the labels of renders; where no word is said, nothing is wrong."""
    from studio.domain.traits import rest_of, traits_of
    from studio.engines import Engines
    from studio.engines.vision.appearance import measure
    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture
    from studio.studio import ASSETS

    faces = Engines(ASSETS).faces()
    rng = np.random.default_rng(21)
    names = ("direction", "light", "background", "glasses", "expression")
    right, said = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for _ in range(people):
        person, seen = sample_person(rng), []
        for picture in (sample_picture(rng, person) for _ in range(pictures)):
            image, _ = render(picture, 384)
            if found := faces.detect(image):
                seen.append((picture.labels, measure(image, found[0], faces.matte(image)), found[0].head))
        rest = rest_of([(measures, head) for _, measures, head in seen])
        for labels, measures, head in seen:
            words = traits_of(measures, head, rest)
            for name in names:
                if name in words and not (name == "expression" and labels[name] == "angry"):  # anger has no word here
                    said[name] += 1
                    right[name] += words[name] == labels[name]
    return {n: f"{right[n]} of {said[n]} right ({people} people, {pictures} pictures of each)" for n in names}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
