"""The files that a talking clip and its motion can become: one row each, and all that others know of them.

Window, command line, requests, the library and the README read these tables.
To add a format is to add its row and to write what `writer` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Protocol, TypeVar

from studio.errors import UserInputError

Shown = Literal["video", "picture", "file"]


class Suffixed(Protocol):
    """A row of a table of formats."""

    @property
    def suffix(self) -> str:
        """Of the file, with its dot."""
        ...


Row = TypeVar("Row", bound=Suffixed)


@dataclass(frozen=True, kw_only=True)
class ClipFormat:
    """One kind of clip.

    Attributes:
        name: stored in requests and recipes, never changed.
        title: as a choice shows it.
        words: what is in the file, for the README.
        note: what is particular about it, in few words for the command line; "" where nothing is.
        suffix: of the file, with its dot.
        has_sound: whether the speech is in it.
        has_alpha: whether frames are drawn with a transparent background.
        shown: what a browser shows it as: a video, a picture, or not at all.
        is_resumable: whether an interrupted clip goes on behind its last finished part.
        same_bytes: whether the same frames give the same bytes; if not, a clip made again is compared by its frames.
        writer: "module:Class" of the FrameWriter that writes it.
        reader: "module:function" that opens it for reading frame by frame: (path, alpha=...) -> frames, in a `with`.
    """

    name: str
    title: str
    words: str
    note: str = ""
    suffix: str
    has_sound: bool
    has_alpha: bool = False
    shown: Shown
    is_resumable: bool = False
    same_bytes: bool = True
    writer: str
    reader: str = "studio.engines.media.frames:read_frames"


CLIP_FORMATS: Mapping[str, ClipFormat] = {
    row.name: row
    for row in (
        ClipFormat(
            name="mp4", title="Video with sound (mp4)", words="mp4 (H.264, AAC, faststart)", suffix=".mp4",
            has_sound=True, shown="video", is_resumable=True, writer="studio.engines.media.clip:ClipWriter",
        ),
        ClipFormat(
            name="webm", title="Cut out, with alpha (webm)", words="webm with transparent background (VP9, Opus)",
            note="alpha", suffix=".webm", has_sound=True, has_alpha=True, shown="video",
            same_bytes=False,  # Matroska draws its segment's number at random
            writer="studio.engines.media.clip:AlphaClipWriter",
        ),
        ClipFormat(
            name="gif", title="Animated picture (gif)", words="gif", suffix=".gif", has_sound=False, shown="picture",
            writer="studio.engines.media.stills:GifWriter",
        ),
        ClipFormat(
            name="png", title="Numbered PNG pictures", words="zip of numbered PNGs", note="numbered PNGs",
            suffix=".zip", has_sound=False, shown="file", writer="studio.engines.media.stills:PngSequenceWriter",
            reader="studio.engines.media.stills:read_png_sequence",
        ),
    )
}  # fmt: skip
USUAL_CLIP_FORMAT = "mp4"
"""What is made where nothing else is asked for; every browser plays it."""


@dataclass(frozen=True, kw_only=True)
class CurveFormat:
    """One way in which the motion of a clip is written for other programs.

    Attributes:
        title: as a button shows it.
        words: what is in the file, for the README.
        suffix: of the file, with its dot.
        writer: "module:function" that writes it: (performance, path).
        reader: "module:function" that reads it: (path) -> performance.
    """

    name: str
    title: str
    words: str
    suffix: str
    writer: str
    reader: str


CURVE_FORMATS: Mapping[str, CurveFormat] = {
    row.name: row
    for row in (
        CurveFormat(
            name="csv", title="CSV", words="Live Link Face CSV (52 ARKit weights and head angles)", suffix=".csv",
            writer="studio.engines.media.curves:write_livelink_csv",
            reader="studio.engines.media.curves:read_livelink_csv",
        ),
        CurveFormat(
            name="json", title="JSON", words="JSON", suffix=".json", writer="studio.engines.media.curves:write_json",
            reader="studio.engines.media.curves_audio2face:read_any_json",
        ),
        CurveFormat(
            name="audio2face", title="Audio2Face", words="Audio2Face JSON (weights only)", suffix=".a2f.json",
            writer="studio.engines.media.curves_audio2face:write_audio2face",
            reader="studio.engines.media.curves_audio2face:read_audio2face",
        ),
        CurveFormat(
            name="bvh", title="BVH", words="BVH (head and eyes)", suffix=".bvh",
            writer="studio.engines.media.curves_bvh:write_bvh", reader="studio.engines.media.curves_bvh:read_bvh",
        ),
        CurveFormat(
            name="npz", title="NumPy", words="NumPy archive", suffix=".npz",
            writer="studio.engines.media.curves_npz:write_npz", reader="studio.engines.media.curves_npz:read_npz",
        ),
        CurveFormat(
            name="action-units", title="Action units",
            words="table of FACS action units (0 to 5, as OpenFace writes them)", suffix=".au.csv",
            writer="studio.engines.media.curves_action_units:write_action_units",
            reader="studio.engines.media.curves_action_units:read_action_units",
        ),
    )
}  # fmt: skip


def clip_format(name: str) -> ClipFormat:
    """Return the row of that name.

    Raises:
        UserInputError: there is none.
    """
    if name not in CLIP_FORMATS:
        raise UserInputError(f"There is no clip format {name!r}.", f"Use one of {', '.join(CLIP_FORMATS)}.")
    return CLIP_FORMATS[name]


def clip_format_of(file_name: PurePath) -> ClipFormat:
    """Return the clip format that a file name asks for.

    Raises:
        UserInputError: it ends in none of them.
    """
    return format_of(file_name, CLIP_FORMATS, "no clip format")


def curve_format_of(file_name: PurePath) -> CurveFormat:
    """Return the format of curves that a file name asks for.

    Raises:
        UserInputError: it ends in none of them.
    """
    return format_of(file_name, CURVE_FORMATS, "no format for curves")


def format_of(file_name: PurePath, rows: Mapping[str, Row], names: str) -> Row:
    """Return the row of a table of formats whose suffix a file name ends in; of several the longest.

    Args:
        names: what the name does not name, for the sentence, such as "no clip format".

    Raises:
        UserInputError: it ends in none of them.
    """
    longest = sorted(rows.values(), key=lambda row: -len(row.suffix))  # ".a2f.json" ends in ".json" too
    found = next((row for row in longest if file_name.name.lower().endswith(row.suffix)), None)
    if found is None:
        suffixes = choice([row.suffix for row in rows.values()])
        raise UserInputError(f"{file_name.name} names {names}.", f"End it in {suffixes}.")
    return found


def clip_suffixes(shown: Shown) -> frozenset[str]:
    """Return the suffixes of the clips that a browser shows so."""
    return frozenset(row.suffix for row in CLIP_FORMATS.values() if row.shown == shown)


def choice(words: list[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
