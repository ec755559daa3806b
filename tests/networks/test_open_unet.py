"""What the levels of the U-Net may be asked for: both ways through time, frames looked at, shares, strides, no text."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.cascade.execution.tiles import best_tiles
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import SpatialAttention
from zoetrope.networks import NetworkConfig
from zoetrope.networks._unet import VideoUNet
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape

TEXT = 8
LOOKS = ("first", "first_and_previous", "all")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def awake(network: nn.Module, only: str = "") -> nn.Module:
    """The network with random weights in all that is called so."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            values = 0.3 * torch.randn(weight.shape, generator=draw)
            if only in name:
                weight.copy_(values)
    return network


def built(*levels: Level, wake: bool = True, **fields: Any) -> VideoUNet:
    config = VideoUNetConfig(**{"text_width": TEXT, "embedding": 16, "head": 8, "levels": levels} | fields)
    torch.manual_seed(0)
    made = config.build()
    return (awake(made) if wake else made).double()  # type: ignore[return-value]


def same(one: nn.Module, other: nn.Module) -> None:
    """Give one the weights of the other, where it has such."""
    theirs = other.state_dict()
    one.load_state_dict({name: theirs.get(name, value) for name, value in one.state_dict().items()})


def asked(frames: int, count: int = 2, side: int = 8, **more: Any) -> tuple[Tensor, Tensor, Conditioning]:
    text = text_given(randn(count, 3, TEXT, seed=5)) | Conditioning(**more)
    return randn(count, 3, frames, side, side), torch.linspace(-2, 2, count, dtype=torch.float64), text


def test_what_mixes_frames_was_one_name() -> None:
    old = {"attention": ("attention",), "convolution": ("convolution",), None: ()}
    for value, today in old.items():
        level = Level.from_json({"width": 8, "temporal": value})
        assert level.temporal == today and Level.from_json(level.to_json()) == level
    config = NetworkConfig.from_json({"type": "video_unet", "levels": [{"width": 32, "temporal": "attention"}]})
    assert config.levels[0].temporal == ("attention",)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match='temporal: expected "convolution", "attention" or both in this order'):
        Level(width=8, temporal=("attention", "convolution"))


def test_both_ways_through_time_work_and_learn() -> None:
    network = built(Level(width=16, spatial_attention=True, temporal=("convolution", "attention")))
    network(*asked(4)).square().mean().backward()
    learnt = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {name for name, _ in network.named_parameters() if "temporal" in name} <= learnt
    for part in ("temporal_conv.conv", "temporal_attention.out"):
        other = built(Level(width=16, spatial_attention=True, temporal=("convolution", "attention")))
        with torch.no_grad():
            for name, weight in other.named_parameters():
                if part in name:
                    weight.zero_()
            assert (other(*asked(4)) - network(*asked(4))).abs().max() > 1e-3


