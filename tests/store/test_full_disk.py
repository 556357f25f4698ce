"""A disk that is really full: a small one of memory, in a namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.store.test_database import ENVIRONMENT

_ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from studio.errors import StoreError
from studio.store import Store

folder = Path(sys.argv[1]) / "data"
if sys.argv[2] == "with a studio on it":
    Store(folder).close()
with (folder.parent / "others").open("wb", buffering=0) as others:
    try:
        while True:
            others.write(bytes(4096))
    except OSError:
        pass
try:
    Store(folder).close()
except StoreError as exc:
    print(exc.message)
"""


def can_mount() -> bool:
    """Say whether this user may have a disk of their own."""
    program = shutil.which("unshare")
    if program is None:
        return False
    order = [program, "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(order, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="nobody may mount a disk here")
@pytest.mark.parametrize("disk", ["new", "with a studio on it"])
def test_a_full_disk_at_the_start_is_said_to_be_full(tmp_path: Path, disk: str) -> None:
    mounted = 'mount -t tmpfs -o size=3m none "$1" && shift && exec "$@"'
    order = ["unshare", "-rm", "sh", "-c", mounted, "sh", str(tmp_path)]
    order += [sys.executable, "-c", _ON_A_SMALL_DISK, str(tmp_path), disk]
    done = subprocess.run(
        order, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=PATIENCE_SECONDS
    )  # fmt: skip
    assert done.stdout == "The disk is full, so nothing was written.\n", done.stderr
