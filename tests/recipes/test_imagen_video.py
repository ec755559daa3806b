"""The recipe of the paper's size: its published table, where attention is, and passes of narrow networks."""

import math

import pytest
import torch
from torch import Tensor, nn

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.augmentation import augment
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.low_res import LowRes, low_res_given
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import SpatialAttention, TemporalAttention, TextAttention
from zoetrope.layers.convolution import TemporalConv
from zoetrope.networks import Network
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.recipes import imagen_video
from zoetrope.recipes.imagen_video import recipe
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.video.resample import upsample

# Published [Ho et al. 2022, arXiv:2210.02303, stage table]: parameters; frames, height, width and frames per second.
TABLE = {
    "base": (5.6e9, (16, 24, 40), 3),
    "tsr1": (1.7e9, (32, 24, 40), 6),
    "ssr1": (1.4e9, (32, 48, 80), 6),
    "ssr2": (1.2e9, (32, 192, 320), 6),
    "tsr2": (780e6, (64, 192, 320), 12),
    "tsr3": (630e6, (128, 192, 320), 24),
    "ssr3": (340e6, (128, 768, 1280), 24),
}
ATTENDS_TO_SPACE = {"base", "ssr1", "ssr2"}
WHOLE, NARROW = recipe().cascade, recipe(1 / 16).cascade
TOKENS = 3


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """The seven networks at their full size, without values."""
    with torch.device("meta"):
        return {stage.name: stage.network.build() for stage in WHOLE.stages}


def holders(network: Network, kind: type[nn.Module]) -> int:
    """How many layers of a kind a network has."""
    return sum(isinstance(module, kind) for module in network.modules())


def test_order_shapes_and_text() -> None:
    assert [stage.name for stage in WHOLE.stages] == list(TABLE)
    source = None
    for stage in WHOLE.stages:
        _, sizes, fps = TABLE[stage.name]
        assert (stage.shape.sizes, stage.shape.fps) == (sizes, fps)
        assert stage.shape.seconds == pytest.approx(16 / 3)
        assert stage.source == source
        source = stage.shape
    assert isinstance(WHOLE.text, T5) and WHOLE.text.width == 4096
    assert [stage.kind for stage in WHOLE.stages] == ["base", "tsr", "ssr", "ssr", "tsr", "tsr", "ssr"]


def test_parameters_are_the_published_ones(networks: dict[str, Network]) -> None:
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    for name, (published, _, _) in TABLE.items():
        assert counts[name] == pytest.approx(published, rel=0.03), name
    assert sum(counts.values()) == pytest.approx(11.6e9, rel=0.03)
    assert all(p.device.type == "meta" for network in networks.values() for p in network.parameters())


def test_the_table_of_the_recipe_is_true(networks: dict[str, Network]) -> None:
    """Each row of it: the count here, the paper's, and how far that is off."""
    rows = [line.split() for line in (imagen_video.__doc__ or "").splitlines() if line.startswith("    ")]
    told = {row[0]: row[1:] for row in rows if len(row) == 7}
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    counts["all"] = sum(counts.values())
    assert told.keys() == counts.keys()
    published = {name: row[0] for name, row in TABLE.items()} | {"all": 11.6e9}
    for name, (here, number, unit, sign, off, _) in told.items():
        assert int(here.replace(",", "")) == counts[name]
        assert float(number) * {"B": 1e9, "M": 1e6}[unit] == pytest.approx(published[name])
        assert float(sign + off) == pytest.approx(100 * (counts[name] / published[name] - 1), abs=0.05)


def test_attention_is_where_the_paper_has_it(networks: dict[str, Network]) -> None:
    for name, network in networks.items():
        assert (holders(network, TemporalAttention) > 0) is (name == "base"), name
        assert (holders(network, TemporalConv) > 0) is (name != "base"), name
        assert (holders(network, SpatialAttention) > 0) is (name in ATTENDS_TO_SPACE), name
        assert holders(network, TextAttention) > 0, name


