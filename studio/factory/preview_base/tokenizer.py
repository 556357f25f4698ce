"""A CLIP tokenizer made here: every byte is known, words of portraits are single tokens.

CLIP's own vocabulary was learned from the web; ours is written down. The
merges are chosen so that byte-pair encoding ends in one token for each word of
WORDS and spells everything else in bytes, so no text is ever unknown.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

TRIGGERS = ("sks", "ohwx", "zwx", "olis", "hta", "tok", "vrx", "qrs")
"""Rare words to bind a person to; each is one token the base has never seen."""

_PORTRAIT_WORDS = """
a an the of in on with and from to at by is has wearing no not without very who person people photo photos picture
portrait face head man woman men women boy girl male female human young middle aged old elderly adult hair short
long bun bald blond blonde brown black red gray grey white blue green yellow orange purple pink dark light pale tan
skin fair deep glasses sunglasses beard bearded mustache shaven clean neutral expression smiling smile happy
laughing surprised angry sad serious calm open closed mouth eyes eyebrows nose lips teeth ears neck background
looking straight left right up down front side back center shadow soft hard bright dim studio shirt wearing close
closeup full body render rendered drawing painting sketch style high low quality detailed blurry ugly bad good best
"""
WORDS: tuple[str, ...] = (*TRIGGERS, *_PORTRAIT_WORDS.split())
MODEL_MAX_LENGTH = 77
_START, _END = "<|startoftext|>", "<|endoftext|>"


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return token -> number and the merges in the order of their rank."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet)]
    known = set(tokens)
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        symbols = _encoded(word, merges)
        while len(symbols) > 1:
            merges.append((symbols[0], symbols[1]))
            joined = symbols[0] + symbols[1]
            if joined not in known:
                known.add(joined)
                tokens.append(joined)
            symbols = _encoded(word, merges)
    tokens += [_START, _END]
    return {t: i for i, t in enumerate(tokens)}, merges


def _encoded(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """Split a word by byte-pair encoding, lowest rank first."""
    rank = {pair: i for i, pair in enumerate(merges)}
    symbols = [*word[:-1], word[-1] + "</w>"]
    while True:
        ranked = [(rank[p], i) for i, p in enumerate(pairwise(symbols)) if p in rank]
        if not ranked:
            return symbols
        _, i = min(ranked)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def make_tokenizer(folder: Path) -> Any:
    """Write the tokenizer's files and return it.

    Args:
        folder: made if missing; gets tokenizer.json and tokenizer_config.json, and the
            classic vocab.json and merges.txt that other programs read.

    Returns:
        transformers.CLIPTokenizer; pads to and cuts at 77 tokens.
    """
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    numbers, merges = vocabulary()
    vocabulary_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocabulary_file.write_text(json.dumps(numbers, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges)]
    merges_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = CLIPTokenizer(
        vocab=str(vocabulary_file), merges=str(merges_file), model_max_length=MODEL_MAX_LENGTH, pad_token=_END
    )
    tokenizer.save_pretrained(str(folder))
    return tokenizer
