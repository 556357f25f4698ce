"""Find a Chromium for the browser tests, or install one: `python -m tests.chromium` prints its path.

Debian's own package where apt and root allow, else the build that Playwright
downloads. STUDIO_TEST_CHROMIUM names one and ends the search.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> Path | None:
    """Return the program of a Chromium that is on this machine, or None."""
    named = os.environ.get("STUDIO_TEST_CHROMIUM")
    if named:
        return Path(named)
    for name in NAMES:
        program = shutil.which(name)
        if program:
            return Path(program)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = playwright.chromium.executable_path
    return Path(program) if Path(program).exists() else None


def install() -> None:
    """Install a Chromium.

    Raises:
        subprocess.CalledProcessError: the package manager or the download failed.
    """
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "install", "-q", "-y", "chromium"], check=True, env=environment)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def main() -> int:
    """Find or install; print the path; return the exit code."""
    if find() is None:
        install()
    program = find()
    print(f"Chromium for the browser tests: {program}" if program else "No Chromium could be installed.")
    return 0 if program else 1


if __name__ == "__main__":
    sys.exit(main())
