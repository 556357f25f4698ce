"""What the benchmark of new processes measures."""

from __future__ import annotations

import sys
import wave

import pytest

from benchmarks import start
from studio.errors import EngineError

BUSY = "import time\nend = time.process_time() + .3\nwhile time.process_time() < end: pass\nprint('done')"


def test_the_measured_speech_is_as_long_as_said(tmp_path):
    with wave.open(str(start._spoken(tmp_path / "speech.wav"))) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(start.SPOKEN_SECONDS, abs=0.001)


@pytest.mark.parametrize("by", ["itself", "a child"])
def test_seconds_of_the_processor_are_those_of_a_command_and_its_children(by):
    child = f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {BUSY!r}], text=True))"
    spent = start._command([sys.executable, "-c", BUSY if by == "itself" else child])
    assert 0.25 < spent.processor < spent.clock + 0.1
    assert spent.said.strip() == "done"


def test_a_command_that_fails_is_no_figure():
    with pytest.raises(EngineError, match="no such thing"):
        start._command([sys.executable, "-c", "raise SystemExit('no such thing')"])
