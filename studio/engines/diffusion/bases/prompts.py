"""Prompts as numbers, of any length.

A text encoder takes a fixed number of tokens (77 with begin and end). A longer
prompt is cut into chunks at the ends of words; each chunk is encoded between
its own begin and end, and the results stand behind one another, which the
UNet's cross attention takes at any length. Nothing a person wrote is left out
silently. Weights inside a prompt, such as (word:1.2), have no meaning here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from studio.engines.diffusion.bases.loading import LoadedBase


@dataclass(frozen=True)
class PromptEmbeddings:
    """Encoded prompts.

    Attributes:
        hidden: one row of tokens per prompt, k chunks long.  # (B, L * k, D)
        pooled: the whole prompt as one vector, sdxl only (of its first chunk).  # (B, P)
    """

    hidden: torch.Tensor
    pooled: torch.Tensor | None


def chunk_count(loaded: LoadedBase, prompt: str) -> int:
    """Return how many chunks a prompt needs; the whole call is padded to the longest."""
    return max(len(_chunks(tokenizer, prompt)) for tokenizer in loaded.tokenizers)


def encode_prompts(loaded: LoadedBase, prompts: Sequence[str], *, chunks: int = 1) -> PromptEmbeddings:
    """Encode prompts; gradients flow into the text encoders where these ask for them.

    Args:
        prompts: at least one; all are padded to the same number of chunks.
        chunks: the least number of chunks, so that separate calls fit together.

    Returns:
        Embeddings on the base's device, in its dtype.
    """
    import torch

    wanted = max([chunks, *(chunk_count(loaded, prompt) for prompt in prompts)])
    hidden, pooled = [], None
    for tokenizer, encoder in zip(loaded.tokenizers, loaded.text_encoders, strict=True):
        rows = [_token_rows(tokenizer, prompt, wanted) for prompt in prompts]
        tokens = torch.tensor(rows, device=loaded.device)  # (B, k, L)
        last = loaded.family == "sd15"
        out = encoder(tokens.flatten(0, 1), output_hidden_states=not last)
        # XL was trained on the last layer but one, without the final norm.
        states = out.last_hidden_state if last else out.hidden_states[-2]  # (B * k, L, D)
        hidden.append(states.unflatten(0, (len(prompts), wanted)).flatten(1, 2))  # (B, k * L, D)
        if not last:
            pooled = getattr(out, "text_embeds", pooled)  # only the second encoder has it
    if pooled is not None:
        pooled = pooled.unflatten(0, (len(prompts), wanted))[:, 0].to(loaded.dtype)  # (B, P)
    return PromptEmbeddings(torch.cat(hidden, dim=-1).to(loaded.dtype), pooled)


def _token_rows(tokenizer: Any, prompt: str, chunks: int) -> list[list[int]]:
    """Return so many rows of token numbers, each with begin, end and padding."""
    length = tokenizer.model_max_length
    parts = _chunks(tokenizer, prompt)
    parts += [[]] * (chunks - len(parts))
    rows = [[tokenizer.bos_token_id, *part, tokenizer.eos_token_id] for part in parts]
    return [row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows]


def _chunks(tokenizer: Any, prompt: str) -> list[list[int]]:
    """Cut a prompt's tokens into pieces that fit, at the ends of words where there is one; at least one piece."""
    room = tokenizer.model_max_length - 2
    tokens = tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False).input_ids
    names = tokenizer.convert_ids_to_tokens(tokens)
    parts, start = [], 0
    while len(tokens) - start > room:
        end = start + room
        cut = next((i for i in range(end, start, -1) if names[i - 1].endswith("</w>")), end)
        parts.append(tokens[start:cut])
        start = cut
    return [*parts, tokens[start:]]