def test_the_last_stage_is_fully_convolutional() -> None:
    """Trained on crops and run on tiles: what it makes depends on a neighbourhood alone."""
    reach = WHOLE.stage("ssr3").network.reach()
    assert reach.pixels is not None and reach.frames is not None and reach.streams
    assert reach.pixels < 768 // 2
    assert WHOLE.stage("ssr2").network.reach().pixels is None and WHOLE.stage("base").network.reach().frames is None
    crops = {name: spec.crop for name, spec in recipe().training.items()}
    assert crops.pop("ssr3") == (256, 256) and set(crops.values()) == {None}


@pytest.mark.parametrize("name", TABLE)
def test_sampling_is_the_papers(name: str) -> None:
    stage = WHOLE.stage(name)
    assert stage.prediction == "v" and stage.sampling.sampler.kind() == "ancestral"
    assert stage.sampling.steps == (256 if name == "base" else 128)
    if name in ("base", "tsr1", "ssr1"):  # up to 80x48
        assert stage.sampling.guidance == Oscillating(high=15.0, low=1.0, constant=stage.sampling.steps // 10)
    else:
        assert stage.sampling.guidance == TextGuidance(weight=6.0)
    assert stage.sampling.threshold == 0.995
    low_res = stage.input("low_res")
    assert (low_res is None) == (name == "base")
    if isinstance(low_res, LowRes):
        assert low_res.logsnr == pytest.approx(math.log(3))  # a signal-to-noise ratio of 3


def shrunken(stage: StageSpec) -> StageSpec:
    """The stage on the smallest grid on which all parts of its network have something to do."""
    assert isinstance(stage.network, VideoUNetConfig)
    pixel = stage.network.patch * 2 ** (len(stage.network.levels) - 1)
    with pytest.raises(ValueError, match=f"expected a multiple of {pixel}"):
        stage.network.check(2, pixel // 2, pixel)
    side = pixel if stage.network.reach().pixels is not None else 2 * pixel  # a pixel alone has none to attend to
    shape = VideoShape(frames=2, height=side, width=side, fps=stage.shape.fps)
    source = None
    if stage.source is not None:
        frames, height, width = (
            own * small // large
            for own, small, large in zip(shape.sizes, stage.source.sizes, stage.shape.sizes, strict=True)
        )
        source = VideoShape(frames=frames, height=height, width=width, fps=stage.source.fps)
    fields = {name: getattr(stage, name) for name in StageSpec.model_fields}
    inputs = tuple(each.on(shape, source) for each in stage.inputs)
    return StageSpec(**fields | {"shape": shape, "inputs": inputs})


def batch(stage: StageSpec, draw: torch.Generator) -> tuple[Tensor, Conditioning]:
    """Two noisy clips, one of them without text; for super-resolution with a noised video of the stage before."""
    z = torch.randn(2, 3, *stage.shape.sizes, generator=draw)
    text = torch.randn(2, TOKENS, stage.network.text_width, generator=draw)
    given = text_given(text, torch.ones(2, TOKENS, dtype=torch.bool))
    given = given.without("text", torch.tensor([False, True]))
    if stage.source is None:
        return z, given
    low_res = upsample(torch.rand(2, 3, *stage.source.sizes, generator=draw) * 2 - 1, stage.shape)
    level = torch.full((2,), math.log(3))
    low_res = augment(low_res, torch.randn(low_res.shape, generator=draw), level)
    return z, given | low_res_given(low_res, level)


@pytest.mark.parametrize("name", TABLE)
def test_every_narrow_stage_learns_with_all_its_parameters(name: str) -> None:
    stage = shrunken(NARROW.stage(name))
    draw = torch.Generator().manual_seed(0)
    network = stage.network.build()
    with torch.no_grad():
        for parameter in network.parameters():  # nothing rests at zero, where it would keep gradients from others
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.02)
    z, given = batch(stage, draw)
    out = network(z, torch.tensor([-1.0, 1.0]), given)
    assert out.shape == z.shape and out.isfinite().all()
    (out * torch.randn(out.shape, generator=draw)).sum().backward()
    for label, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), label
        assert parameter.grad.any(), label
