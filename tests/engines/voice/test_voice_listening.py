"""Recognition in its own process: same answers, errors that arrive, deaths that are told, no orphans."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from studio.engines.base import Sound
from studio.engines.media.sound import read_sound
from studio.engines.voice.listening import ListeningProcess
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.errors import EngineError, UserInputError
from tests.patience import wait_until

SPEECH = Path(__file__).resolve().parents[3] / "assets" / "speech"


@pytest.fixture(scope="module")
def listening():
    return ListeningProcess()


@pytest.fixture(scope="module")
def sound():
    return read_sound(SPEECH / "welcome.wav")


def test_same_answer_as_in_this_process(listening, sound) -> None:
    text = (SPEECH / "welcome.txt").read_text(encoding="utf-8")
    assert listening.analyse(sound, text) == PocketsphinxSpeech().analyse(sound, text)


@pytest.mark.parametrize("transcript", [None, "hello there"])
def test_a_sound_is_heard_alike_whatever_was_heard_before(sound, transcript) -> None:
    """A recogniser that gets used to noise would make another clip of the same sound the second time."""
    short = replace(sound, samples=sound.samples[: int(0.4 * sound.rate_hz)])
    noise = replace(sound, samples=np.random.default_rng(0).normal(0, 0.3, sound.rate_hz).astype(np.float32))
    first = ListeningProcess().analyse(short)
    used = ListeningProcess()
    used.analyse(noise, transcript)
    again = used.analyse(short)
    assert (again.method, again.phones) == (first.method, first.phones)


def test_this_process_goes_on_while_the_child_decodes(listening, sound) -> None:
    """Decoding holds whatever process it runs in: the processor's time must be the child's, not this one's."""
    listening.analyse(Sound(np.zeros(16000, np.float32), 16000))  # the child is up
    child = psutil.Process(listening._child.pid)
    own_before, child_before = time.process_time(), sum(child.cpu_times()[:2])
    listening.analyse(sound)
    own, decoding = time.process_time() - own_before, sum(child.cpu_times()[:2]) - child_before
    assert decoding > 0.2
    assert own < 0.2 * decoding


def test_errors_of_the_child_arrive_as_they_are(listening) -> None:
    with pytest.raises(UserInputError, match="language"):
        listening.analyse(Sound(np.zeros(16000, np.float32), 16000), language="tlh")
    with pytest.raises(UserInputError):
        listening.analyse(Sound(np.zeros(0, np.float32), 16000))


def test_a_dead_child_is_told_and_replaced(sound) -> None:
    listening = ListeningProcess()
    silence = Sound(np.zeros(16000, np.float32), 16000)
    listening.analyse(silence)
    child = psutil.Process(listening._child.pid)
    before = child.cpu_times().user

    def kill_at_work() -> None:
        wait_until(lambda: child.cpu_times().user > before + 0.2)
        child.kill()

    threading.Thread(target=kill_at_work).start()
    long = Sound(np.tile(sound.samples, 20), sound.rate_hz)
    with pytest.raises(EngineError, match="ended unexpectedly"):
        listening.analyse(long)
    assert listening.analyse(silence).method == "energy"


def test_no_child_outlives_a_killed_parent(tmp_path) -> None:
    script = (
        "import numpy as np, time\n"
        "from studio.engines.base import Sound\n"
        "from studio.engines.voice.listening import ListeningProcess\n"
        "l = ListeningProcess(); l.analyse(Sound(np.zeros(16000, np.float32), 16000))\n"
        "print(l._child.pid, flush=True); time.sleep(3600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[3]
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_recogniser_starts_without_heavy_libraries():
    """Half of its start would be imports that it never uses."""
    code = "import sys, studio.engines.voice.listening; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SPEECH.parents[1]
    )
    loaded = set(found.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"pydantic", "scipy", "cv2", "numba", "onnxruntime", "PIL"}
