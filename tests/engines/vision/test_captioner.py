"""The optional captioner loads a real architecture from a folder and refuses the rest in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.engines.vision.captioner import Captioner
from studio.errors import EngineError, EngineUnavailableError


@pytest.fixture(scope="module")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a BLIP with random weights: its words mean nothing, but every step of loading and writing is real."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "a", "person", "smiling", "blue", "sea"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **small,
        "vocab_size": 12,
        "encoder_hidden_size": 16,
        "bos_token_id": 5,
        "pad_token_id": 0,
        "sep_token_id": 3,
    }
    config = BlipConfig(
        text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=16
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def test_a_model_in_a_folder_writes_a_line(tiny_blip: Path) -> None:
    captioner = Captioner(str(tiny_blip))
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    said = captioner.caption(image)
    assert said == captioner.caption(image)
    assert "\n" not in said


def test_what_is_no_captioning_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="not on this computer"):
        Captioner("somebody/no-such-model")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises((EngineError, EngineUnavailableError)):
        Captioner(str(tmp_path))
