"""A new word for a person: one more row in the text encoders' tables (textual inversion).

The trigger becomes a token of its own, and `TriggerEmbedding` lays its row
over the encoder's table without touching it; only that row is learned. Files
keep it as "embedding.<token>" (and "embedding_2.<token>" for a second
encoder). What the word comes to mean is not known here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from studio.errors import UserInputError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase

PREFIXES = ("embedding.", "embedding_2.")
"""Of the rows in adapter files, by text encoder."""


class TriggerEmbedding(torch.nn.Module):
    """An embedding table with one more row; several lie over one another."""

    def __init__(self, table: torch.nn.Module, token: int, row: torch.Tensor) -> None:
        super().__init__()
        self.table = table
        self.token = token
        self.row = torch.nn.Parameter(row.detach().float().clone(), requires_grad=False)  # (D,)

    @property
    def weight(self) -> torch.Tensor:
        """The table beneath; libraries ask it for its dtype and device."""
        return self.table.weight  # type: ignore[return-value]

    @property
    def num_embeddings(self) -> int:
        """Rows of the table beneath."""
        return int(self.table.num_embeddings)  # type: ignore[arg-type]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Look tokens up.  # (..., D)"""
        known = self.table(tokens.clamp_max(self.num_embeddings - 1))
        return torch.where((tokens == self.token)[..., None], self.row.to(known.dtype), known)


def add_trigger(loaded: LoadedBase, word: str, rows: Mapping[str, torch.Tensor] | None = None, like: str = "") -> None:
    """Teach tokenizers and text encoders of a base the new word; `loaded` gets tokenizers of its own.

    Args:
        rows: key as in adapter files -> row; None starts from the mean of the tokens of `like`.

    Raises:
        UserInputError: a row is missing, or of another width than the base's.
    """
    from tokenizers import AddedToken

    tokenizers = []
    for prefix, tokenizer, encoder in zip(PREFIXES, loaded.tokenizers, loaded.text_encoders, strict=False):
        table = encoder.get_input_embeddings()
        own = copy.deepcopy(tokenizer)
        if rows is None:
            known = tokenizer(like or word, add_special_tokens=False).input_ids
            row = table.weight[torch.tensor(known, device=table.weight.device)].float().mean(0)
        else:
            row = _row(rows, prefix + word, table.weight.shape[1], loaded.location.title)
        if own.add_tokens([AddedToken(word, single_word=True, normalized=True)]) != 1:
            raise UserInputError(
                f"{word!r} is a word that the base model knows already.", "Choose a rarer trigger, such as ohwx."
            )
        token = own.convert_tokens_to_ids(word)
        encoder.set_input_embeddings(TriggerEmbedding(table, token, row.to(table.weight.device)))
        tokenizers.append(own)
    loaded.tokenizers = tuple(tokenizers)


def trigger_embeddings(loaded: LoadedBase, word: str) -> dict[str, TriggerEmbedding]:
    """Return file key -> the module that holds its row."""
    tables = [encoder.get_input_embeddings() for encoder in loaded.text_encoders]
    return {prefix + word: table for prefix, table in zip(PREFIXES, tables, strict=False)}


def _row(rows: Mapping[str, torch.Tensor], key: str, width: int, base: str) -> torch.Tensor:
    row = rows.get(key)
    if row is None or tuple(row.shape) != (width,):
        raise UserInputError(f"The adapter's word does not fit the base model {base}.", "Use the base it was made for.")
    return row
