"""The space-time U-Net: where it starts, what may cross frames, which sizes it takes, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.anchor import anchor
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import FeedForward, TemporalAttention
from zoetrope.layers.convolution import TemporalConv, shuffle, unshuffle
from zoetrope.layers.positions import distance_buckets
from zoetrope.networks._unet import VideoUNet
from zoetrope.networks._unet_block import BlockContext
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape

WIDTH = 8  # of text


def config(temporal: str = "attention", **fields: Any) -> VideoUNetConfig:
    levels = (
        Level(width=8, temporal="convolution" if temporal == "convolution" else None),
        Level(width=16, spatial_attention=True, text_attention=True, temporal=temporal),  # type: ignore[arg-type]
    )
    return VideoUNetConfig(**{"text_width": WIDTH, "embedding": 16, "head": 8, "levels": levels} | fields)


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with random weights everywhere, so that no branch is still zero."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network


def built(temporal: str = "attention", **fields: Any) -> VideoUNet:
    """A float64 network that has left its start."""
    network = config(temporal, **fields).build()
    awake(network)
    return network.double()


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def logsnr(count: int) -> Tensor:
    return torch.linspace(-3, 3, count, dtype=torch.float64)


def text(count: int, tokens: int = 3) -> Conditioning:
    mask = torch.ones(count, tokens, dtype=torch.bool)
    mask[0, -1] = False
    return text_given(randn(count, tokens, WIDTH, seed=7), mask)


def low(video: Tensor, logsnr: Tensor) -> Conditioning:
    return Conditioning(maps={"low_res": video}, numbers={"low_res_logsnr": logsnr})


IMAGES = lambda *values: Conditioning(images=torch.tensor(values))  # noqa: E731


@pytest.mark.parametrize("low_res", [False, True])
def test_starts_at_zero_and_every_block_as_the_identity(low_res: bool) -> None:
    network = config(low_res=low_res).build()
    z, given = randn(2, 3, 4, 4, 4).float(), text(2)
    given = (given | low(z, torch.zeros(2)) if low_res else given).to(torch.device("cpu"), torch.float32)
    assert torch.equal(network(z, logsnr(2).float(), given), torch.zeros_like(z))
    h, e, tokens = torch.randn(2, 4, 4, 4, 16), torch.randn(2, 1, 16), torch.randn(2, 3, 16)
    block = network.down[1][0]
    assert torch.equal(
        block(h, BlockContext(e, tokens, torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.bool))), h
    )


@pytest.mark.parametrize("temporal", ["attention", "convolution"])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("low_res", [False, True])
def test_packed_images_are_separate_images(temporal: str, positions: bool, low_res: bool) -> None:
    network = built(temporal, positions=positions, low_res=low_res)
    b, f = 2, 3
    z, small = randn(b, 3, f, 4, 8), randn(b, 3, f, 4, 8, seed=1)
    tokens, mask = randn(b, f, 3, WIDTH, seed=2), torch.rand(b, f, 3, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[1, 1] = False  # one of them without text
    levels = logsnr(b)
    packed = text_given(tokens, mask) | IMAGES(True, True)
    alone = text_given(tokens.flatten(0, 1), mask.flatten(0, 1))
    if low_res:
        packed = packed | low(small, levels)
        alone = alone | low(small.transpose(1, 2).flatten(0, 1)[:, :, None], levels.repeat_interleave(f))
    together = network(z, levels, packed)
    apart = network(z.transpose(1, 2).flatten(0, 1)[:, :, None], levels.repeat_interleave(f), alone)
    torch.testing.assert_close(together.transpose(1, 2).flatten(0, 1)[:, :, None], apart, rtol=0, atol=1e-12)


@pytest.mark.parametrize("temporal", ["attention", "convolution"])
def test_a_pack_beside_a_clip_changes_neither(temporal: str) -> None:
    network = built(temporal, positions=True)
    z, levels = randn(2, 3, 3, 4, 4), logsnr(2)
    tokens, mask = randn(2, 3, 2, WIDTH, seed=2), torch.ones(2, 3, 2, dtype=torch.bool)
    tokens[1] = tokens[1, :1]  # a clip has one text for all its frames
    mixed = network(z, levels, text_given(tokens, mask) | IMAGES(True, False))
    clip = network(z[1:], levels[1:], text_given(tokens[1:, 0], mask[1:, 0]))
    torch.testing.assert_close(mixed[1:], clip, rtol=0, atol=1e-12)
    pack = text_given(tokens[:1], mask[:1]) | IMAGES(True)
    torch.testing.assert_close(mixed[:1], network(z[:1], levels[:1], pack), rtol=0, atol=1e-12)


def taught(network: VideoUNet, z: Tensor, levels: Tensor, given: Conditioning, weighting: Tensor) -> dict[str, Tensor]:
    """Gradients of the weighted sum of the outputs; zeros for what no output comes from."""
    network.zero_grad()
    (network(z, levels, given) * weighting).sum().backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in network.named_parameters()}


@pytest.mark.parametrize("temporal", ["attention", "convolution"])
@pytest.mark.parametrize("low_res", [False, True])
def test_packs_and_clips_in_one_batch_teach_what_they_teach_apart(temporal: str, low_res: bool) -> None:
    network = built(temporal, positions=True, low_res=low_res)
    b, f = 4, 3
    images = torch.tensor([True, False, False, True])
    z, small, weighting, levels = *(randn(b, 3, f, 4, 8, seed=seed) for seed in range(3)), logsnr(b)
    tokens, mask = randn(b, f, 2, WIDTH, seed=3), torch.ones(b, f, 2, dtype=torch.bool)
    tokens[~images] = tokens[~images, :1]  # a clip has one text for all its frames
    mask[0, 1], mask[2], mask[3, 2, 1] = False, False, False  # an image and a clip are without text

    def given(rows: Tensor) -> Conditioning:
        both = text_given(tokens[rows], mask[rows])
        return both | low(small[rows], levels[rows]) if low_res else both

    def singles(video: Tensor) -> Tensor:
        return video[images].transpose(1, 2).flatten(0, 1)[:, :, None]

    together = taught(network, z, levels, given(torch.arange(b)) | Conditioning(images=images), weighting)
    clips = given(~images) | text_given(tokens[~images, 0], mask[~images, 0])
    of_clips = taught(network, z[~images], levels[~images], clips, weighting[~images])
    alone = text_given(tokens[images].flatten(0, 1), mask[images].flatten(0, 1))
    each = levels[images].repeat_interleave(f)
    if low_res:
        alone = alone | low(singles(small), each)
    of_images = taught(network, singles(z), each, alone, singles(weighting))
    for name, gradient in together.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradient, of_clips[name] + of_images[name], rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("temporal", ["attention", "convolution"])
def test_frames_of_a_clip_do_mix(temporal: str) -> None:
    network = built(temporal)
    z = randn(1, 3, 3, 4, 4)
    other = z.clone()
    other[:, :, 0] += 1
    changed = (network(z, logsnr(1), text(1)) - network(other, logsnr(1), text(1))).abs().amax((0, 1, 3, 4))
    assert changed[1] > 1e-6


def test_images_in_temporal_attention_take_the_value_path() -> None:
    layer = awake(TemporalAttention(16, 2)).double()
    h = randn(2, 3, 2, 2, 16)
    value = layer.key_value(layer.norm(h))[..., 16:]  # type: ignore[operator]
    got = layer(h, torch.tensor([[True], [True]]))
    torch.testing.assert_close(got, layer.out(value), rtol=0, atol=1e-12)  # type: ignore[operator]


def test_images_skip_temporal_convolution() -> None:
    layer = awake(TemporalConv(8)).double()
    out = layer(randn(2, 3, 2, 2, 8), torch.tensor([[True], [False]]))
    assert out[0].abs().max() == 0 < out[1].abs().max()


def test_tabulated_buckets_of_distance() -> None:
    table = "12,11,11,10,10,9,9,8,8,7,6,5,4,3,2,1,0,17,18,19,20,21,22,23,24,24,25,25,26,26,27,27,28"
    buckets = distance_buckets(17, torch.device("cpu"))
    got = [int(buckets[-d, 0]) for d in range(-16, 1)] + [int(buckets[0, d]) for d in range(1, 17)]
    assert got == [int(value) for value in table.split(",")]
    assert int(distance_buckets(200, torch.device("cpu")).max()) == 31


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 4, 8), (5, 8, 4), (40, 4, 4)])
@pytest.mark.parametrize("temporal", ["attention", "convolution"])
def test_other_frame_counts_and_sizes_work(temporal: str, shape: tuple[int, int, int]) -> None:
    network = built(temporal, positions=True)
    z = randn(1, 3, *shape)
    out = network(z, logsnr(1), text(1))
    assert out.shape == z.shape and out.isfinite().all()


def test_examples_of_a_batch_do_not_touch() -> None:
    network = built("attention", positions=True)
    z, levels, given = randn(3, 3, 3, 4, 4), logsnr(3), text(3)
    together = network(z, levels, given)
    for row in range(3):
        alone = network(z[row : row + 1], levels[row : row + 1], given.select(torch.tensor([row])))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-12)
    turned = z.permute(0, 4, 3, 2, 1).contiguous().permute(0, 4, 3, 2, 1)  # other strides, same values
    torch.testing.assert_close(network(turned, levels, given), together, rtol=0, atol=1e-12)


def test_padding_of_the_text_is_not_seen() -> None:
    network = built()
    z, given = randn(1, 3, 2, 4, 4), text(1)
    other = given.tokens["text"].values.clone()
    other[0, -1] = 100.0
    changed = text_given(other, given.tokens["text"].mask)
    assert torch.equal(network(z, logsnr(1), given), network(z, logsnr(1), changed))


@pytest.mark.parametrize("embedding", [64, 130, 192, 200, 321])
def test_text_is_pooled_at_any_width(embedding: int) -> None:
    network = built(embedding=embedding)
    assert network(randn(2, 3, 2, 4, 4), logsnr(2), text(2)).isfinite().all()
    assert network.text_pool.heads == (embedding // 64 if embedding % (embedding // 64) == 0 else 1)


def test_no_text_is_the_null_text() -> None:
    network = built()
    z, given = randn(2, 3, 2, 4, 4), text(2)
    hidden = network(z, logsnr(2), given.without("text"))
    torch.testing.assert_close(hidden, network(z, logsnr(2), Conditioning()), rtol=0, atol=1e-12)
    assert (hidden - network(z, logsnr(2), given)).abs().max() > 1e-6


def test_null_text_is_trained_when_text_is_dropped_and_only_then() -> None:
    network = built()
    z, given = randn(2, 3, 2, 4, 4), text(2)
    for drop, trained in ((torch.tensor([False, True]), True), (torch.tensor([False, False]), False)):
        network.zero_grad()
        network(z, logsnr(2), given.without("text", drop)).square().mean().backward()
        assert (network.null_text.grad is not None and bool(network.null_text.grad.abs().max() > 0)) is trained


def test_checkpointing_gives_the_same_gradients() -> None:
    z, given, gradients = randn(1, 3, 3, 4, 4), text(1), []
    for checkpointing in (False, True):
        network = built(checkpointing=checkpointing).train()
        network(z, logsnr(1), given).square().mean().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-14)


def test_a_static_clip_stays_static_without_mixing_of_frames() -> None:
    network = VideoUNetConfig(text_width=WIDTH, embedding=16, head=8, levels=(Level(width=8), Level(width=16))).build()
    awake(network).double()
    z = randn(1, 3, 1, 4, 4).expand(1, 3, 5, 4, 4)
    out = network(z, logsnr(1), text(1))
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), rtol=0, atol=1e-12)


def test_convolutional_networks_move_with_the_picture() -> None:
    levels = (Level(width=8, temporal="convolution"), Level(width=16, temporal="convolution", text_attention=True))
    network = VideoUNetConfig(text_width=WIDTH, embedding=16, head=8, patch=2, levels=levels).build()
    awake(network).double()
    wide, pixel = randn(1, 3, 2, 64, 64), 4
    full = network(wide, logsnr(1), text(1))
    part = network(wide[..., pixel : pixel + 56, pixel : pixel + 56].contiguous(), logsnr(1), text(1))
    border = 24  # beyond the reach of the convolutions
    torch.testing.assert_close(
        part[..., border:-border, border:-border],
        full[..., pixel + border : pixel + 56 - border, pixel + border : pixel + 56 - border],
        rtol=0,
        atol=1e-12,
    )


def test_shuffle_inverts_unshuffle() -> None:
    h = randn(2, 3, 4, 6, 5)
    assert torch.equal(shuffle(unshuffle(h, 2), 2), h)
    block = unshuffle(h, 2)[0, 0, 1, 2]
    assert torch.equal(block.view(2, 2, 5), h[0, 0, 2:4, 4:6])


def test_feed_forward_is_modulated_by_frame() -> None:
    layer = awake(FeedForward(8, 4)).double()
    h, e = randn(1, 2, 2, 2, 8), randn(1, 2, 4)
    got = layer(h, e)
    for frame in range(2):
        torch.testing.assert_close(got[:, frame : frame + 1], layer(h[:, frame : frame + 1], e[:, frame : frame + 1]))


def test_an_anchored_network_begins_at_what_it_is_given() -> None:
    network = config("convolution", low_res=True, anchored=True, patch=2).build().double()
    z, low_res = randn(2, 2, 3, 2, 8, 8)
    given = text(2) | low(low_res, logsnr(2) + 3)
    torch.testing.assert_close(network(z, logsnr(2), given), anchor(z, low_res, logsnr(2), logsnr(2) + 3))
    awake(network)
    assert (network(z, logsnr(2), given) - anchor(z, low_res, logsnr(2), logsnr(2) + 3)).abs().max() > 0.01


def test_only_a_network_with_low_res_that_predicts_v_is_anchored() -> None:
    with pytest.raises(ValueError, match="anchored: expected false without low_res"):
        config(anchored=True)
    with pytest.raises(ValueError, match=r"stage 'ssr': expected prediction 'v', .* got 'x'"):
        StageSpec(
            name="ssr",
            shape=VideoShape(frames=2, height=8, width=8, fps=2),
            source=VideoShape(frames=2, height=4, width=4, fps=2),
            network=config(low_res=True, anchored=True),
            prediction="x",
        )


def test_wrong_conditioning_is_refused() -> None:
    network = built(low_res=True)
    z, given = randn(2, 3, 2, 4, 4), text(2)
    with pytest.raises(ValueError, match=r"maps: expected 'low_res', the previous stage's video, got none"):
        network(z, logsnr(2), given | Conditioning(numbers={"low_res_logsnr": logsnr(2)}))
    with pytest.raises(ValueError, match=r"numbers: expected 'low_res_logsnr'"):
        network(z, logsnr(2), given | Conditioning(maps={"low_res": z}))
    with pytest.raises(ValueError, match=r"low_res'\]: expected shape \(2, 3, 2, 4, 4\), got \(2, 3, 2, 4, 2\)"):
        network(z, logsnr(2), given | low(z[..., :2], logsnr(2)))
    given = given | low(z, logsnr(2))
    with pytest.raises(ValueError, match="text: expected width 8, got 5"):
        network(z, logsnr(2), given | text_given(given.tokens["text"].values[..., :5]))
    with pytest.raises(ValueError, match="text: expected 2 texts or one for each frame, got 3"):
        network(z, logsnr(2), given | text(3))
    with pytest.raises(ValueError, match="logsnr: expected one for each of 2 videos"):
        network(z, logsnr(3), given)
    with pytest.raises(ValueError, match="logsnr, numbers: expected one for each of 2 frames, got 3"):
        network(z, logsnr(6).view(2, 3), given)


def test_illegal_sizes_name_the_nearest_legal_one() -> None:
    with pytest.raises(ValueError, match="height: expected a multiple of 4, got 23; the nearest is 24"):
        config(patch=2).check(4, 23, 40)
    with pytest.raises(ValueError, match="width: expected a multiple of 2, got 1; the nearest is 2"):
        config().check(4, 4, 1)
    config(patch=2).check(1, 24, 40)
    with pytest.raises(ValueError, match=r"levels\.1\.width: expected a multiple of head = 32, got 16"):
        config(head=32).build()
