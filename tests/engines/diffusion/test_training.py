"""Training: going on is exact, looking changes nothing, whatever goes wrong leaves the last good checkpoint."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from studio.domain.base_model import BaseLocation
from studio.engines.base_diffusion import TrainingExample
from studio.engines.diffusion.bases.loading import load_base
from studio.engines.diffusion.training import checkpoints, trainer
from studio.engines.diffusion.training.lessons import Lessons, class_pictures
from studio.engines.diffusion.training.trainer import DiffusionTrainer
from studio.errors import ConflictError, EngineError, OutOfMemoryError, StoreError, UserInputError
from tests.engines.diffusion.tiny_base import tiny_location
from tests.engines.diffusion.training_case import Events, difference, photos, plan_of, same_state, train
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> BaseLocation:
    return tiny_location(tmp_path_factory.mktemp("base"), v_prediction=True)


@pytest.fixture(scope="module")
def location_xl(tmp_path_factory: pytest.TempPathFactory) -> BaseLocation:
    return tiny_location(tmp_path_factory.mktemp("base-xl"), "sdxl")


KINDS = {
    "lora with all extras": {"ema": True, "accumulation": 2, "noise_offset": 0.05, "flip": True, "schedule": "linear"},
    "lora of the unet alone": {"train_text_encoder": False, "prior_weight": 0.0},
    "dreambooth": {"method": "dreambooth", "optimizer": "projected_adamw", "projection_rank": 8, "steps": 4},
    "a learned word, nothing kept": {"textual_inversion": True, "train_text_encoder": False, "cache": False},
}


@pytest.mark.smoke
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_a_stopped_run_goes_on_bit_for_bit(location: BaseLocation, tmp_path: Path, changes: dict[str, object]) -> None:
    plan = plan_of(**changes)
    whole = train(location, plan, tmp_path / "whole")
    first = train(location, plan, tmp_path / "halves", Events(stop_after=3))
    events = Events()
    second = train(location, plan, tmp_path / "halves", events)
    assert (first.reason, first.step, second.reason) == ("stopped", 3, "done")
    assert difference(whole, second) == 0.0
    assert same_state(whole, second)
    assert whole.losses == second.losses
    assert [step for step, _, _ in events.steps] == list(range(4, plan.steps + 1))


def test_both_text_encoders_of_xl_learn_and_go_on(location_xl: BaseLocation, tmp_path: Path) -> None:
    plan = plan_of(textual_inversion=True, steps=3)
    whole = train(location_xl, plan, tmp_path / "whole")
    train(location_xl, plan, tmp_path / "halves", Events(stop_after=2))
    assert difference(whole, train(location_xl, plan, tmp_path / "halves")) == 0.0
    assert whole.adapter is not None
    tensors = load_file(whole.adapter)
    assert {key.split(".")[0] for key in tensors} == {
        "unet", "text_encoder", "text_encoder_2", "embedding", "embedding_2",
    }  # fmt: skip
    # XL reads its first encoder before the last layer, so that layer cannot learn.
    moved = {key for key, tensor in tensors.items() if ".lora_B." in key and tensor.abs().max() > 0}
    assert {key.split(".")[0] for key in moved} == {"unet", "text_encoder", "text_encoder_2"}


def test_a_killed_process_loses_at_most_one_interval_and_another_goes_on(
    location: BaseLocation, tmp_path: Path
) -> None:
    plan = plan_of(steps=40, checkpoint_every=4, prior_weight=0.0, ema=True)
    folder = tmp_path / "killed"
    job = {"location": location.__dict__, "plan": plan.model_dump(mode="json"), "folder": str(folder)}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("train_in_process.py")), json.dumps(job)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:  # one number for each step made
        seen = int(line)
        if seen == 6:
            break
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait(PATIENCE_SECONDS)
    process.stdout.close()
    left = checkpoints.newest(folder)
    assert left is not None
    assert left.step >= seen - plan.checkpoint_every
    whole = train(location, plan, tmp_path / "whole")
    again = train(location, plan, folder)
    assert difference(whole, again) == 0.0
    assert same_state(whole, again)
    assert whole.losses == again.losses


def test_pictures_on_the_way_change_nothing(location: BaseLocation, tmp_path: Path) -> None:
    blind = train(location, plan_of(ema=True), tmp_path / "blind")
    events = Events()
    looking = train(location, plan_of(ema=True, sample_every=1), tmp_path / "looking", events)
    assert difference(blind, looking) == 0.0
    assert same_state(blind, looking)
    assert list(events.samples) == list(range(7))
    kinds = [(p.kind, p.prompt, p.seed) for p in events.samples[0]]
    assert kinds == [("person", "a photo of sks person", 1), ("class", "a photo of a person", 1)]
    assert not np.array_equal(events.samples[0][0].image, events.samples[6][0].image)


def test_samples_show_the_base_first_and_are_not_drawn_twice(location: BaseLocation, tmp_path: Path) -> None:
    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.drawing.sampling import draw

    plan = plan_of(steps=4, sample_every=2)
    first, second = Events(stop_after=2), Events()
    train(location, plan, tmp_path, first)
    train(location, plan, tmp_path, second)
    assert (list(first.samples), list(second.samples)) == ([0, 2], [4])
    count = len(first.samples[0])
    assert first.drawn[:count] == [(0, number, count) for number in range(1, count + 1)], (
        "each is told before it is drawn"
    )
    base = load_base(location, device="cpu")
    side = plan.resolution
    options = {"seed": 1, "steps": 1, "guidance": plan.guidance, "width": side, "height": side}
    assert np.array_equal(first.samples[0][0].image, draw(base, "a photo of sks person", **options)[0])


def test_a_sample_that_cannot_be_drawn_is_told_and_training_goes_on(
    location: BaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.engines.diffusion.drawing import sampling

    def black(*arguments: object, **options: object) -> None:
        raise EngineError("The picture came out black.")

    monkeypatch.setattr(sampling, "draw", black)
    events = Events()
    outcome = train(location, plan_of(steps=1, prior_weight=0.0), tmp_path, events)
    assert outcome.finished
    assert events.samples == {}
    assert events.notes[0] == "No samples at step 0: The picture came out black."


def test_the_adapter_wears_on_the_base_what_was_sampled(location: BaseLocation, tmp_path: Path) -> None:
    from studio.domain.adapter import AdapterFile
    from studio.engines.diffusion.adapters.wearing import load_adapters
    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.drawing.sampling import draw

    events = Events()
    plan = plan_of(textual_inversion=True, ema=True)
    outcome = train(location, plan, tmp_path, events)
    base = load_base(location, device="cpu")
    report = load_adapters(base, [AdapterFile(path=str(outcome.adapter), name="sks")])[0]
    assert report.unmatched == ()
    side = plan.resolution
    picture = draw(base, "a photo of sks person", seed=1, steps=1, guidance=plan.guidance, width=side, height=side)[0]
    assert np.abs(picture.astype(int) - events.samples[6][0].image).max() <= 1


def test_names_are_those_of_peft(location: BaseLocation, tmp_path: Path) -> None:
    from peft import get_peft_model_state_dict

    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.training.trainable import Trainable

    base = load_base(location, device="cpu")
    trainable = Trainable(base, plan_of())
    wanted = {f"unet.{key}" for key in get_peft_model_state_dict(base.unet)}
    wanted |= {f"text_encoder.{key}" for key in get_peft_model_state_dict(base.text_encoders[0])}
    assert set(trainable.named) == wanted


def test_only_what_is_planned_moves(location: BaseLocation) -> None:
    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.training.trainable import Trainable

    for plan, parts in (
        (plan_of(feed_forward=False, convolutions=False, train_text_encoder=False), {"unet"}),
        (plan_of(method="dreambooth", train_text_encoder=False), {"unet"}),
        (plan_of(method="dreambooth"), {"unet", "text_encoder"}),
    ):
        base = load_base(location, device="cpu")
        trainable = Trainable(base, plan)
        assert {key.split(".")[0] for key in trainable.named} == parts
        free = {
            p for module in (base.unet, base.vae, *base.text_encoders) for p in module.parameters() if p.requires_grad
        }
        assert free == set(trainable.parameters)
        if plan.method == "lora":
            assert all(".attn" in key for key in trainable.named)


def test_a_learned_word_leaves_all_other_words_alone(location: BaseLocation) -> None:
    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.bases.prompts import encode_prompts
    from studio.engines.diffusion.training.trainable import Trainable

    base = load_base(location, device="cpu")
    before = encode_prompts(base, ["a photo of a man"]).hidden
    trainable = Trainable(base, plan_of(textual_inversion=True, train_text_encoder=False, trigger="zwx"))
    row = trainable.named["embedding.zwx"]
    assert torch.equal(before, encode_prompts(base, ["a photo of a man"]).hidden)
    # The new word starts as the class word, and nothing else of the prompt is another.
    assert torch.allclose(*(encode_prompts(base, [f"a photo of {w}"]).hidden for w in ("zwx", "person")), atol=1e-6)
    encode_prompts(base, ["a photo of zwx"]).hidden.sum().backward()
    assert row.grad is not None
    assert row.grad.abs().max() > 0


def test_gradient_checkpointing_computes_the_same(location: BaseLocation, tmp_path: Path) -> None:
    plain = train(location, plan_of(steps=3), tmp_path / "plain")
    thrifty = train(location, plan_of(steps=3, gradient_checkpointing=True), tmp_path / "thrifty")
    assert thrifty.losses == pytest.approx(plain.losses, rel=1e-4)


def test_it_learns(location: BaseLocation, tmp_path: Path) -> None:
    plan = plan_of(steps=40, method="dreambooth", prior_weight=0.0, learning_rate=3e-3, batch=4, min_snr_gamma=0.0)
    losses = train(location, plan, tmp_path).losses
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_two_processes_make_the_steps_of_one(location: BaseLocation, tmp_path: Path) -> None:
    plan = plan_of(steps=3, accumulation=2, checkpoint_every=2)
    alone = train(location, plan, tmp_path / "alone")
    together = DiffusionTrainer("cpu", processes=2).train(location, plan, photos(), tmp_path / "two", Events())
    assert difference(alone, together) < 1e-6
    assert together.losses == pytest.approx(alone.losses, abs=1e-6)


@pytest.mark.parametrize("cached", [True, False])
def test_captions_are_shown_whole_short_or_not_at_all(location: BaseLocation, cached: bool) -> None:
    base = load_base(location, device="cpu")
    plan = plan_of(short_captions=0.4, caption_dropout=0.2, prior_weight=0.0, batch=64, cache=cached)
    examples = photos(2)
    lessons = Lessons(base, plan, examples, [], text_learns=False)
    generator = torch.Generator().manual_seed(0)
    batches = [lessons.draw([], [], generator) for _ in range(4)]
    shown = [lessons.prompts[row] for batch in batches for row in batch.prompts]
    shares = {text: shown.count(text) / len(shown) for text in dict.fromkeys(shown)}
    assert set(shares) == {"", "a photo of sks person", "a photo of sks person, smiling"}
    assert shares[""] == pytest.approx(0.2, abs=0.07)
    assert shares["a photo of sks person, smiling"] == pytest.approx(0.5 * 0.6 * 0.8, abs=0.07)
    words, _ = lessons.words(batches[0])
    assert len({words[i].numpy().tobytes() for i in range(64)}) == 3, "each has its own embedding"


def test_class_pictures_are_drawn_of_several_prompts_and_learned_with_their_own(
    location: BaseLocation, tmp_path: Path
) -> None:
    base = load_base(location, device="cpu")
    prompts = ("a photo of a {class}", "a photo of a {class}, smiling", "a photo of a man")
    plan = plan_of(prior_prompts=prompts, prior_pictures=5, class_word="woman", batch=8, caption_dropout=0.0)
    drawn = class_pictures(base, plan, tmp_path / "class", Events())
    alone = plan.model_copy(update={"prior_prompts": prompts[1:2], "prior_pictures": 2})
    other = class_pictures(base, alone, tmp_path / "other", Events())
    assert drawn is not None
    assert other is not None
    assert (drawn[1] == other[1]).all(), "the second picture is of the second prompt"
    assert (drawn[0] != other[0]).any()
    lessons = Lessons(base, plan, photos(2), drawn, text_learns=False)
    batches = [lessons.draw([], [], torch.Generator().manual_seed(seed)) for seed in range(6)]
    shown = [lessons.prompts[row] for batch in batches for row in batch.prompts[8:]]
    assert set(shown) == {"a photo of a woman", "a photo of a woman, smiling", "a photo of a man"}
    latents = {
        lessons.prompts[row]: latent
        for batch in batches
        for row, latent in zip(batch.prompts[8:], batch.latents[8:], strict=True)
    }
    fresh = Lessons(base, plan, photos(2), drawn[2:3], text_learns=False)
    man = fresh.draw([], [], torch.Generator().manual_seed(0)).latents[8]
    assert torch.equal(latents["a photo of a man"], man), "each goes with the words it was drawn of"
    dropping = Lessons(
        base, plan.model_copy(update={"caption_dropout": 0.5}), photos(2), drawn, text_learns=False
    )  # fmt: skip
    rows = [dropping.draw([], [], torch.Generator().manual_seed(seed)).prompts for seed in range(6)]
    assert all(dropping.prompts[row] for batch in rows for row in batch[:8]), "no words mean others, not the person"
    assert sum(row == 0 for batch in rows for row in batch[8:]) == pytest.approx(24, abs=10)


def with_variants(count: int) -> list[TrainingExample]:
    """Return photos and what was drawn of them, mixed."""
    own = photos(2)
    drawn = [replace(own[i % 2], caption=f"variant {i}", sha256=f"v{i}", drawn=True) for i in range(count)]
    return [*drawn[:1], *own, *drawn[1:]]


def test_variants_take_their_share_and_photos_the_rest(location: BaseLocation) -> None:
    base = load_base(location, device="cpu")
    plan = plan_of(variant_share=0.7, short_captions=0.0, caption_dropout=0.0, batch=64, prior_weight=0.0)
    lessons = Lessons(base, plan, with_variants(6), [], text_learns=False)
    generator = torch.Generator().manual_seed(0)
    coming: list[int] = []
    shown = [lessons.prompts[row] for _ in range(8) for row in lessons.draw(coming, [], generator).prompts]
    drawn = [text for text in shown if text.startswith("variant")]
    assert len(drawn) / len(shown) == pytest.approx(0.7, abs=0.06)
    assert len(set(drawn)) == 6
    counts = [shown.count(e.caption) for e in photos(2)]
    assert abs(counts[0] - counts[1]) <= 1, "photos go on coming in turn"


def test_a_run_with_variants_that_was_stopped_ends_as_one_that_was_not(location: BaseLocation, tmp_path: Path) -> None:
    plan, examples = plan_of(steps=6, variant_share=0.5), with_variants(4)
    whole = DiffusionTrainer("cpu").train(location, plan, examples, tmp_path / "whole", Events())
    DiffusionTrainer("cpu").train(location, plan, examples, tmp_path / "parts", Events(stop_after=3))
    parts = DiffusionTrainer("cpu").train(location, plan, examples, tmp_path / "parts", Events())
    assert difference(whole, parts) == 0
    assert whole.losses == parts.losses


def test_a_run_of_a_release_that_knew_fewer_settings_goes_on(location: BaseLocation, tmp_path: Path) -> None:
    plan = plan_of(steps=2)
    train(location, plan, tmp_path)
    file = tmp_path / "plan.json"
    kept = json.loads(file.read_text("utf-8"))
    for name in ("variant_share", "variants_per_photo"):
        del kept["plan"][name]
    file.write_text(json.dumps(kept), "utf-8")
    assert train(location, plan.model_copy(update={"steps": 4}), tmp_path).step == 4


def test_one_photo_is_enough_to_begin(location: BaseLocation, tmp_path: Path) -> None:
    outcome = DiffusionTrainer("cpu").train(location, plan_of(steps=2), photos(1), tmp_path, Events())
    assert outcome.finished


def test_no_photo_is_refused(location: BaseLocation, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no photos"):
        DiffusionTrainer("cpu").train(location, plan_of(), [], tmp_path, Events())


def test_half_precision_trains(location: BaseLocation, tmp_path: Path) -> None:
    outcome = train(location, plan_of(steps=2, precision="bf16"), tmp_path)
    assert outcome.finished
    assert outcome.adapter is not None
    assert {tensor.dtype for tensor in load_file(outcome.adapter).values()} == {torch.float32}


# -- when things go wrong -----------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_the_last_good(
    location: BaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    events = Events()
    real = trainer.masked_error

    def spoiled(*arguments: torch.Tensor) -> torch.Tensor:
        return real(*arguments) * (bad if len(events.steps) == 4 else 1.0)

    monkeypatch.setattr(trainer, "masked_error", spoiled)
    outcome = train(location, plan_of(checkpoint_every=3), tmp_path, events)
    assert (outcome.reason, outcome.step, outcome.finished, len(outcome.losses)) == ("diverged", 3, False, 3)
    assert outcome.adapter is not None
    assert all(tensor.isfinite().all() for tensor in load_file(outcome.adapter).values())
    assert "step 5" in events.notes[-1]


def test_gradients_without_number_never_reach_a_checkpoint(
    location: BaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events()
    real = torch.nn.utils.clip_grad_norm_

    def spoiled(parameters: list[torch.Tensor], limit: float) -> torch.Tensor:
        if len(events.steps) == 1:
            parameters[0].grad.fill_(math.nan)  # type: ignore[union-attr]
        return real(parameters, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spoiled)
    outcome = train(location, plan_of(checkpoint_every=1), tmp_path, events)
    assert (outcome.reason, outcome.step) == ("diverged", 1)


@pytest.mark.parametrize(
    "refusal", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), None]
)
def test_out_of_memory_names_smaller_settings(
    location: BaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception | None
) -> None:
    def refuse(*arguments: object) -> None:
        raise refusal or torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "masked_error", refuse)
    with pytest.raises(OutOfMemoryError) as told:
        train(location, plan_of(), tmp_path)
    assert "gradient checkpointing on, batch 1" in told.value.hint


@pytest.mark.parametrize("kind", ["operating system", "safetensors"])
def test_a_full_disk_leaves_the_last_good_and_the_run_goes_on_later(
    location: BaseLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import safetensors.torch

    plan = plan_of(steps=4)
    whole = train(location, plan, tmp_path / "whole")
    real = safetensors.torch.save_file
    full = {"now": False}

    def save_file(tensors: dict[str, torch.Tensor], path: Path, **options: object) -> None:
        if not full["now"]:
            real(tensors, path, **options)  # type: ignore[arg-type]
            return
        Path(path).write_bytes(b"half a fi")
        if kind == "safetensors":
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    folder = tmp_path / "full"
    events = Events(on_step=lambda step: full.update(now=step == 4))
    with pytest.raises(StoreError, match="disk is full"):
        train(location, plan, folder, events)
    assert [saved.step for saved in checkpoints.found(folder)] == [2]
    assert not list((folder / "checkpoints").glob(".part-*"))
    full["now"] = False
    assert difference(whole, train(location, plan, folder)) == 0.0


def test_another_plan_base_or_set_of_photos_is_no_continuation(
    location: BaseLocation, location_xl: BaseLocation, tmp_path: Path
) -> None:
    train(location, plan_of(steps=2), tmp_path)
    trainer = DiffusionTrainer("cpu")
    with pytest.raises(ConflictError, match="base model"):
        train(location_xl, plan_of(steps=2), tmp_path)
    with pytest.raises(ConflictError, match="photos"):
        trainer.train(location, plan_of(steps=2), photos(2), tmp_path, Events())
    with pytest.raises(ConflictError, match="rank"):
        train(location, plan_of(steps=2, rank=8), tmp_path)
    longer = train(location, plan_of(steps=3, learning_rate=1e-4), tmp_path)
    assert longer.step == 3


def test_a_finished_run_does_nothing_more(location: BaseLocation, tmp_path: Path) -> None:
    first = train(location, plan_of(steps=2), tmp_path)
    events = Events()
    again = train(location, plan_of(steps=2), tmp_path, events)
    assert again == first
    assert (events.steps, events.checkpoints, events.samples) == ([], [], {})


def test_a_damaged_checkpoint_is_named(location: BaseLocation, tmp_path: Path) -> None:
    outcome = train(location, plan_of(steps=2), tmp_path)
    assert outcome.adapter is not None
    outcome.adapter.with_name("state.safetensors").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="step 2 is damaged"):
        train(location, plan_of(steps=4), tmp_path)


def test_old_states_go_adapters_stay(location: BaseLocation, tmp_path: Path) -> None:
    train(location, plan_of(keep_checkpoints=1), tmp_path)
    assert [(s.step, s.has_state) for s in checkpoints.found(tmp_path)] == [(2, False), (4, False), (6, True)]
    assert (tmp_path / "latest").read_text() == "step-000006"


def test_class_pictures_are_drawn_once_and_stopping_meanwhile_is_heard(location: BaseLocation, tmp_path: Path) -> None:
    stopped = train(location, plan_of(), tmp_path, Events(stop_after=0))
    assert (stopped.reason, stopped.step, stopped.adapter) == ("stopped", 0, None)
    train(location, plan_of(steps=1), tmp_path)
    files = sorted((tmp_path / "class").glob("*.png"))
    assert len(files) == 2
    for file in files:
        os.utime(file, (1.0, 1.0))
    train(location, plan_of(steps=2), tmp_path)
    assert [file.stat().st_mtime for file in files] == [1.0, 1.0]
