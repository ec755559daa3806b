"""Known frames in training: which they are, what becomes of the loss, and that networks learn from them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.distillation import TimeGrid
from zoetrope.known.learnt import Learnt
from zoetrope.models.asking import conditioning_of
from zoetrope.recipes import load_recipe
from zoetrope.training.batch import Batch, BatchSlice
from zoetrope.training.known import KnownFrames
from zoetrope.training.known.any import AnyFrames, spaced
from zoetrope.training.known.every import EveryNth
from zoetrope.training.known.independent import Independent
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.learner import lesson_of, loss_of
from zoetrope.training.loop import Run
from zoetrope.training.objectives import STUDENT, TEACHER, Teacher
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.objectives.halve import Halve
from zoetrope.training.spec import Phase

from .stages import batches, recipe, stage
from .test_unpaired import RatedText

CPU = torch.device("cpu")
BOTH = KnownMixture(parts=(KnownPart(known=AnyFrames()), KnownPart(known=Independent(), weight=2)))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_four(cache: Path, known: KnownFrames | None, **fields: Any) -> Batch:
    """A batch of four clips of four frames, of the stage that has so many."""
    phases = (Phase(examples=400, batch=8, **fields),)
    made = batches(cache, "base", known=known, phases=phases)
    own = replace(made, stage=made.stage.on(made.stage.shape.with_(frames=4, fps=6)))
    return own.at(0)


@drawn(st.integers(1, 24), st.integers(0, 200), st.integers(0, 2**31))
def test_evenly_spaced_frames_lie_in_the_clip(room: int, more: int, seed: int) -> None:
    frames = spaced(room, room + more, generator(seed))
    assert 1 <= len(frames) <= room and frames.min() >= 0 and frames.max() < room + more
    steps = frames.diff()
    assert (steps >= 1).all() and (not len(steps) or steps.max() - steps.min() <= 1)


@drawn(st.integers(2, 20), st.integers(0, 100), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 2**31))
def test_any_frames_given_any_others(room: int, more: int, share: float, seed: int) -> None:
    shown = AnyFrames(length=room + more, share=share).shown(room, room, generator(seed))
    assert 1 <= len(shown.frames) <= room and shown.length == room + more
    assert (shown.frames.diff() > 0).all() and shown.frames[0] >= 0 and shown.frames[-1] < room + more
    assert not shown.known.all() and (share > 0 or not shown.known.any())


def test_scales_are_uniform_in_their_logarithm() -> None:
    """Of two frames among 1000 the distance is exp(u log(1000 / 1.001)): half of them are below its square root."""
    pairs = [spaced(2, 1000, generator(seed)) for seed in range(2000)]
    distances = torch.stack([pair for pair in pairs if len(pair) == 2]).diff().squeeze(1)
    assert len(distances) == pytest.approx(1000, abs=70)
    assert float((distances <= 31).double().mean()) == pytest.approx(0.5, abs=0.05)
    assert float((distances <= 177).double().mean()) == pytest.approx(0.75, abs=0.05)


def test_a_prefix_has_every_length_alike() -> None:
    counts = torch.tensor([int(Prefix().shown(4, 4, generator(n)).known.sum()) for n in range(900)])
    assert counts.unique().tolist() == [1, 2, 3]
    assert ((counts[:, None] == torch.arange(1, 4)).sum(0) - 300).abs().max() < 3 * 14.2
    assert int(Prefix(most=1).shown(4, 4, generator(0)).known.sum()) == 1
    assert not Prefix().shown(1, 4, generator(0)).known.any()


def test_every_nth_frame_is_known_and_n_is_random() -> None:
    made = [EveryNth(skips=(2, 5)).shown(16, 16, generator(seed)) for seed in range(400)]
    every = Counter(tuple(shown.known.nonzero()[:, 0].tolist()) for shown in made)
    assert every.keys() == {tuple(range(0, 16, 2)), (0, 5, 10, 15)} and min(every.values()) > 150
    assert all(shown.frames.tolist() == [*range(16)] and not shown.independent for shown in made)
    with pytest.raises(ValueError, match=r"skips: expected fewer than the clip's 4 frames, got 5"):
        EveryNth(skips=(2, 5)).check(4, False)


def test_without_known_frames_clips_are_spread_over_their_seconds() -> None:
    assert NoKnown().shown(4, 16, generator(0)).frames.tolist() == [0, 4, 8, 12]


def test_known_frames_are_clean_and_have_no_loss(cache: Path) -> None:
    batch = of_four(cache, Prefix())
    assert batch.known is not None and batch.counted is not None and batch.conditioning.times is not None
    assert torch.equal(batch.counted, ~batch.known) and batch.known[:, 0].all() and not batch.known[:, -1].any()
    assert torch.equal(batch.conditioning.times, (torch.arange(4) / 6).expand(8, -1))
    own = stage("base")
    spec = batches(cache).spec
    question = Denoising().question(own, lesson_of(batch, spec, CPU))
    z = question.z.transpose(1, 2)
    assert torch.equal(z[batch.known], batch.x.transpose(1, 2)[batch.known])
    assert not torch.equal(z[~batch.known], batch.x.transpose(1, 2)[~batch.known])

    def loss(x: Tensor) -> Tensor:
        return loss_of(lambda z, logsnr, given: 0 * z, replace(batch, x=x), own, spec, CPU)

    everywhere, elsewhere = batch.x.clone(), batch.x.clone()
    everywhere[:, :, 0], elsewhere[:, :, 3] = 0.25, 0.25
    assert torch.equal(loss(everywhere), loss(batch.x))
    assert ((loss(elsewhere) - loss(batch.x)).abs() > 1e-4).all()


def test_the_loss_is_the_mean_over_frames_that_are_not_known(cache: Path) -> None:
    batch, spec, own = of_four(cache, Prefix()), batches(cache).spec, stage("base")
    assert batch.counted is not None
    level = own.schedule(batch.t)
    alpha, sigma = (value.float()[:, None, None, None, None] for value in level[:2])
    squares = (alpha * batch.eps - sigma * batch.x).square().mean((1, 3, 4))
    expected = (squares * batch.counted).sum(1) / batch.counted.sum(1)
    got = loss_of(lambda z, logsnr, given: 0 * z, batch, own, spec, CPU)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("own", [None, 3.0, 8.0])
def test_sampling_tells_when_frames_are_seen_as_training_did(cache: Path, own: float | None) -> None:
    """So that a network places frames in both alike, whatever the rate that it counts positions in."""
    plain = stage("base").on(stage("base").shape.with_(frames=4, fps=3))
    network = plain.network.with_(fps=own)  # type: ignore[call-arg]
    learnt = plain.with_(network=network, sampling=plain.sampling.with_(known=Learnt()))
    times = conditioning_of(learnt, {}, 2).times
    assert (times is None) == (own != 8.0)
    if times is not None:
        taught = replace(batches(cache, "base", known=NoKnown()), stage=learnt).at(0).conditioning.times
        assert taught is not None and torch.equal(times, taught[:2])
    assert conditioning_of(learnt.with_(sampling=plain.sampling), {}, 2).times is None


def test_frames_from_a_long_clip_are_those_of_the_data(cache: Path) -> None:
    phases = (Phase(examples=400, batch=8),)
    made = batches(cache, "base", known=AnyFrames(length=16), phases=phases)
    batch = replace(made, stage=made.stage.on(made.stage.shape.with_(frames=4))).at(0)
    assert batch.conditioning.times is not None and batch.counted is not None
    clip = made.stage.shape.with_(frames=16)
    alone = batch.conditioning.images
    numbers = (batch.conditioning.times * 3).round().long()
    assert alone is None or alone.shape == (8, 4)
    for row in range(8):
        real = torch.ones(4, dtype=torch.bool) if alone is None else ~alone[row]
        whole = made.dataset.example(row, clip).video
        assert torch.equal(batch.x[row][:, real], whole[:, numbers[row][real]])
        assert batch.counted[row].any() and not batch.counted[row][~real].any()
    assert len({tuple(row) for row in numbers.tolist()}) > 4


def test_frames_of_another_clip_fill_the_room(cache: Path) -> None:
    found = [of_four(cache, AnyFrames(length=16, share=share)).conditioning.images for share in (0.2, 0.5, 0.8)]
    alone = torch.cat([images for images in found if images is not None])
    assert alone.any() and not alone[:, 0].any() and (alone[:, 1:] >= alone[:, :-1]).all()


def test_every_frame_has_its_own_level(cache: Path) -> None:
    batch = of_four(cache, Independent())
    assert batch.one_level is not None and not batch.one_level.any()
    assert ((batch.frame_t.diff(dim=1).abs() > 1e-9).all()) and 0 <= batch.frame_t.min() < batch.frame_t.max() < 1
    level = Denoising().question(stage("base"), lesson_of(batch, batches(cache).spec, CPU)).level
    torch.testing.assert_close(level.logsnr, stage("base").schedule(batch.frame_t).logsnr)


@pytest.mark.parametrize("known", [Prefix(), AnyFrames(), EveryNth(skips=(2, 3)), BOTH])
@pytest.mark.parametrize("fields", [{}, {"images": 0.25}, {"appended": 2}])
def test_a_batch_with_known_frames_is_the_sum_of_its_shares(
    cache: Path, known: KnownFrames, fields: dict[str, Any]
) -> None:
    made = batches(cache, "base", known=known, phases=(Phase(examples=400, batch=6, **fields),))
    made = replace(made, stage=made.stage.on(made.stage.shape.with_(frames=4)))
    whole = made.at(6)
    for rank in range(2):
        part = made.at(6, BatchSlice(rank, 2))
        rows = torch.arange(rank, 6, 2)
        assert torch.equal(part.x, whole.x[rows]) and torch.equal(part.frame_t, whole.frame_t[rows])
        for name in ("known", "counted"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rows])
        assert torch.equal(part.one_level, whole.one_level)  # type: ignore[arg-type]
        assert part.select(torch.tensor([2])).names == (whole.names[rows[2]],)


def test_packs_among_clips_with_known_frames_are_all_learnt(cache: Path) -> None:
    batch = of_four(cache, Prefix(), images=0.5)
    images, counted, known = batch.conditioning.images, batch.counted, batch.known
    assert images is not None and counted is not None and known is not None
    packs = images.all(1)
    assert int(packs.sum()) == 4 and counted[packs].all() and not known[packs].any()


@pytest.mark.parametrize("known", [None, Prefix()])
def test_images_are_appended_to_clips(cache: Path, known: KnownFrames | None) -> None:
    batch = of_four(cache, known, appended=2)
    assert batch.x.shape[2] == 6
    images = batch.conditioning.images
    assert images is not None and images[:, 4:].all() and not images[:, :4].any()
    assert batch.counted is None or batch.counted[:, 4:].all()
    text = batch.conditioning.tokens["text"]
    assert text.values.shape[:2] == (8, 6)
    videos = batch.x[:, :, 4:].transpose(1, 2).flatten(0, 1)
    assert len({tuple(video.flatten().tolist()[:40]) for video in videos}) == 16  # no picture occurs twice
    plain = of_four(cache, known)
    assert torch.equal(plain.x, batch.x[:, :, :4])


def test_halving_with_known_frames(cache: Path) -> None:
    """Where frames are known, the target does not depend on the teacher; elsewhere it is that of a clip."""
    own = stage("base")
    spec, batch = batches(cache).spec, of_four(cache, BOTH)
    objective = Halve(teacher=Teacher(network=own.network, weights="unused"), steps=4)
    output = torch.randn_like(batch.x, requires_grad=True)
    players = {STUDENT: lambda z, logsnr, given: output, TEACHER: lambda z, logsnr, given: 0.1 * z}
    lesson = lesson_of(batch, spec, CPU)
    errors = objective(own, lesson, players)
    assert errors.shape == (8, 4) and errors.isfinite().all()
    assert batch.counted is not None and not errors[~batch.counted].any() and (errors[batch.counted] > 0).all()
    (gradient,) = torch.autograd.grad(errors.sum(), output)
    assert gradient.isfinite().all() and not gradient.transpose(1, 2)[~batch.counted].any()
    places = TimeGrid(4, False).place(batch.frame_t)
    plain = lesson._replace(known=None, counted=None, u=batch.frame_t)
    levels = objective.question(own, plain, players[TEACHER]).level
    torch.testing.assert_close(levels.logsnr, own.schedule(places / 8).logsnr)


@pytest.mark.parametrize(
    "known",
    [
        NoKnown(),
        Prefix(),
        EveryNth(skips=(2, 3)),
        Independent(),
        KnownMixture(parts=(KnownPart(known=NoKnown()), KnownPart(known=Prefix()))),
        AnyFrames(),
        AnyFrames(length=40),
        Independent(of=AnyFrames()),
        BOTH,
    ],
)
def test_which_kinds_show_frames_at_equal_distances(known: KnownFrames) -> None:
    """Of a clip of 16 frames, as many as examples have room for; others are filled with those of another clip."""
    shown = [known.shown(room, 16, generator(seed)).frames for room in (4, 8, 16) for seed in range(40)]
    gaps = [set(frames.diff().tolist()) for frames in shown]
    full = all(len(frames) == room for frames, room in zip(shown, [4] * 40 + [8] * 40 + [16] * 40, strict=True))
    assert known.even(8, 16) == (full and all(len(each) == 1 for each in gaps))
    odd = [known.shown(12, 16, generator(seed)).frames for seed in range(40)]
    assert known.even(12, 16) == all(len(each) == 12 and len(set(each.diff().tolist())) == 1 for each in odd)


def test_what_cannot_be_learnt() -> None:
    with pytest.raises(ValueError, match=r"training.tsr1.known: expected frames in a row for a stage with a source"):
        recipe().override("training.tsr1.known", {"type": "any"})
    with pytest.raises(ValueError, match=r"training.base: known: of: length: expected at least 2"):
        recipe().override("training.base.known", {"type": "independent", "of": {"type": "any", "length": 1}})
    for uneven in (AnyFrames(), BOTH, Independent(of=AnyFrames())):
        for temporal in ("attention", "convolution"):
            own = recipe().cascade.stages[0].network.levels  # type: ignore[attr-defined]
            levels = [level.with_(temporal=(temporal,)).to_json() for level in own]
            changes = {"base.network.levels": levels, "training.base.known": uneven.to_json()}
            if temporal == "attention":
                recipe().overridden(changes)
                continue
            with pytest.raises(ValueError, match=rf"base.known: expected frames at equal .* got {uneven.kind()!r}"):
                recipe().overridden(changes)
    for patch in (1, 2):  # frames that share a patch lie in it as if evenly spaced
        text = recipe().cascade.stages[0].network.text_width
        network = {"type": "dit", "text_width": text, "width": 16, "head": 8, "depth": 1, "patch": [patch, 2, 2]}
        made = recipe().override("base.network", network)
        made.override("training.base.known", Prefix().to_json())
        if patch == 1:
            made.override("training.base.known", AnyFrames().to_json())
            continue
        with pytest.raises(
            ValueError, match=r"base.known: expected frames at equal .* patches of several frames\), got"
        ):
            made.override("training.base.known", AnyFrames().to_json())
    frames_of = [{"examples": 8, "batch": 2, "frames": frames} for frames in (4, 12)]
    message = r"training.base.phases.1.frames: expected .*, 1, 2, 4, 8, 16, for the network mixes .*, got 12"
    with pytest.raises(ValueError, match=message):
        load_recipe("video_ldm").override("base.training.phases", frames_of)
    load_recipe("video_ldm").overridden({"base.training.phases": frames_of, "base.training.known": None})
    load_recipe("mini").override("base.training.phases", frames_of)  # attention sees when frames are
    with pytest.raises(ValueError, match=r"training.base.known: most: expected fewer than the clip's 2 frames, got 2"):
        recipe().override("training.base.known", {"type": "prefix", "most": 2})
    with pytest.raises(ValueError, match=r"training.ssr1.phases: .* set appended to 0"):
        recipe().override("training.ssr1.phases.0.appended", 1)


def test_a_stage_with_a_source_learns_from_the_frames_that_it_gives(cache: Path) -> None:
    batch = batches(cache, "tsr1", known=Prefix()).at(0)
    assert batch.known is not None and batch.known[:, 0].all() and batch.conditioning.times is None
    assert torch.equal(batch.x, batches(cache, "tsr1").at(0).x)


def test_data_without_long_clips_show_frames_of_their_own(cache: Path) -> None:
    """Toybox's usual clips last for 5.3 s: 16 frames at 3 fps."""
    known = KnownMixture(parts=(KnownPart(known=AnyFrames(length=180)), KnownPart(known=Independent())))
    short = batches(cache, "base", known=known)
    shorter = known.with_(parts=(KnownPart(known=AnyFrames()), known.parts[1]))
    assert short.known_in(short.stage.shape) == shorter
    assert [torch.equal(short.at(8).x, batches(cache, "base", known=one).at(8).x) for one in (shorter, known)] == [
        True,
        True,
    ]
    long = batches(cache, "base", known=known, data=Toybox(scripts=3, long=True))
    assert long.known_in(long.stage.shape) == known


def test_a_part_of_a_clip_of_a_stage_with_a_source_is_told_its_own_rate(cache: Path) -> None:
    """Frames of a span follow each other at the stage's rate, whatever kind says which are known."""
    for known in (NoKnown(), Independent(), Prefix()):
        made = batches(cache, "tsr1", known=known, span=2, phases=(Phase(examples=8, batch=4),))
        made = replace(made, stage=made.stage.with_input(RatedText()))
        batch = made.at(0)
        assert isinstance(batch, Batch) and batch.x.shape[2] == 2
        assert batch.conditioning.numbers["rate"].tolist() == [made.stage.shape.fps] * 4


def test_a_training_says_that_balance_has_no_effect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone, mixed = Independent(), KnownMixture(parts=(KnownPart(known=Independent()), KnownPart(known=Prefix())))
    for name, known, balance in (("one", alone, True), ("two", mixed, True), ("no", alone, False)):
        caplog.clear()
        whole = recipe()
        made = whole.with_(training={"base": whole.training["base"].with_(known=known, balance=balance)})
        Run(made, "base", tmp_path / name, CPU)
        assert ("base: balance has no effect" in caplog.text) == (name == "one")
