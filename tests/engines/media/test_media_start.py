"""ffmpeg is found without being run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_finding_ffmpeg_starts_no_program():
    """imageio-ffmpeg's own search runs it once, and moviepy searches again."""
    code = (
        "import subprocess\n"
        "def refuse(*a, **k): raise AssertionError('a program was started')\n"
        "subprocess.Popen.__init__ = refuse\n"
        "from studio.engines.media import ffmpeg\n"
        "print(ffmpeg.binary())\n"
        "import moviepy.config\n"
        "assert moviepy.config.FFMPEG_BINARY == ffmpeg.binary()\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_file()
