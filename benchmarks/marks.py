"""What signing costs: bytes and milliseconds for each kind of file that leaves, and what reading back costs.

    python -m studio bench marks

Files of the studio's own sizes are signed and read 30 times each, with a photo as ingredient; medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from studio.domain.provenance import Statement  # noqa: E402
from studio.engines.media.clip import ClipWriter  # noqa: E402
from studio.engines.media.credentials import read_credentials, sha256_of, sign_file  # noqa: E402
from studio.engines.media.signing_key import SigningKey, last_certificate, signing_key, utc_now  # noqa: E402
from studio.engines.media.writer import ClipSpec  # noqa: E402
from studio.services.sample import sample_portrait  # noqa: E402

TIMES = 30
GOALS = {"PNG 512, sign": 15.0}


def measured(work: Callable[[], object], times: int = TIMES) -> float:
    """Return the median of so many runs, in milliseconds."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(spent), 2)


def files(folder: Path) -> dict[str, Path]:
    """Write one file of each kind, made of the sample portrait."""
    from PIL import Image

    with Image.open(sample_portrait(), formats=["JPEG", "PNG"]) as opened:
        portrait = opened.convert("RGB")
    made = {}
    for side in (512, 1024):
        for kind in ("png", "jpg"):
            made[f"{kind.upper()} {side}"] = path = folder / f"{side}.{kind}"
            portrait.resize((side, side)).save(path)
    frame = np.asarray(portrait.resize((512, 512)))
    made["MP4 512, 10 s"] = path = folder / "clip.mp4"
    rng = np.random.default_rng(1)
    with ClipWriter(ClipSpec(path, (512, 512), 25.0)) as writer:
        for _ in range(250):
            writer.write(np.clip(frame.astype(np.int16) + rng.integers(-3, 4, frame.shape), 0, 255).astype(np.uint8))
    return made


def row_of(path: Path, out: Path, key: SigningKey) -> dict[str, float]:
    """Return the figures of one file."""
    statement = Statement(source_type="composite", kind="image", content_sha256=sha256_of(path))
    inputs, anchor = {"portrait": sample_portrait()}, last_certificate(key.chain_pem)
    sign_ms = measured(lambda: sign_file(path, out, statement, key, inputs))
    read_ms = measured(lambda: read_credentials(out, anchor))
    size = path.stat().st_size
    return {"bytes": size, "sign_ms": sign_ms, "more_bytes": out.stat().st_size - size, "read_ms": read_ms}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--json", action="store_true")
    as_json = arguments.parse_args().json
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        start = time.perf_counter()
        key = signing_key(folder / "keys", utc_now())
        key_ms = round((time.perf_counter() - start) * 1000, 1)
        rows = {name: row_of(path, folder / f"signed{path.suffix}", key) for name, path in files(folder).items()}
    if as_json:
        print(json.dumps({"machine": platform.machine(), "key_ms": key_ms, "files": rows, "goals_ms": GOALS}))
        return
    print(f"key and certificates, once: {key_ms} ms")
    print(f"{'file':16}{'bytes':>12}{'sign, ms':>10}{'more bytes':>12}{'read, ms':>10}")
    for name, row in rows.items():
        print(f"{name:16}{row['bytes']:>12,}{row['sign_ms']:>10}{row['more_bytes']:>12,}{row['read_ms']:>10}")


if __name__ == "__main__":
    main()
