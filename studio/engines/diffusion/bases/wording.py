"""How a base reads a prompt, told from its vocabulary alone: nothing of the model is loaded for it.

Every word counts in every base (long prompts are read in pieces, see prompts),
but not every word means something: a small vocabulary spells what it does not
know in letters, which says nothing to the model.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.domain.base_model import BaseLocation
from studio.engines.base_diffusion import Wording

_ROOM = 75
"""Tokens of a piece, between its begin and its end."""
_LEAST_LETTERS = 3
_FEW_WORDS = 5000
"""A vocabulary below this was written down for a purpose; a larger one was learned, and knows every word in parts."""


def wording(location: BaseLocation, prompt: str) -> Wording | None:
    """Return how a prompt is read; None where the base's vocabulary does not lie beside it as `tokenizer.json`.

    None, too, without the library that reads it: base models can be listed and added before it is installed.
    """
    file = Path(location.path) / "tokenizer" / "tokenizer.json"
    if location.is_file or not file.is_file() or importlib.util.find_spec("tokenizers") is None:
        return None
    tokenizer = _tokenizer(file, file.stat().st_mtime_ns)
    tokens = tokenizer.encode(prompt, add_special_tokens=False).tokens
    words, letters = [], []  # type: list[list[str]], list[str]
    for token in tokens:
        letters.append(token.removesuffix("</w>"))
        if token.endswith("</w>"):
            words.append(letters)
            letters = []
    told = [word for word in words if any(part.isalnum() for part in word)]
    spelled = ["".join(w) for w in told if len(w) > 1 and len("".join(w)) >= _LEAST_LETTERS]
    small = tokenizer.get_vocab_size() < _FEW_WORDS
    return Wording(len(told), max(1, -(-len(tokens) // _ROOM)), tuple(dict.fromkeys(spelled)) if small else ())


@lru_cache(maxsize=4)
def _tokenizer(file: Path, changed_ns: int) -> Any:
    from tokenizers import Tokenizer

    del changed_ns  # only tells an edited file from the one before
    return Tokenizer.from_file(str(file))
