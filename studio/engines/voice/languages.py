"""Tables that name the sounds of a language by the nearest ARPAbet phones.

One JSON file per language under presets/languages; anybody can add one. A file
maps IPA symbols to ARPAbet, for mouths and not for ears: a front rounded vowel
takes the gap of its unrounded neighbor and the lips of the round one, which
ARPAbet writes as the round one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from studio.engines.voice.shapes import DIPHTHONGS, PHONE_SHAPES
from studio.errors import UserInputError
from studio.outside import json_of

PRESETS = Path(__file__).resolve().parents[3] / "presets" / "languages"
ANY = "xx"
"""Code of a language without a table of its own."""
_MARKS = "ˈˌːˑ.\u0361\u035c‿|"  # stress, length and ties; they split what the tables write as one


@dataclass(frozen=True)
class Language:
    """One language's sounds.

    Attributes:
        code: BCP 47 primary tag such as "de".
        title: name in English.
        ipa: IPA symbol -> ARPAbet phones.
    """

    code: str
    title: str
    ipa: dict[str, tuple[str, ...]]

    def phones(self, symbol: str) -> tuple[str, ...]:
        """Return the phones of one IPA symbol; marks it does not know are ignored, unknown letters give ().

        Args:
            symbol: one sound, perhaps with stress, length or other marks, or several letters in a row.
        """
        plain = _plain(symbol)
        out: list[str] = []
        while plain:
            size = next((n for n in range(min(4, len(plain)), 0, -1) if plain[:n] in self.ipa), 0)
            if size:
                out += self.ipa[plain[:size]]
            plain = plain[max(size, 1) :]
        return tuple(out)


def _plain(symbol: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", symbol) if c not in _MARKS)


def load_languages(folder: Path | None = None) -> dict[str, Language]:
    """Read every language file; each inherits the symbols of `ipa.json`, the common base.

    Raises:
        UserInputError: a file that is no JSON, or names a phone that does not exist.
    """
    folder = folder or PRESETS
    tables = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    base = tables.get("ipa", ("", {}))[1]
    found = {code: Language(code, title, {**base, **rows}) for code, (title, rows) in tables.items() if code != "ipa"}
    return found | {ANY: Language(ANY, "Another language", dict(base))}


def _read(path: Path) -> tuple[str, dict[str, tuple[str, ...]]]:
    hint = "See presets/languages/ipa.json for the form."
    try:
        content = json_of(path.read_text(encoding="utf-8"))
        title = content["title"]
        rows = {_plain(s): tuple(p.split()) for s, p in content["ipa"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as exc:
        raise UserInputError(f"The language file {path.name} cannot be read.", hint) from exc
    for symbol, phones in rows.items():
        wrong = [p for p in phones if p not in PHONE_SHAPES and p not in DIPHTHONGS]
        if wrong:
            raise UserInputError(f"{path.name} maps {symbol} to {wrong[0]}, which is no ARPAbet phone.", hint)
    return title, rows