def looking(looks: str, **fields: Any) -> VideoUNet:
    return built(Level(width=8), Level(width=16, spatial_attention=True, text_attention=True, looks=looks), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("looks", LOOKS)
def test_looking_elsewhere_takes_no_weights(looks: str) -> None:
    own, other = looking("own"), looking(looks)
    same(other, own)
    assert other.state_dict().keys() == own.state_dict().keys()
    z, level, given = asked(4)
    still = z[:, :, :1].expand_as(z)
    for video in (z[:, :, :1], still):  # keys that are there many times leave a softmax as it is
        torch.testing.assert_close(other(video, level, given), own(video, level, given), rtol=0, atol=1e-12)
    assert (other(z, level, given) - own(z, level, given)).abs().max() > 1e-3
    texts = given.tokens["text"].each(lambda x: x[:, None].repeat_interleave(4, 1))
    packed = Conditioning(tokens={"text": texts}, images=torch.tensor([True, False]))
    mixed = other(z, level, packed)
    torch.testing.assert_close(mixed[:1], own(z, level, packed)[:1], rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed[1:], other(z, level, given)[1:], rtol=0, atol=1e-12)
    assert other.config.reach().frames is None and not other.config.reach().streams


def test_frames_looked_at() -> None:
    """Against attention written out, for each frame and the tokens of the frames that it looks at."""
    h = randn(1, 4, 2, 3, 16)
    seen = {"first": [[0]] * 4, "first_and_previous": [[0, 0], [0, 0], [0, 1], [0, 2]], "all": [[0, 1, 2, 3]] * 4}
    for looks in LOOKS:
        layer: Any = awake(SpatialAttention(16, 2, looks)).double()  # type: ignore[arg-type]
        inner = layer.norm(h)
        bias = layer._bias(2, 3, h)[0]  # (heads, HW, HW)
        for frame, frames in enumerate(seen[looks]):
            q = layer.query(inner[:, frame : frame + 1])[0, 0].flatten(0, 1).unflatten(-1, (2, 8)).transpose(0, 1)
            k, v = layer.key_value(inner)[0, frames].flatten(0, 2).unflatten(-1, (2, 2, 8)).permute(1, 2, 0, 3)
            scores = q @ k.mT / 8**0.5 + torch.cat([bias] * len(frames), -1)
            mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(1, 1, 2, 3, 16)
            torch.testing.assert_close(layer(h)[:, frame : frame + 1], layer.out(mixed), rtol=0, atol=1e-12)


def mixing(**fields: Any) -> Level:
    return Level(width=16, text_attention=True, temporal=("convolution", "attention"), join="mix", **fields)


@pytest.mark.parametrize("attends", [False, True])
def test_a_share_of_one_is_the_network_of_images(attends: bool) -> None:
    level = Level(width=16, spatial_attention=attends, text_attention=attends, temporal=("convolution", "attention"))
    video = built(level.with_(join="mix"))
    image = built(level.with_(temporal=()))
    same(image, video)
    z, levels, given = asked(4)
    with torch.no_grad():
        assert (video(z, levels, given) - image(z, levels, given)).abs().max() > 1e-3
        one = z[:, :, :1]
        assert torch.equal(video(one, levels, given), image(one, levels, given))
        packs = given.tokens["text"].each(lambda x: x[:, None].repeat_interleave(4, 1))
        packed = Conditioning(tokens={"text": packs}, images=torch.tensor([True, True]))
        torch.testing.assert_close(video(z, levels, packed), image(z, levels, given), rtol=0, atol=1e-12)
        for name, weight in video.named_parameters():
            if name.endswith("mix.logit"):
                weight.fill_(1000.0)
        torch.testing.assert_close(video(z, levels, given), image(z, levels, given), rtol=0, atol=1e-12)


def test_the_share_is_learnt_by_each_block() -> None:
    network = built(mixing(blocks=2))
    network(*asked(4)).square().mean().backward()
    shares = [weight.grad for name, weight in network.named_parameters() if name.endswith("mix.logit")]
    assert len(shares) == 2 and all(grad is not None and grad.abs().max() > 0 for grad in shares)
    with pytest.raises(ValueError, match="join: expected 'add' without anything temporal"):
        Level(width=8, join="mix")


def strided(*every: int, wake: bool = False, **fields: Any) -> VideoUNet:
    levels = [
        Level(width=8 * 2**index, text_attention=index > 0, temporal=("convolution",), every=n)
        for index, n in enumerate(every)
    ]
    return built(*levels, wake=wake, **fields)


@pytest.mark.parametrize("every", [(1, 2, 2), (2, 1, 3), (3,), (1, 4)])
def test_strides_begin_as_keeping_and_repeating(every: tuple[int, ...]) -> None:
    network, plain = strided(*every), strided(*(1 for _ in every))
    for one in (plain, network):  # all but what mixes frames, which begins at zero
        awake(one, "spatial"), awake(one, "modulation"), awake(one, "leave"), awake(one, "enter")
    same(network, plain)
    stride = network.config.strides[-1]
    z, levels, given = asked(2 * stride)
    out, like = network(z, levels, given), plain(z, levels, given)
    torch.testing.assert_close(out[:, :, ::stride], like[:, :, ::stride], rtol=0, atol=1e-12)
    assert (out - like).abs().max() > 1e-4
    network(z, levels, given).square().mean().backward()
    own = {name: weight.grad for name, weight in network.named_parameters() if name.startswith(("fewer", "more"))}
    assert own and all(grad is not None and grad.abs().max() > 0 for grad in own.values())


def test_what_crosses_no_stride_is_refused() -> None:
    network = strided(1, 2, 2)
    config = network.config
    with pytest.raises(ValueError, match="frames: expected a multiple of 4, got 7; the nearest is 8"):
        config.check(7, 8, 8)
    with pytest.raises(ValueError, match="frames: expected a multiple of 4, got 6"):
        network(*asked(6))
    with pytest.raises(ValueError, match="images: expected none, the frames of a pack cannot cross the strides"):
        network(*asked(4, images=torch.tensor([True, False])))
    assert not config.reach().streams and config.reach().every == 4


@pytest.mark.parametrize("every", [(1, 2, 2), (2, 1, 2), (1, 1, 3)])
def test_reach_counts_strides(every: tuple[int, ...]) -> None:
    """What changes a frame lies within reach, and parts that begin at multiples of the stride give what it gives."""
    network = strided(*every, wake=True)
    reach = network.config.reach()
    assert reach.frames is not None
    n = reach.every
    halo = -(-reach.frames // n) * n
    frames = 2 * halo + 3 * n
    z, levels, given = asked(frames, count=1, side=4)
    whole = network(z, levels, given)
    start, stop = halo, halo + n
    seen = slice(start - halo, stop + halo)
    part = network(z[:, :, seen], levels, given)[:, :, start - seen.start : stop - seen.start]
    torch.testing.assert_close(part, whole[:, :, start:stop], rtol=0, atol=1e-12)
    shape = VideoShape(frames=frames, height=4, width=4, fps=1)
    tiles = best_tiles(shape, reach, largest=0)
    assert len(tiles) == frames // n
    for tile in tiles:
        part = network(tile.seen.of(z), levels, given)
        torch.testing.assert_close(tile.kept.within(tile.seen).of(part), tile.kept.of(whole), rtol=0, atol=1e-12)


def test_a_level_of_noise_for_each_frame() -> None:
    levels = (Level(width=8, temporal=("convolution",)), Level(width=16, text_attention=True, spatial_attention=True))
    network = built(*levels, low_res=True, guided=True)
    z, level, given = asked(4)
    low, weight = randn(*z.shape, seed=3), torch.tensor([1.0, 2.0], dtype=torch.float64)
    numbers = {"low_res_logsnr": level + 1, "guidance": weight}
    given = given | Conditioning(maps={"low_res": low}, numbers=numbers)
    each = {name: value[:, None].expand(-1, 4) for name, value in numbers.items()}
    same_levels = network(z, level[:, None].expand(-1, 4), given | Conditioning(numbers=each))
    torch.testing.assert_close(same_levels, network(z, level, given), rtol=0, atol=1e-12)
    torch.testing.assert_close(network(z, level[:, None].expand(-1, 4), given), same_levels, rtol=0, atol=1e-12)
    still = built(*(x.with_(temporal=()) for x in levels), low_res=True, guided=True)
    own = randn(2, 4, seed=9)
    out = still(z, own, given)
    for frame in range(4):
        one = given | Conditioning(maps={"low_res": low[:, :, frame : frame + 1]})
        alone = still(z[:, :, frame : frame + 1], own[:, frame], one)
        torch.testing.assert_close(out[:, :, frame : frame + 1], alone, rtol=0, atol=1e-12)


def test_a_network_without_text_has_nothing_for_it() -> None:
    level = Level(width=16, spatial_attention=True, temporal=("attention",))
    network = built(Level(width=8), level, text_width=None)
    assert [name for name, _ in network.named_parameters() if "text" in name] == []
    z, levels, given = asked(3)
    out = network(z, levels, Conditioning())
    assert out.abs().max() > 0 and torch.equal(network(z, levels, given), out)
    assert network.config.reads == set()
    with pytest.raises(ValueError, match=r"levels\.0\.text_attention: expected false where text_width is null"):
        VideoUNetConfig(text_width=None, levels=(Level(width=32, text_attention=True),))


def test_features_can_be_steered_between_descent_and_ascent() -> None:
    """As a ControlNet does: a wrapper that adds to what each level left, and no second U-Net."""
    network = built(Level(width=8, temporal=("convolution",)), Level(width=16, text_attention=True))
    z, levels, given = asked(3)
    from zoetrope.networks import FrameChunk

    context, videos = network.context(z, levels, given), network.videos(FrameChunk(z))
    h, skips = network.descend(network.enter(videos), context)
    plain = network.answer(network.ascend(h, skips, context), context.e, videos, levels, given)
    torch.testing.assert_close(plain, network(z, levels, given), rtol=0, atol=0)
    steered = network.ascend(h + 1, [skip + randn(*skip.shape) for skip in skips], context)
    assert (network.answer(steered, context.e, videos, levels, given) - plain).abs().max() > 1e-3


def test_levels_with_a_stride_are_told_of_every_nth_frame() -> None:
    attends = Level(width=16, text_attention=True, temporal=("attention",), every=2)
    network = built(Level(width=8), attends, fps=10)
    z, level, given = asked(4)
    plain = network(z, level, given)
    per_frame = given.tokens["text"].each(lambda x: x[:, None].repeat_interleave(4, 1))
    context = Conditioning(tokens={"text": per_frame}, times=torch.arange(4).expand(2, -1) / 10)
    each = network(z, level[:, None].expand(-1, 4), context)
    torch.testing.assert_close(each, plain, rtol=0, atol=1e-12)
    slower = given | Conditioning(times=torch.arange(4).expand(2, -1) / 5)  # twice as far apart
    assert (network(z, level, slower) - plain).abs().max() > 1e-6
    with pytest.raises(ValueError, match="times: expected frames at equal distances"):
        network(z, level, given | Conditioning(times=torch.tensor([[0.0, 1.0, 3.0, 4.0]] * 2)))
