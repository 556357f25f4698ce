"""Nine mouth shapes for drawn characters, as animators have long used them: six basic ones and three more.

A is closed for P, B and M; B shows clenched teeth, for most consonants and EE; C is open, for EH and AE; D is wide
open, for AA; E is a little rounded, for AO and ER; F is puckered, for UW, OW and W; G lays the upper teeth on the
lower lip, for F and V; H raises the tongue behind the teeth, for L; X is at rest. The letters are those of Rhubarb
Lip Sync (MIT) and its readers.
"""

from __future__ import annotations

from dataclasses import dataclass

from studio.domain.speech import SpeechAnalysis

SHAPES = "ABCDEFGHX"
_SHAPE_OF: dict[str, str] = {
    **dict.fromkeys(("P", "B", "M"), "A"),
    **dict.fromkeys(("IY", "IH", "S", "Z", "SH", "ZH", "CH", "JH", "T", "D", "N", "K", "G", "NG", "TH", "DH", "Y",
                     "HH"), "B"),
    **dict.fromkeys(("EH", "AE", "AH", "EY", "AX"), "C"),
    **dict.fromkeys(("AA", "AY", "AW"), "D"),
    **dict.fromkeys(("AO", "ER", "R", "OY"), "E"),
    **dict.fromkeys(("UW", "OW", "W", "UH"), "F"),
    **dict.fromkeys(("F", "V"), "G"),
    "L": "H",
}  # fmt: skip
_SHORTEST_REST = 0.12
"""Silences shorter than this hold the shape before: mouths do not fall shut between words."""


@dataclass(frozen=True)
class MouthCue:
    """One shape; seconds."""

    start: float
    end: float
    shape: str


def mouth_cues(analysis: SpeechAnalysis) -> tuple[MouthCue, ...]:
    """Return the shapes of a sound from its beginning to its end, without gaps; neighbors differ."""
    out: list[MouthCue] = []
    for phone in analysis.phones:
        shape = _SHAPE_OF.get(phone.label, "X")
        # A closure is seen however short what follows is; only rests are passed over.
        if shape == "X" and phone.end - phone.start < _SHORTEST_REST and out:
            shape = out[-1].shape
        if out and out[-1].shape == shape:
            out[-1] = MouthCue(out[-1].start, phone.end, shape)
        else:
            out.append(MouthCue(phone.start, phone.end, shape))
    return tuple(out)
