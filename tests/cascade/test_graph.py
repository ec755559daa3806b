"""A cascade as a graph: which stage reads which, by name, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.graph import expect_chain, with_vectors
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.start import Start, entries, stages_after
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.cascade.upscaling import upscaling
from zoetrope.cascade.windows import Windows
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.low_res import LowRes
from zoetrope.inputs.picture import Picture
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network, NetworkConfig
from zoetrope.networks.vector import VectorConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape

POINT = VideoShape(frames=1, height=1, width=1, fps=1)
BASE = VideoShape(frames=2, height=8, width=8, fps=2)
LARGE = VideoShape(frames=2, height=16, width=16, fps=2)
LEVELS = (Level(width=8, temporal=("convolution",)),)


def prior(name: str = "prior", width: int = 128, inputs: tuple[Any, ...] = (), **fields: Any) -> StageSpec:
    return StageSpec(
        name=name,
        shape=POINT,
        inputs=inputs,
        network=VectorConfig(channels=width, text_width=None, width=16, depth=1, **fields),
        sampling=SamplingSpec(steps=2, threshold=None),
    )


def unet(**fields: Any) -> VideoUNetConfig:
    return VideoUNetConfig(text_width=None, embedding=16, head=8, levels=LEVELS, **fields)


def decoder(of: str | None = "prior", name: str = "base") -> StageSpec:
    return StageSpec(
        name=name,
        shape=BASE,
        inputs=(Picture(of=of),),
        network=unet(picture_width=128),
        sampling=SamplingSpec(steps=2),
    )


def larger(name: str, of: str | None) -> StageSpec:
    return StageSpec(
        name=name,
        shape=LARGE,
        inputs=(LowRes(shape=BASE, of=of),),
        network=unet(low_res=True),
        sampling=SamplingSpec(steps=2),
    )


def cascade(*stages: StageSpec) -> CascadeSpec:
    return CascadeSpec(name="graph", stages=stages)


def random_network(stage: StageSpec) -> Network:
    torch.manual_seed(len(stage.name))
    made = stage.network.build().eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made


def names(stages: Any) -> list[str]:
    return [stage.name for stage in stages]


def test_it_comes_back_from_json_and_says_what_makes_videos() -> None:
    spec = cascade(prior(), decoder(), larger("one", None), larger("two", "base"))
    assert CascadeSpec.from_json(spec.to_json()) == spec
    assert names(spec.videos) == ["base", "one", "two"]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((prior(), decoder("prio")), "base.*unknown stage 'prio'; did you mean 'prior'"),
        ((decoder(), prior()), "expected a stage before it, got 'prior', which runs after it"),
        ((prior(width=64), decoder()), "vectors of width 128, as its encoder does, got 'prior' of width 64"),
        ((decoder(None), larger("two", "bas")), "unknown stage 'bas'; did you mean 'base'"),
        ((decoder(None), decoder("base", "more")), "makes vectors of width 128, got 'base', which makes 2x8x8"),
        ((decoder(None), larger("one", None), larger("two", None)), "expects 2x8x8@2fps, but 'one' makes 2x16x16"),
        (
            (
                prior("a", inputs=(Picture(of="b"),), picture_width=128),
                prior("b", inputs=(Picture(of="a"),), picture_width=128),
                decoder("b"),
            ),
            "expected a stage that does not read 'a' itself, got 'b'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(stages: tuple[StageSpec, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cascade(*stages)


def test_embeddings_are_not_clipped() -> None:
    with pytest.raises(ValueError, match=r"threshold: expected null, vectors have no range, got static"):
        prior().with_(sampling=SamplingSpec())


def test_a_network_of_another_width_than_its_picture_encoder() -> None:
    with pytest.raises(ValueError, match=r"picture_width: expected 128, the width of its input 'picture', got 64"):
        decoder().with_(network=unet(picture_width=64))


def test_a_prior_runs_where_its_vectors_are_read() -> None:
    spec = cascade(prior(), decoder(), larger("one", None))
    assert names(stages_after(spec, None, None)) == ["prior", "base", "one"]
    assert names(stages_after(spec, None, "base", ["picture"])) == ["base"]
    assert names(stages_after(spec, "base", None)) == ["one"]
    assert names(stages_after(spec, None, "prior")) == ["prior"]
    assert names(with_vectors(spec.stages, spec.stages[1:])) == ["prior", "base", "one"]


def test_each_stage_is_given_what_the_one_that_it_names_made() -> None:
    """By a network that records what it is told: the second enlarging stage reads the base, not its neighbour."""
    spec = cascade(prior(), decoder(), larger("one", None), larger("two", "base"))
    seen: dict[str, Conditioning] = {}

    def load(stage: StageSpec) -> Network:
        made = random_network(stage)
        made.register_forward_pre_hook(lambda module, given: seen.__setitem__(stage.name, given[2]))
        return made

    made: dict[str, Tensor] = {}
    for now in Cascade(spec, load).stream(None, seed=3):
        made[now.stage] = now.x_hat
    assert list(made) == ["prior", "base", "one", "two"] and made["prior"].shape == (1, 128, 1, 1, 1)
    told = seen["base"].tokens["picture"]
    assert told.mask.all() and torch.equal(told.values[:, 0], made["prior"].flatten(1))
    assert torch.equal(seen["two"].maps["low_res"], seen["one"].maps["low_res"])
    start = torch.rand(1, 3, 2, 8, 8)
    run = Cascade(spec, load)
    again = [now.stage for now in run.stream(None, start=Start(stage="base", video=start)) if now.done]
    assert again == ["one", "two"]
    torch.testing.assert_close(seen["two"].maps["low_res"].mean(), start.mean(), atol=0.1, rtol=0)


def test_a_start_is_of_a_video_that_the_stages_after_it_read() -> None:
    run = Cascade(cascade(prior(), decoder(), larger("one", None), larger("two", "base")), random_network)
    assert names(entries(run.spec, None, None)) == ["base"] and names(entries(run.spec, None, "one")) == ["base"]
    with pytest.raises(ValueError, match="after: expected 'base', whose video stage 'two' reads, got 'one'"):
        next(run.stream(None, start=Start(stage="one", video=torch.zeros(1, 3, 2, 16, 16))))
    with pytest.raises(ValueError, match=r"after: expected a stage that makes videos \(base, one, two\), got 'prior'"):
        next(run.stream(None, start=Start(stage="prior", video=torch.zeros(1, 128, 1, 1, 1))))
    with pytest.raises(ValueError, match=r"expected a stage that makes videos .* got 'prior', which makes vectors"):
        upscaling(run.spec, BASE, after="prior", until=None, fit="own", add_frames=False)


def test_windows_are_of_the_first_video() -> None:
    """A prior's point is no video: it has no windows, and does not count."""
    first = decoder().with_(shape=BASE.with_(frames=8))
    second = larger("one", None).with_(shape=LARGE.with_(frames=8), inputs=(LowRes(shape=BASE.with_(frames=8)),))
    made = tuned(cascade(prior(), first, second), Tuning(windows=Windows(frames=4, overlap=2)))
    found = [stage.sampling.windows for stage in made.stages]
    assert [own and (own.frames, own.overlap, own.overlap_pixels) for own in found] == [None, (4, 2, 8), (4, 2, 16)]


