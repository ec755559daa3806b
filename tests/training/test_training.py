"""Training of tiny stages: what a batch is, what resuming is, and that something is learnt."""

import json
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.cascade.resample import augmentation_logsnr, degrade, upsample
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data import Dataset, Example
from zoetrope.data.toybox import Toybox
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape, Window
from zoetrope.text._cache import EmbeddingCache
from zoetrope.text.t5 import T5
from zoetrope.training.batch import Batch, Batches
from zoetrope.training.checkpoints import find_checkpoints
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe, TrainSpec, clip_shape
from zoetrope.training.state import read_metrics

BASE = VideoShape(frames=2, height=4, width=8, fps=3)
TSR = VideoShape(frames=4, height=4, width=8, fps=6)
SSR = VideoShape(frames=4, height=8, width=16, fps=6)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> T5:
    """An encoder of two features' worth of heads, with a vocabulary of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5")
    letters = {name: i for i, name in enumerate(["<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz"])}
    words = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    return T5(model=str(folder), width=8, limit=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def stage(name: str) -> StageSpec:
    shape, source = {"base": (BASE, None), "tsr1": (TSR, BASE), "ssr1": (SSR, TSR)}[name]
    levels = (Level(width=8, temporal="convolution"), Level(width=16, text_attention=True, temporal="attention"))
    network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=levels)
    return StageSpec(name=name, shape=shape, source=source, network=network)


def plan(**fields: Any) -> TrainSpec:
    common: dict[str, Any] = {
        "data": Toybox(scripts=3),
        "phases": (Phase(examples=40, batch=4, peak=1e-3),),
        "warm_up": 8,
        "weight": "v",
        "precision": "fp32",
        "checkpoint_every": 1000,
        "sample_every": 0,
        "log_every": 8,
    }
    return TrainSpec(**common | fields)


def recipe(t5: T5, **fields: Any) -> Recipe:
    names = ("base", "tsr1", "ssr1")
    cascade = CascadeSpec(name="tiny", text=t5, stages=tuple(stage(name) for name in names))
    training = {name: plan(**fields) for name in names}
    still = tuple(phase.model_copy(update={"images": 0.0}) for phase in training["base"].phases)
    training["tsr1"] = training["tsr1"].model_copy(update={"phases": still})  # learns from nothing but clips
    return Recipe(name="tiny", cascade=cascade, training=training)


def batches(t5: T5, cache: Path, name: str = "base", **fields: Any) -> Batches:
    spec = plan(**fields)
    return Batches(stage=stage(name), spec=spec, dataset=spec.data.open(), texts=EmbeddingCache(t5, cache))


def tensors_of(batch: Batch) -> Iterator[Tensor]:
    given = batch.conditioning
    yield from (batch.x, batch.t, batch.eps)
    yield from (
        v for v in (given.text, given.text_mask, given.images, given.low_res, given.low_res_logsnr) if v is not None
    )


def test_phases_and_learning_rate() -> None:
    first, second = Phase(examples=10, batch=4, peak=1e-3), Phase(examples=20, batch=2, peak=1e-4)
    spec = plan(phases=(first, second), warm_up=4, cool_down=10)
    assert spec.examples == 30
    assert [spec.phase_at(n) for n in (0, 9, 10, 29)] == [(first, 10), (first, 1), (second, 20), (second, 1)]
    assert spec.phase_at(30) == (second, 0)
    assert spec.learning_rate(0) == pytest.approx(1e-3 / 4)
    assert spec.learning_rate(5) == pytest.approx(1e-3)
    assert spec.learning_rate(12) == pytest.approx(1e-4)
    assert spec.learning_rate(25) == pytest.approx(1e-4 / 2)
    assert 0 < spec.learning_rate(30) < 2e-6


def test_fewer_frames_are_spread_over_the_same_seconds() -> None:
    shape = clip_shape(stage("tsr1"), Phase(examples=1, frames=2))
    assert (shape.frames, shape.fps) == (2, 3) and shape.seconds == TSR.seconds


@pytest.mark.parametrize("name", ["base", "tsr1", "ssr1"])
def test_a_batch_is_a_function_of_its_position(t5: T5, cache: Path, name: str) -> None:
    one, other = batches(t5, cache, name), batches(t5, cache, name)
    torch.manual_seed(5)
    one.at(8)
    first = list(tensors_of(one.at(4)))
    torch.manual_seed(6)
    second = list(tensors_of(other.at(4)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], next(iter(tensors_of(one.at(8)))))
    assert first[0].shape == (4, 3, *(getattr(stage(name).shape, axis) for axis in ("frames", "height", "width")))
    assert first[0].abs().max() <= 1


def test_times_cover_the_whole_of_diffusion_in_each_batch(t5: T5, cache: Path) -> None:
    source = batches(t5, cache, phases=(Phase(examples=40, batch=8),))
    for position in (0, 8, 16):
        t = source.at(position).t.sort().values
        assert t.min() >= 0 and t.max() < 1
        assert (t[1:] - t[:-1]).tolist() == pytest.approx([1 / 8] * 7, abs=1e-9)


def test_the_last_batch_of_a_phase_is_cut_to_fit(t5: T5, cache: Path) -> None:
    phases = (Phase(examples=6, batch=4), Phase(examples=4, batch=4, frames=1))
    source = batches(t5, cache, phases=phases)
    assert [source.at(n).x.shape[0] for n in (0, 4, 6)] == [4, 2, 4]
    assert source.at(6).x.shape[2] == 1


def test_share_of_text_that_is_dropped(t5: T5, cache: Path) -> None:
    source = batches(t5, cache, text_dropout=0.25, phases=(Phase(examples=1000, batch=40, frames=1),))
    hidden = torch.cat([~source.at(n).conditioning.text_mask.any(-1) for n in range(0, 400, 40)])  # type: ignore[union-attr]
    assert 0.25 - 0.065 < float(hidden.double().mean()) < 0.25 + 0.065  # three standard errors of 400
    always = batches(t5, cache, text_dropout=0.0).at(0).conditioning
    assert always.text_mask is not None and always.text_mask.any(-1).all()


def test_packs_of_images_have_a_text_for_each_frame(t5: T5, cache: Path) -> None:
    batch = batches(t5, cache, text_dropout=0.0, phases=(Phase(examples=40, batch=4, images=1.0),)).at(0)
    given = batch.conditioning
    assert given.images is not None and given.images.all()
    assert given.text is not None and given.text.shape[:2] == (4, 2)
    assert not torch.equal(batch.x[:, :, 0], batch.x[:, :, 1])


def test_a_pair_is_the_same_picture_at_two_sizes(t5: T5, cache: Path) -> None:
    batch = batches(t5, cache, "ssr1", phases=(Phase(examples=64, batch=48),)).at(0)
    low, levels = batch.conditioning.low_res, batch.conditioning.low_res_logsnr
    assert low is not None and levels is not None and low.shape == batch.x.shape
    clean = levels > 3
    assert clean.any()
    pairs = (torch.stack([x.flatten(), seen.flatten()]) for x, seen in zip(batch.x[clean], low[clean], strict=True))
    alike = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert alike.min() > 0.3 and alike.mean() > 0.7  # a few clips are nearly flat: in them noise is most of it
    assert levels.min() < -1 < 1 < levels.max()


def test_without_augmentation_the_given_video_is_the_degraded_one(t5: T5, cache: Path) -> None:
    made = batches(t5, cache, "ssr1", augment=0.0)
    batch, source = made.at(0), made.stage.source
    assert source is not None
    seen, level = batch.conditioning.low_res, batch.conditioning.low_res_logsnr
    assert seen is not None and level is not None
    assert torch.equal(seen, upsample(degrade(batch.x, source), made.stage.shape, made.stage.fill))
    assert (level == augmentation_logsnr(torch.zeros(1)).float()).all()
    noisy = made.stage.model_copy(update={"sampling": SamplingSpec(low_res_logsnr=1.0)})
    cascade = CascadeSpec(name="one", text=t5, stages=(stage("base"), stage("tsr1"), noisy))
    with pytest.raises(ValueError, match=r"training.ssr1.augment: .* must be null, got 1"):
        Recipe(name="one", cascade=cascade, training={"ssr1": made.spec})


def test_augmentation_reaches_as_far_as_the_recipe_says(t5: T5, cache: Path) -> None:
    made = batches(t5, cache, "ssr1", augment=0.5)
    levels = torch.cat([level for i in range(8) if (level := made.at(i).conditioning.low_res_logsnr) is not None])
    assert len(levels) == 32 and levels.min() >= -1e-6 and levels.max() > 2
    noisy = made.stage.model_copy(update={"sampling": SamplingSpec(low_res_logsnr=-1.0)})
    cascade = CascadeSpec(name="one", text=t5, stages=(stage("base"), stage("tsr1"), noisy))
    with pytest.raises(ValueError, match=r"training.ssr1.augment: .* = -1 falls into, got 0.5, which ends at"):
        Recipe(name="one", cascade=cascade, training={"ssr1": made.spec})


def test_one_crop_for_a_clip_and_for_what_it_is_made_from(t5: T5, cache: Path) -> None:
    batch = batches(t5, cache, "ssr1", crop=(4, 8)).at(0)
    assert batch.x.shape == (4, 3, 4, 4, 8)
    assert batch.conditioning.low_res is not None and batch.conditioning.low_res.shape == batch.x.shape


def weights(run: Run) -> dict[str, Tensor]:
    both = (("model", run.state.network), ("average", run.state.average))
    named = {f"{which}.{name}": v.clone() for which, net in both for name, v in net.state_dict().items()}
    for name, parameter in run.state.network.named_parameters():
        for optimizer in run.state.optimizers:
            state = optimizer.state.get(parameter, {})
            named |= {f"optimizer.{name}.{key}": torch.as_tensor(value).clone() for key, value in state.items()}
    return named


@pytest.mark.parametrize(("name", "optimizer"), [("base", "adamw"), ("base", "muon"), ("ssr1", "adamw")])
def test_a_resumed_training_is_the_same_bit_for_bit(
    t5: T5, cache: Path, tmp_path: Path, name: str, optimizer: str
) -> None:
    own = recipe(
        t5,
        phases=(Phase(examples=24, batch=4), Phase(examples=16, batch=3, images=0.4 if name == "base" else 0)),
        optimizer=optimizer,
    )
    whole = Run(own, name, tmp_path / "whole", CPU)
    for _ in whole.train(cache):
        pass
    broken = Run(own, name, tmp_path / "broken", CPU)
    for progress in (reports := broken.train(cache)):
        if progress.examples >= 16:
            reports.close()  # type: ignore[attr-defined]
            break
    torch.manual_seed(123)
    again = Run(own, name, tmp_path / "broken", CPU)
    assert 16 <= again.state.examples < 40
    for _ in again.train(cache):
        pass
    left, right = weights(whole), weights(again)
    assert left.keys() == right.keys()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []
    lines = [(tmp_path / where / "metrics.jsonl").read_text().splitlines() for where in ("whole", "broken")]
    examples = [[json.loads(line)["examples"] for line in file] for file in lines]
    assert examples[1] == sorted(set(examples[1])) and examples[1][-1] == examples[0][-1] == 40


def test_one_batch_is_learnt_by_heart(t5: T5, cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(t5, warm_up=0, phases=(Phase(examples=10**6, batch=4, peak=5e-3),)), "base", tmp_path, CPU)
    batch = batches(t5, cache).at(0)
    first = run._learn(batch)[0]
    for _ in range(200):
        loss = run._learn(batch)[0]
    assert loss < first / 5


def test_moving_average_of_the_weights(t5: T5, cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(t5, half_life=2, warm_up=0, phases=(Phase(examples=400, batch=4),)), "base", tmp_path, CPU)
    batch = batches(t5, cache).at(0)
    expected = {name: p.detach().clone() for name, p in run.state.average.named_parameters()}
    for _ in range(12):
        run._learn(batch)
        keep = 0.5 ** (4 / max(1.0, min(2.0, 0.1 * run.state.examples)))
        for name, parameter in run.state.network.named_parameters():
            expected[name] = keep * expected[name] + (1 - keep) * parameter.detach()
    for name, parameter in run.state.average.named_parameters():
        assert not parameter.requires_grad
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-6)


def gradients(run: Run, batch: Batch) -> dict[str, Tensor]:
    """What one step would follow, without following it."""
    seen: dict[str, Tensor] = {}

    def update(count: int) -> float:
        seen.update({name: p.grad.clone() for name, p in run.state.network.named_parameters() if p.grad is not None})
        return 0.0

    run.state.update = update  # type: ignore[assignment,method-assign]
    run._learn(batch)
    return seen


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(t5: T5, cache: Path, tmp_path: Path, parts: int) -> None:
    batch = batches(t5, cache, "ssr1").at(0)
    found = []
    for accumulate in (1, parts):
        run = Run(recipe(t5, accumulate=accumulate), "ssr1", tmp_path / str(accumulate), CPU)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in run.state.network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        found.append(gradients(run, batch))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_not_finite_changes_nothing_and_many_are_an_error(t5: T5, cache: Path, tmp_path: Path) -> None:
    run = Run(recipe(t5), "base", tmp_path, CPU)
    good = batches(t5, cache).at(0)
    bad = replace(good, x=good.x * math.nan)
    run._learn(good)
    before = weights(run)
    assert math.isnan(run._learn(bad)[0])
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.state.examples == 8
    run._learn(good)  # ends the streak
    for _ in range(run.spec.patience - 1):
        run._learn(bad)
    with pytest.raises(FloatingPointError, match=f"{run.spec.patience} times in a row"):
        run._learn(bad)


def test_a_half_written_checkpoint_is_not_one(t5: T5, cache: Path, tmp_path: Path) -> None:
    own = recipe(t5, phases=(Phase(examples=8, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    checkpoints = tmp_path / "checkpoints"
    (whole,) = find_checkpoints(checkpoints)
    assert whole.name == "000000008"
    partial = checkpoints / ".000000012.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (checkpoints / "000000016").mkdir()
    assert find_checkpoints(checkpoints) == [whole]
    assert Run(own, "base", tmp_path, CPU).state.examples == 8
    (whole / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        Run(own, "base", tmp_path, CPU)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("optimizer.safetensors", b"half"),
        ("errors.safetensors", b"half"),
        ("state.json", b"{"),
        ("state.json", b"[1]"),
        ("state.json", b"{}"),
    ],
)
def test_damage_to_a_checkpoint_is_named(t5: T5, cache: Path, tmp_path: Path, file: str, content: bytes) -> None:
    own = recipe(t5, phases=(Phase(examples=4, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    before = (tmp_path / "run.json").read_bytes()
    (tmp_path / "checkpoints/000000004" / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"000000004/{file}: "):
        Run(own, "base", tmp_path, CPU)
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("file", ["optimizer", "errors"])
def test_tensors_of_another_training_are_named(t5: T5, cache: Path, tmp_path: Path, file: str) -> None:
    own = recipe(t5, phases=(Phase(examples=4, batch=4),))
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    path = tmp_path / f"checkpoints/000000004/{file}.safetensors"
    stored = {name: value.clone() for name, value in load_file(path).items()}
    name = max(stored)
    save_file({**stored, name: torch.zeros(3, 1)}, path)
    about = json.loads((path.parent / "state.json").read_text())
    del about["files"]  # the checksums, without which it is not damage
    (path.parent / "state.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=rf"{file}\.safetensors: expected a tensor '{name}' .* got shape \(3, 1\)"):
        Run(own, "base", tmp_path, CPU)


def test_opening_a_run_clears_what_a_kill_left(t5: T5, cache: Path, tmp_path: Path) -> None:
    own = recipe(t5, phases=(Phase(examples=16, batch=4),), log_every=4)
    reports = Run(own, "base", tmp_path, CPU).train(cache)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    stale = tmp_path / "checkpoints/.000000099.partial"
    stale.mkdir()
    lines = tmp_path / "metrics.jsonl"
    with lines.open("a") as file:
        file.write('{"examples": 8, "lo')
    assert [line["examples"] for line in read_metrics(lines)] == [4]
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    assert not stale.exists()
    assert [line["examples"] for line in read_metrics(lines)] == [4, 8, 12, 16]
    lines.write_text('{"examp\n{"examples": 4}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:1: "):
        read_metrics(lines)


def test_a_run_remembers_how_it_was_gone_on_with(
    t5: T5, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = recipe(t5, phases=(Phase(examples=16, batch=4),), log_every=4)
    reports = Run(own, "base", tmp_path, CPU).train(cache)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level(logging.WARNING):
            Run(own, "base", tmp_path, CPU)
    finally:
        torch.set_num_threads(threads)
    assert f"was written with {threads} threads, not {threads + 1}" in caplog.text
    history = json.loads((tmp_path / "run.json").read_text())["history"]
    assert [(entry["examples"], entry["threads"]) for entry in history] == [(0, threads), (4, threads + 1)]
    assert history[0]["versions"]["torch"] == torch.__version__ and history[0]["command"]


class Watched(Dataset):
    """A data set that notes which threads read it."""

    def __init__(self, inner: Dataset):
        self.inner, self.threads = inner, set[int]()

    def captions(self) -> list[str]:
        return self.inner.captions()

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        self.threads.add(threading.get_ident())
        return self.inner.part(index, shape, window)

    def example(self, index: int, shape: VideoShape) -> Example:
        return self.part(index, shape, Window.whole(shape))


def test_one_thread_reads_the_data_for_batches_and_sheets(
    t5: T5, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(t5, phases=(Phase(examples=8, batch=4),), sample_every=4), "base", tmp_path, CPU)
    watched = Watched(run.spec.data.open())
    monkeypatch.setattr(type(run.spec.data), "open", lambda self: watched)
    for _ in run.train(cache):
        pass
    assert len(list((tmp_path / "samples").glob("*.png"))) == 2
    assert len(watched.threads) == 1 and threading.get_ident() not in watched.threads


def test_a_stop_during_the_last_save_still_leaves_a_checkpoint(
    t5: T5, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(t5, phases=(Phase(examples=8, batch=4),)), "base", tmp_path, CPU)
    parts = run.state.parts

    def interrupted() -> dict[str, dict[str, Tensor]]:
        assert run.stop()
        return parts()

    monkeypatch.setattr(run.state, "parts", interrupted)
    for _ in run.train(cache):
        pass
    assert find_checkpoints(tmp_path / "checkpoints") and not run.stop()


def test_only_the_newest_checkpoints_are_kept(t5: T5, cache: Path, tmp_path: Path) -> None:
    own = recipe(t5, phases=(Phase(examples=20, batch=4),), checkpoint_every=4, keep=2)
    for _ in Run(own, "base", tmp_path, CPU).train(cache):
        pass
    assert [path.name for path in find_checkpoints(tmp_path / "checkpoints")] == ["000000016", "000000020"]


def test_a_folder_holds_one_run(t5: T5, tmp_path: Path) -> None:
    Run(recipe(t5), "base", tmp_path, CPU)
    with pytest.raises(ValueError, match="is a run of stage 'base', not of 'tsr1'"):
        Run(recipe(t5), "tsr1", tmp_path, CPU)
    with pytest.raises(ValueError, match="another network"):
        Run(recipe(t5).override("base.network.embedding", 32), "base", tmp_path, CPU)


def test_recipes_name_what_they_lack(t5: T5) -> None:
    with pytest.raises(ValueError, match=r"unknown stage 'tsr2'; did you mean 'tsr1'\?"):
        recipe(t5).train_spec("tsr2")
    with pytest.raises(ValueError, match=r"unknown stage 'bas'; did you mean 'base'\?"):
        Recipe(name="tiny", cascade=recipe(t5).cascade, training={"bas": plan()})


def test_a_span_of_a_clip_and_what_it_is_made_from(t5: T5, cache: Path) -> None:
    whole, part = (batches(t5, cache, "tsr1", span=span).at(0) for span in (None, 2))
    assert part.x.shape[2] == 2 and part.conditioning.low_res is not None
    for clip, seen in zip(whole.x, part.x, strict=True):
        assert any(torch.equal(clip[:, k : k + 2], seen) for k in range(0, clip.shape[1], 2))
    with pytest.raises(ValueError, match=r"training.tsr1.span: frames 3 is no multiple of 2 up to"):
        recipe(t5).override("training.tsr1.span", 3)
