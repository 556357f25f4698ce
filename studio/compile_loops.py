"""Compile the inner loops once, by drawing the sample portrait in a few states: `python -m studio.compile_loops`.

numba compiles a loop at its first call and keeps the result in __pycache__
beside the code (in the user's cache folder where that cannot be written, or in
NUMBA_CACHE_DIR). A fresh clone has none: this runs after the install, so that
the first picture does not wait. It may be run again at any time; where all is
compiled it takes two seconds.
"""

from __future__ import annotations

import logging

from studio.domain.expression import INDEX, FaceState
from studio.domain.pose import HeadPose
from studio.engines import Engines
from studio.services.portraits.prepared import Portraits
from studio.services.sample import sample_portrait
from studio.studio import ASSETS


def compile_loops() -> None:
    """Draw the sample portrait at rest, speaking, blinking, looking aside and turned."""
    portrait = Portraits(Engines(ASSETS)).prepare(sample_portrait(), size=256).portrait
    own = portrait.own_weights
    moved = own.copy()
    for name in ("jawOpen", "eyeBlinkLeft", "eyeLookOutRight", "tongueOut", "mouthSmileLeft"):
        moved[INDEX[name]] = 0.5
    portrait.render(FaceState(own))
    state = FaceState(moved, HeadPose(yaw_degrees=5, pitch_degrees=3, roll_degrees=2))
    portrait.render(state, lip_seal=0.5, breath=0.3)
    portrait.render_with_alpha(state)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    compile_loops()
