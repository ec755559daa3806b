"""Training on several grids: which clips each batch has, and that a packed batch teaches what its clips do alone."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.commands._stages import GridOptions
from zoetrope.commands.train import expect_data
from zoetrope.data.toybox import Toybox
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.models.asking import conditioning_of
from zoetrope.networks.dit import DiTConfig
from zoetrope.planning.count import flops_of
from zoetrope.planning.work import Training
from zoetrope.planning.work import training as planned
from zoetrope.schedules.linear import RectifiedFlow
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batch, Batches, BatchSlice
from zoetrope.training.grids import Grid, GridOrder
from zoetrope.training.known.independent import Independent
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.learner import Learner
from zoetrope.training.loop import Run
from zoetrope.training.packed import PackedBatch
from zoetrope.training.parallel.sharded import Sharded
from zoetrope.training.players import networks_of, players_of
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.training.state import TrainState
from zoetrope.training.walk import items

from .stages import TEXT, recipe, stage

CPU = torch.device("cpu")
OWN = VideoShape(frames=4, height=4, width=8, fps=3)
WIDE, TALL, IMAGE = (
    Grid(frames=4, height=4, width=8),
    Grid(frames=2, height=8, width=4),
    Grid(frames=1, height=8, width=8, share=2),
)
GRIDS = (WIDE, TALL, IMAGE)


def base(**fields: Any) -> StageSpec:
    network = DiTConfig(text_width=8, width=16, depth=2, head=8, fps=3)
    common: dict[str, Any] = {"schedule": RectifiedFlow(), "prediction": "flow", "sampling": SamplingSpec(steps=2)}
    return StageSpec(name="base", shape=OWN, network=network, **common | fields)


def spec(**fields: Any) -> TrainSpec:
    common: dict[str, Any] = {
        "data": Toybox(scripts=40),
        "phases": (Phase(examples=60, batch=6, peak=1e-3),),
        "warm_up": 0,
        "weight": "flow",
        "precision": "fp32",
        "grids": GRIDS,
        "sample_every": 0,
        "log_every": 12,
        "checkpoint_every": 24,
    }
    return TrainSpec(**common | fields)


def whole(**fields: Any) -> Recipe:
    cascade = CascadeSpec(name="grids", text=TEXT, stages=(base(),))
    return Recipe(name="grids", cascade=cascade, training={"base": spec(**fields)})


def batches(cache: Path, **fields: Any) -> Batches:
    made = spec(**fields)
    return Batches(stage=base(), spec=made, dataset=made.data.open(), texts=EmbeddingCache(TEXT, cache))


orders = st.builds(
    lambda parts, seed, start: GridOrder.of([size for size, _ in parts], [share for _, share in parts], seed, start),
    st.lists(st.tuples(st.integers(1, 9), st.floats(0.2, 5)), min_size=1, max_size=4),
    st.integers(0, 5),
    st.integers(0, 5),
)


@settings(deadline=None, max_examples=40)
@given(orders, st.integers(0, 300))
def test_places_are_those_that_counting_finds(order: GridOrder, within: int) -> None:
    grids = order.grids(0, within + 1)
    counted = Counter(grids[:within])
    place = order.at(within)
    assert place.tally == tuple(counted[grid] for grid in range(len(order.sizes))) and place.grid == grids[within]
    upto, units = 0, 0
    while upto + order.at(upto).left <= within:
        upto, units = upto + order.at(upto).left, units + 1
    assert place.units == units and place.left == upto + order.sizes[place.grid] - within


@settings(deadline=None, max_examples=20)
@given(orders)
def test_every_grid_has_its_share_of_the_examples(order: GridOrder) -> None:
    """Of a long stretch, up to the examples of two blocks."""
    begins = (0.0, *order.ends)
    units = [end - begin for begin, end in zip(begins, order.ends, strict=False)]
    total = sum(share * size for share, size in zip(units, order.sizes, strict=True))
    tally = order.at(50_000).tally
    block = math.ceil(2 / min(units)) * max(order.sizes)
    for count, share, size in zip(tally, units, order.sizes, strict=True):
        assert abs(count - 50_000 * share * size / total) <= 2 * block


@pytest.mark.parametrize("alike", [False, True])
def test_bucketed_batches_have_one_grid(cache: Path, alike: bool) -> None:
    source = batches(cache, same_pixels=alike)
    position, seen, steps = 0, Counter[tuple[int, ...]](), 0
    while position < 60:
        assert source.spec.steps_at(position) == steps
        batch = source.at(position)
        assert isinstance(batch, Batch) and batch.count == batch.size == source.size_at(position)
        sizes = tuple(batch.x.shape[2:])
        seen[sizes] += batch.size
        # 4 x 4 x 8 = 128 pixels, twice as many as the others have
        assert batch.size == (12 if alike and sizes != (4, 4, 8) else 6) or position + batch.size == 60
        position, steps = position + batch.size, steps + 1
    assert position == 60 and source.spec.steps_at(60) == steps
    assert set(seen) == {(4, 4, 8), (2, 8, 4), (1, 8, 8)}
    assert seen[1, 8, 8] == pytest.approx(30, abs=12)  # its share is a half


def flat(batch: Batch | PackedBatch) -> dict[int, dict[str, Tensor]]:
    """What each example of a batch is, by its place in it."""
    found = {}
    for part in batch.parts:
        tokens, mask = part.conditioning.tokens["text"].values, part.conditioning.tokens["text"].mask
        for row, place in enumerate(part.part.tolist()):
            text = tokens[row][mask[row]]
            found[place] = {"x": part.x[row], "eps": part.eps[row], "t": part.t[row], "text": text}
    return found


@pytest.mark.parametrize("how", ["bucketed", "packed"])
@pytest.mark.parametrize("world", [2, 5])
def test_shares_of_ranks_are_the_whole_batch(cache: Path, how: str, world: int) -> None:
    source = batches(cache, grid_batches=how)
    for position in (0, 12, 54):
        one = source.at(position)
        shares = [source.at(position, BatchSlice(rank, world)) for rank in range(world)]
        assert all(torch.equal(share.times, one.times) and share.size == one.size for share in shares)
        expected = flat(one)
        found = {place: values for share in shares for place, values in flat(share).items()}
        assert sorted(found) == sorted(expected) == list(range(one.size))
        for place, values in expected.items():
            assert all(torch.equal(value, found[place][name]) for name, value in values.items())
    assert source.at(0, BatchSlice(7, 8)).count == 0


def test_packed_batches_have_every_grid(cache: Path) -> None:
    source = batches(cache, grid_batches="packed")
    batch = source.at(6)
    assert isinstance(batch, PackedBatch) and batch.size == batch.count == 6 == len(batch.names)
    every = [tuple(part.x.shape[2:]) for part in batch.parts]
    assert len(every) == len(set(every)) > 1
    again = batches(cache, grid_batches="packed")
    again.at(0)
    for place, values in flat(again.at(6)).items():
        assert all(torch.equal(value, flat(batch)[place][name]) for name, value in values.items())
    some = batch.select(torch.tensor([4, 1]))
    assert some.part.tolist() == [1, 4] and some.names == (batch.names[1], batch.names[4])
    assert torch.equal(flat(some)[4]["x"], flat(batch)[4]["x"])


@pytest.mark.parametrize("how", ["bucketed", "packed"])
def test_every_clip_and_every_picture_once(cache: Path, how: str) -> None:
    """Packs of images, single pictures and appended ones are walked through on their own."""
    phases = (Phase(examples=33, batch=6, images=0.3), Phase(examples=27, batch=4, frames=1, appended=1))
    source = batches(cache, grid_batches=how, phases=phases)
    clips, pictures, position = Counter[str](), Counter[str](), 0
    while position < source.spec.examples:
        size = source.size_at(position)
        draw = torch.Generator().manual_seed(0)
        phase = source.spec.phase_at(position)[0]
        for item in items(source.stage, source.spec, position, size, draw):
            frames = item.shape.frames
            if item.pack or frames == 1:
                pictures.update(map(str, range(item.number, item.number + frames)))
            else:
                clips[str(item.number)] += 1
            pictures.update(map(str, range(item.pictures, item.pictures + phase.appended)))
        position += size
    for counts in (clips, pictures):
        assert sorted(map(int, counts)) == list(range(len(counts))) and set(counts.values()) == {1}
    assert len(clips) > 5 and len(pictures) > 60


def learnt(stage: StageSpec, made: TrainSpec) -> Learner:
    torch.manual_seed(0)
    networks = {name: config.build() for name, config in networks_of(stage, made).items()}
    with torch.no_grad():
        for weight in networks["student"].parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    state = TrainState(players_of(networks, stage, made, torch.float32), made)
    return Learner(stage, made, state.players, CPU)


def gradient_of(learner: Learner) -> Tensor:
    weights = learner.players["student"].network.parameters()
    found = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
    for weight in learner.players["student"].network.parameters():
        weight.grad = None
    return found


@pytest.mark.parametrize("fields", [{}, {"known": Prefix(), "grids": (WIDE, TALL)}])
def test_a_packed_batch_teaches_what_its_clips_do_alone(cache: Path, fields: dict[str, Any]) -> None:
    source = batches(cache, grid_batches="packed", **fields)
    learner, batch = learnt(source.stage, source.spec), source.at(0)
    errors = learner.gradients("student", batch, 1)
    together = gradient_of(learner)
    alone = torch.zeros(batch.size)
    for part in batch.parts:
        alone += learner.gradients("student", part, 1)
    torch.testing.assert_close(errors, alone, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(together, gradient_of(learner), rtol=1e-3, atol=1e-5)
    assert errors.all() and together.abs().max() > 1e-3
    divided = learnt(source.stage, source.spec.with_(accumulate=3))
    torch.testing.assert_close(divided.gradients("student", batch, 1), errors, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient_of(divided), together, rtol=1e-3, atol=1e-5)


def test_networks_are_told_when_frames_are_seen(cache: Path) -> None:
    slow = WIDE.with_(fps=1.5)
    timed = batches(cache, grids=(slow, TALL), phases=(Phase(examples=60, batch=4),))
    seen = dict[tuple[int, ...], Tensor]()
    for position in range(0, 40, 4):
        batch = timed.at(position)
        assert isinstance(batch, Batch) and batch.conditioning.times is not None
        seen[tuple(batch.x.shape[2:])] = batch.conditioning.times[0]
    assert seen[4, 4, 8].tolist() == pytest.approx([0, 2 / 3, 4 / 3, 2])
    assert seen[2, 8, 4].tolist() == pytest.approx([0, 1 / 3])
    one = base().on(OWN.with_(fps=6))
    for made in (one, one.with_(grids=(OWN,))):
        told = conditioning_of(made, {}, 2).times
        assert told is not None and told.shape == (2, 4) and told[1].tolist() == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2])
    unet = stage("base")
    assert unet.network.inner.kind() == "video_unet" and conditioning_of(unet, {}, 2).times is None


@pytest.mark.parametrize("known", [None, Prefix()])
def test_a_transformer_is_told_seconds_without_grids_too(cache: Path, known: Prefix | None) -> None:
    """Of clips with fewer frames, of other rates, and of frames that are given: those that sampling tells."""
    phases = (Phase(examples=8, batch=4, frames=2), Phase(examples=8, batch=4), Phase(examples=8, batch=4, frames=1))
    made = batches(cache, grids=(), phases=phases, known=known)
    for position, apart in ((0, 2 / 3 if known is None else 1 / 3), (8, 1 / 3)):
        batch = made.at(position)
        assert isinstance(batch, Batch) and batch.conditioning.times is not None
        gaps = batch.conditioning.times.diff()
        assert torch.allclose(gaps, torch.full_like(gaps, apart)) and len(gaps) == 4
    sampled = conditioning_of(base(), {}, 4).times
    assert sampled is not None and torch.equal(sampled, batch.conditioning.times)
    rated = batches(cache, grids=(), phases=(Phase(examples=40, batch=20, rates=(3.0, 1.5)),)).at(0)
    assert isinstance(rated, Batch) and rated.conditioning.times is not None
    assert set(rated.conditioning.times[:, -1].tolist()) == {1.0, 2.0}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize("world", [1, 4])
def test_which_examples_have_one_level_is_told_whatever_the_grids_and_shares(
    cache: Path, order: tuple[int, ...], world: int
) -> None:
    known = KnownMixture(parts=(KnownPart(known=Independent()), KnownPart(known=NoKnown())))
    source = batches(cache, grids=tuple(GRIDS[place] for place in order), grid_batches="packed", known=known)
    for position in range(0, 60, 6):
        shares = [source.at(position, BatchSlice(rank, world)) for rank in range(world)]
        told = [share.one_level for share in shares]
        assert told[0] is not None and all(each is not None and torch.equal(each, told[0]) for each in told)
        parts = [part for share in shares if isinstance(share, PackedBatch) for part in share.parts if part.count]
        for part in parts:
            for row, place in enumerate(part.part.tolist()):
                apart = len(set(part.frame_t[row].tolist())) > 1
                assert not (apart and told[0][place])


@pytest.mark.parametrize("how", ["bucketed", "packed"])
def test_a_run_is_resumed_bit_for_bit(tmp_path: Path, cache: Path, how: str) -> None:
    def train(name: str, until: int | None = None) -> Run:
        run = Run(whole(grid_batches=how, balance=True), "base", tmp_path / name, CPU)
        reports = run.train(cache)
        for progress in reports:
            if until is not None and progress.examples >= until:
                reports.close()  # type: ignore[attr-defined]
                break
        return run

    one = train("whole")
    train("parts", until=24)
    other = train("parts")
    assert one.state.examples == other.state.examples == 60
    pairs = zip(one.state.network.parameters(), other.state.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(line["loss"]) for line in lines)


def test_plans_count_every_grid() -> None:
    """A bucketed step costs the mean over the grids, and so does a packed one, up to rounding of its parts."""
    stage = base()

    def cost(**fields: Any) -> Training:
        return planned(stage, spec(**fields), torch.float32)

    phases = (Phase(examples=64, batch=8),)
    each = [cost(grids=(grid,), phases=phases) for grid in GRIDS]
    expected = each[0].flops / 4 + each[1].flops / 4 + each[2].flops / 2
    bucketed, packed = cost(phases=phases), cost(phases=phases, grid_batches="packed")
    assert bucketed.flops == pytest.approx(expected, rel=1e-12)
    assert bucketed.peak == max(one.peak for one in each)
    assert packed.flops == pytest.approx(expected, rel=0.03)
    assert min(one.peak for one in each) < packed.peak < 1.3 * bucketed.peak
    alike = cost(phases=phases, same_pixels=True)
    assert alike.flops == pytest.approx(expected, rel=0.05)
    assert flops_of(alike.phases[1][1]) == pytest.approx(2 * flops_of(bucketed.phases[1][1]), rel=0.05)
    assert TrainSpec.from_json(spec().to_json()) == spec()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"grids": (Grid(frames=4, height=5, width=8),)},
            "grids.0: 4x5x8@3fps: height: expected a multiple of 2, got 5",
        ),
        ({"grids": (WIDE, WIDE.with_(share=2))}, "grids.1: expected every grid once, got 4x4x8@3fps twice"),
        ({"phases": (Phase(examples=4, frames=2),)}, "phases: expected frames 1 or none with grids"),
        ({"grid_batches": "packed", "same_pixels": True}, "same_pixels: expected false for packed batches"),
        (
            {"grid_batches": "packed", "parallel": Sharded()},
            "parallel: expected 'replicated' for packed",
        ),
        ({"grids": (), "same_pixels": True}, "grids: expected some for same_pixels"),
        ({"known": Prefix(most=3)}, "grids.1: 2x8x4@3fps: most: expected fewer than the clip's 2 frames, got 3"),
    ],
)
def test_what_cannot_be_trained(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        whole(**fields)
    assert f"training.base.{message}" in str(error.value)


def test_stages_that_have_no_grids() -> None:
    with pytest.raises(ValueError, match=r"training\.tsr1\.grids: expected none for a stage with a source"):
        made = recipe()
        made.with_(training={"tsr1": made.train_spec("tsr1").with_(grids=(WIDE,))})
    own = stage("base")
    made = Recipe(name="unet", cascade=CascadeSpec(name="unet", text=TEXT, stages=(own,)), training={"base": spec()})
    with pytest.raises(ValueError, match=r"expected 'bucketed' for 'video_unet', which takes one grid .*; dit packs"):
        made.override("base.training.grid_batches", "packed")


def test_models_know_the_grids_of_their_training() -> None:
    made = whole()
    shapes = tuple(grid.shape(OWN) for grid in GRIDS)
    assert made.cascade.stage("base").grids == shapes
    again = Recipe.from_json(json.dumps(made.to_json()))
    assert again == made and again.to_json() == made.to_json()
    fewer = made.override("base.training.grids", [WIDE.to_json()])
    assert fewer.cascade.stage("base").grids == shapes[:1]
    own = made.with_(training={})
    assert own.cascade.stage("base").grids == shapes  # as trained before
    assert recipe().cascade.stage("base").grids == ()
    with pytest.raises(ValueError, match=r"base\.training\.grids says on which grids it is trained"):
        GridOptions(size="8x8").of(made)


def test_data_are_expected_on_every_grid() -> None:
    long = Grid(frames=400, height=4, width=8)
    with pytest.raises(ValueError, match=r"its clips last up to 5\.33 s, not 133\.33 s"):
        expect_data(whole(grids=(WIDE, long)), "base")
    expect_data(whole(known=Prefix(), grids=(WIDE, TALL)), "base")
