"""Make .venv in the clone and install requirements.txt into it, in the versions of constraints.txt.

Runs with the standard library of any Python from 3.11, on every system. On
Linux OpenCV needs two system libraries that bare servers lack; where this
script may install them it does, else it says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"


def main() -> int:
    """Install; return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the person may run it with an older one
        print(f"Likeness Studio needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(VENV, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-r", "requirements.txt"], check=True, cwd=ROOT)
    code = _system_libraries(python)
    if code == 0:
        _compile_loops(python)
    return code


def _compile_loops(python: Path) -> None:
    """Compile the inner loops, which else happens at their first use: better now than in the first clip."""
    if subprocess.run([str(python), "-m", "studio.compile_loops"], cwd=ROOT, check=False).returncode:
        print(
            "The inner loops could not be compiled now (see above): the first picture will wait for it or fail; "
            f"run `{python} -m studio doctor`, which says what is missing.",
            file=sys.stderr,
        )


def _system_libraries(python: Path) -> int:
    """Make sure that OpenCV can be loaded; return the exit code."""
    probe = [str(python), "-c", "import cv2"]
    found = subprocess.run(probe, capture_output=True, text=True)
    if found.returncode == 0:
        return 0
    packages = (ROOT / "packages.txt").read_text(encoding="utf-8").split()
    if sys.platform == "linux" and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], check=True)
        found = subprocess.run(probe, capture_output=True, text=True)
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1]
        print(f"OpenCV cannot be loaded: {reason}", file=sys.stderr)
        print(f"On Debian and Ubuntu: sudo apt-get install {' '.join(packages)}", file=sys.stderr)
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