def test_a_picture_stands_for_the_prior() -> None:
    run = Cascade(cascade(prior(), decoder()), random_network)
    vector = torch.randn(128)
    given = [now.stage for now in run.stream(None, given={"picture": vector}) if now.done]
    assert given == ["base"]
    with pytest.raises(ValueError, match=r"picture: expected an embedding of width 128, or 1 of them, got \(64,\)"):
        next(run.stream(None, given={"picture": torch.randn(64)}))
    with pytest.raises(ValueError, match="given: unknown input 'pictur'; did you mean 'picture'"):
        next(run.stream(None, given={"pictur": vector}))


def test_vectors_are_no_videos() -> None:
    run = Cascade(cascade(prior(), decoder()), random_network)
    with pytest.raises(ValueError, match="stage 'prior' makes vectors for other stages, and no videos"):
        run.generate(None, until="prior")
    with pytest.raises(
        ValueError, match=r"enlarging: expected stages .* got 'base', whose picture another stage makes"
    ):
        expect_chain(run.spec.videos, "enlarging")


def test_another_grid_leaves_vectors_alone() -> None:
    run = Cascade(cascade(prior(), decoder()), random_network).tuned(size=(16, 16))
    assert [stage.shape.sizes for stage in run.spec.stages] == [(1, 1, 1), (2, 16, 16)]
    assert NetworkConfig.from_json(prior().network.to_json()) == prior().network
