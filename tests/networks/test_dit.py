"""The transformer on spacetime patches: where it starts, what sees what, which sizes it takes, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.anchor import anchor
from zoetrope.inputs.text import text_given
from zoetrope.layers.rotary import grid_phases, phases, rotated, shares_of_pairs
from zoetrope.layers.tokens import patches, video_of
from zoetrope.networks import ClipBatch, Network
from zoetrope.networks._dit import DiT
from zoetrope.networks.dit import SIZES, DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig

WIDTH = 8  # of text
EXACT = {"rtol": 0, "atol": 1e-10}
every_attention = pytest.mark.parametrize("attention", ["factorised", "full"])


def awake(network: nn.Module, seed: int = 0) -> Any:
    """The network with random weights everywhere, so that no branch is still zero."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network


def config(**fields: Any) -> DiTConfig:
    return DiTConfig(**{"text_width": WIDTH, "width": 32, "head": 16, "depth": 2, "embedding": 16} | fields)


def built(**fields: Any) -> DiT:
    """A float64 network that has left its start."""
    made: DiT = awake(config(**fields).build()).double()
    return made


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def logsnr(count: int) -> Tensor:
    return torch.linspace(-3, 3, count, dtype=torch.float64)


def text(count: int, tokens: int = 3, seed: int = 7) -> Conditioning:
    mask = torch.ones(count, tokens, dtype=torch.bool)
    mask[0, -1] = False
    return text_given(randn(count, tokens, WIDTH, seed=seed), mask)


def low(video: Tensor, level: Tensor) -> Conditioning:
    return Conditioning(maps={"low_res": video}, numbers={"low_res_logsnr": level})


def clip(b: int, f: int, height: int, width: int, seed: int = 0, low_res: bool = False) -> ClipBatch:
    z = randn(b, 3, f, height, width, seed=seed)
    given = text(b, seed=seed + 1)
    return ClipBatch(z, logsnr(b) + seed, given | low(randn(*z.shape, seed=seed + 2), logsnr(b)) if low_res else given)


@pytest.mark.parametrize("modulation", ["block", "shared"])
@every_attention
def test_starts_at_zero_and_every_block_as_the_identity(attention: str, modulation: str) -> None:
    network = config(attention=attention, modulation=modulation, low_res=True).build().double()
    one = clip(2, 3, 4, 6, low_res=True)
    assert torch.equal(network(*one), torch.zeros_like(one.z))
    heard = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _, given, made: heard.append(torch.equal(given[0][0], made[0])))
    assert torch.equal(network(*one), torch.zeros_like(one.z)) and heard == [True, True]


@settings(max_examples=30, deadline=None)
@drawn(*(st.integers(1, 3) for _ in range(6)))
def test_patches_and_back(f: int, h: int, w: int, frames: int, rows: int, columns: int) -> None:
    video = torch.arange(2 * 3 * f * frames * h * rows * w * columns).view(2, 3, f * frames, h * rows, w * columns)
    parts = patches(video, (f, h, w))
    assert parts.shape == (2, frames, rows, columns, f * h * w * 3)
    assert torch.equal(video_of(parts, (f, h, w)), video)
    block = video[0, :, -f:, :h, -w:]
    assert torch.equal(parts[0, -1, 0, -1].view(f, h, w, 3), block.permute(1, 2, 3, 0))


@every_attention
@pytest.mark.parametrize("shape", [(1, 4, 10), (2, 6, 4), (5, 10, 2), (3, 22, 14)])
def test_any_size_and_length_works(attention: str, shape: tuple[int, int, int]) -> None:
    one = clip(1, *shape)
    out = built(attention=attention)(*one)
    assert out.shape == one.z.shape and out.isfinite().all() and out.abs().mean() > 0.01


@every_attention
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("low_res", [False, True])
def test_packed_images_are_separate_images(attention: str, causal: bool, low_res: bool) -> None:
    network, (b, f) = built(attention=attention, causal=causal, low_res=low_res), (2, 3)
    z, small, levels = randn(b, 3, f, 4, 6), randn(b, 3, f, 4, 6, seed=1), logsnr(b)
    tokens, mask = randn(b, f, 3, WIDTH, seed=2), torch.rand(b, f, 3, generator=torch.Generator().manual_seed(3)) > 0.4
    mask[1, 1] = False  # one of them without text
    alone = text_given(tokens.flatten(0, 1), mask.flatten(0, 1))
    each = levels.repeat_interleave(f)
    if low_res:
        alone = alone | low(small.transpose(1, 2).flatten(0, 1)[:, :, None], each)
    apart = network(z.transpose(1, 2).flatten(0, 1)[:, :, None], each, alone)
    for images in (torch.ones(b, dtype=torch.bool), torch.ones(b, f, dtype=torch.bool)):
        packed = text_given(tokens, mask) | Conditioning(images=images)
        together = network(z, levels, packed | low(small, levels) if low_res else packed)
        torch.testing.assert_close(together.transpose(1, 2).flatten(0, 1)[:, :, None], apart, **EXACT)


@every_attention
@pytest.mark.parametrize("causal", [False, True])
def test_images_beside_the_frames_of_a_clip_change_nothing(attention: str, causal: bool) -> None:
    network = built(attention=attention, causal=causal)
    one, lone = clip(2, 5, 4, 4), torch.tensor([[False, True, False, False, True], [False] * 5])
    times = torch.arange(5, dtype=torch.float64).expand(2, 5) / 8
    mixed = network(*one[:2], one.conditioning | Conditioning(images=lone, times=times))
    first, rest = torch.tensor([0]), ~lone[0]
    given = one.conditioning.select(first)
    frames = network(one.z[:1, :, rest], one.logsnr[:1], given | Conditioning(times=times[:1, rest]))
    torch.testing.assert_close(mixed[:1, :, rest], frames, **EXACT)
    for frame in (1, 4):
        image = network(one.z[:1, :, frame : frame + 1], one.logsnr[:1], given)
        torch.testing.assert_close(mixed[:1, :, frame : frame + 1], image, **EXACT)
    whole = network(one.z[1:], one.logsnr[1:], one.conditioning.select(torch.tensor([1])))
    torch.testing.assert_close(mixed[1:], whole, **EXACT)


@every_attention
def test_an_image_is_a_still_clip_where_patches_have_several_frames(attention: str) -> None:
    network = built(attention=attention, patch=(2, 2, 2), low_res=True)
    one = clip(2, 1, 4, 6, low_res=True)
    level = logsnr(2)[:, None]
    given = one.conditioning | Conditioning(numbers={"low_res_logsnr": level}, times=level + 5)
    still = given | Conditioning(
        maps={"low_res": given.maps["low_res"].expand(-1, -1, 2, -1, -1)},
        numbers={"low_res_logsnr": level.expand(-1, 2)},
        times=(level + 5).expand(-1, 2),
    )
    out = network(one.z.expand(-1, -1, 2, -1, -1), level.expand(-1, 2), still)
    torch.testing.assert_close(network(one.z, level, given), out.mean(2, keepdim=True), **EXACT)
    of_frame = text_given(given.tokens["text"].values[:, None], given.tokens["text"].mask[:, None])
    torch.testing.assert_close(network(one.z, level, given | of_frame), network(one.z, level, given), **EXACT)


@every_attention
@pytest.mark.parametrize("patch", [1, 2])
def test_a_causal_network_sees_no_later_frame(attention: str, patch: int) -> None:
    one = clip(1, 6, 4, 4)
    for causal in (False, True):
        network = built(attention=attention, causal=causal, patch=(patch, 2, 2))
        for frame in (2, 4):
            other = one.z.clone()
            other[:, :, frame] += 1
            change = (network(other, *one[1:]) - network(*one)).abs().amax((0, 1, 3, 4))
            assert change[frame:].min() > 1e-6
            assert change[:frame].max() == 0 if causal else change[:frame].min() > 1e-6


@every_attention
@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("timed", [False, True])
def test_kept_keys_and_values_give_what_the_whole_gives(attention: str, patch: int, timed: bool) -> None:
    network = built(attention=attention, causal=True, patch=(patch, 2, 2), low_res=True)
    one = clip(2, 8, 4, 6, low_res=True)
    levels, times = randn(2, 8, seed=5), randn(2, 8, seed=6).abs().cumsum(1)
    given = one.conditioning | Conditioning(times=times if timed else None)
    whole = network(one.z, levels, given)
    rollout, parts, start = None, [], 0
    for count in (2, 4, 2) if patch == 2 else (1, 3, 1, 3):
        frames = slice(start, start := start + count)
        part = replace(
            given,
            maps={"low_res": given.maps["low_res"][:, :, frames]},
            times=times[:, frames] if timed else None,
        )
        z = one.z[:, :, frames]
        network.continued(z + 1, levels[:, frames], part, rollout)  # a step of denoising leaves nothing behind
        out, rollout = network.continued(z, levels[:, frames], part, rollout)
        parts.append(out)
        assert rollout.frames == start
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, **EXACT)


def taught(network: Network, outputs: list[Tensor]) -> dict[str, Tensor]:
    network.zero_grad()
    sum((out * randn(*out.shape, seed=9)).sum() for out in outputs).backward()  # type: ignore[union-attr]
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@every_attention
@pytest.mark.parametrize("modulation", ["block", "shared"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_pack_gives_and_teaches_what_its_clips_do_alone(attention: str, modulation: str, causal: bool) -> None:
    network = built(attention=attention, modulation=modulation, causal=causal, low_res=True)
    shapes = [(2, 3, 4, 6), (1, 1, 6, 4), (1, 5, 2, 10), (2, 2, 4, 4)]
    videos = [clip(*shape, seed=seed, low_res=True) for seed, shape in enumerate(shapes)]
    videos[0] = videos[0]._replace(logsnr=randn(2, 3))
    videos[1] = videos[1]._replace(conditioning=videos[1].conditioning.without("text"))
    videos[3] = videos[3]._replace(
        conditioning=videos[3].conditioning | Conditioning(images=torch.tensor([True, False]))
    )
    apart = [network(*video) for video in videos]
    alone = taught(network, apart)
    packed = network.pack(videos)
    together = taught(network, packed)
    for one, other in zip(packed, apart, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    assert together.keys() == alone.keys() == dict(network.named_parameters()).keys()
    for name, gradient in together.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradient, alone[name], rtol=1e-10, atol=1e-10, msg=name)


def test_networks_that_cannot_pack_compute_one_after_the_other() -> None:
    level = Level(width=8, temporal=("convolution",))
    network = awake(VideoUNetConfig(text_width=WIDTH, embedding=16, levels=(level,)).build()).double()
    videos = [clip(2, 3, 4, 6), clip(1, 1, 6, 4, seed=1)]
    for made, video in zip(network.pack(videos), videos, strict=True):
        assert torch.equal(made, network(*video)) and made.shape == video.z.shape


def test_frames_in_another_order_give_the_same_frames() -> None:
    network, one = built(), clip(2, 5, 4, 4)
    times, order = torch.tensor([0.0, 0.3, 0.4, 1.1, 1.5]).repeat(2, 1), torch.tensor([3, 0, 4, 1, 2])
    out = network(*one[:2], one.conditioning | Conditioning(times=times))
    other = network(one.z[:, :, order], one.logsnr, one.conditioning | Conditioning(times=times[:, order]))
    torch.testing.assert_close(other, out[:, :, order], rtol=0, atol=1e-7)  # float32 times
    assert (out - network(*one)).abs().max() > 1e-4


@every_attention
def test_positions_are_seconds_and_parts_of_the_height(attention: str) -> None:
    one = clip(1, 4, 4, 6)
    network = built(attention=attention, fps=4)

    def at(start: float, step: float, net: DiT = network) -> Tensor:
        times = (start + step * torch.arange(4, dtype=torch.float64))[None]
        return net(*one[:2], one.conditioning | Conditioning(times=times))

    torch.testing.assert_close(at(0, 1 / 4), network(*one), **EXACT)
    torch.testing.assert_close(at(99, 1 / 4), network(*one), **EXACT)  # a clip begins at any time
    assert (at(0, 1 / 2) - network(*one)).abs().max() > 1e-4
    slow = built(attention=attention, per_second=4)
    torch.testing.assert_close(at(0, 1 / 2, slow), at(0, 1 / 4), **EXACT)
    given = ClipBatch(randn(1, 3, 4, 8, 12), one.logsnr, one.conditioning)  # the same picture at twice the resolution
    coarse, fine = (
        built(attention=attention)._phases(one, 0),
        built(attention=attention, patch=(1, 4, 4))._phases(given, 0),
    )
    assert all(torch.equal(a, b) for a, b in zip(coarse, fine, strict=True))
    in_pixels = built(attention=attention, height=4)._phases(given, 0)
    assert torch.equal(in_pixels[0][:, :, :2, :3], coarse[0])  # the corner of a picture is a smaller picture


def test_rotary_products_depend_on_distances_alone() -> None:
    q, k = randn(2, 16)
    for a, b in ((0.0, 1.5), (3.25, 4.75)):
        turns = phases(torch.tensor([a, b], dtype=torch.float64), 8, 100.0)
        got = rotated(q, turns[0]) @ rotated(k, turns[1])
        torch.testing.assert_close(got, rotated(q, phases(torch.tensor(-1.5), 8, 100.0)) @ k, rtol=0, atol=1e-12)
    assert rotated(q, phases(torch.zeros(()), 8, 100.0)).equal(q)
    assert phases(torch.ones(()), 4, 16.0).angle().tolist() == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8])
    for head in (8, 16, 32, 64, 72, 128):
        assert sum(shares_of_pairs(head, 2)) == sum(shares_of_pairs(head, 3)) == head // 2
        assert min(shares_of_pairs(head, 3)) >= 1
    axes = torch.arange(3.0).view(3, 1, 1), torch.arange(4.0).view(4, 1), torch.arange(5.0)
    assert grid_phases(axes, 16, 100.0).shape == (3, 4, 5, 8)


@pytest.mark.parametrize(("size", "published"), SIZES.items())
def test_sizes_have_the_published_number_of_parameters(size: Any, published: Any) -> None:
    fields = {"channels": 4, "text_width": None, "attention": "full"}
    network = DiTConfig.sized(size, **fields).bare()
    classes = 1001 * published.width  # the table of classes, which text takes the place of
    assert sum(p.numel() for p in network.parameters()) + classes == pytest.approx(published.parameters, rel=0.01)


def test_the_numbers_of_parameters_by_hand() -> None:
    d, e, depth = 32, 16, 2
    block = lambda attentions: 4 * attentions * (d * d + d) + 4 * attentions * 8 + 8 * d * d + 5 * d  # noqa: E731
    for attention, count in (("full", 1), ("factorised", 2)):
        network = config(text_width=None, attention=attention).build()
        modulated = (e + 1) * 3 * d * (count + 1)
        assert sum(p.numel() for p in network.layers.parameters()) == depth * (block(count) + modulated)
        shared = config(text_width=None, attention=attention, modulation="shared").build()
        offsets = 3 * d * (count + 1)
        assert sum(p.numel() for p in shared.layers.parameters()) == depth * (block(count) + offsets)
        assert sum(p.numel() for p in shared.modulation.parameters()) == modulated


def test_examples_of_a_batch_do_not_touch() -> None:
    network, one = built(attention="full"), clip(3, 3, 4, 4)
    together = network(*one)
    for row in range(3):
        alone = network(one.z[row : row + 1], one.logsnr[row : row + 1], one.conditioning.select(torch.tensor([row])))
        torch.testing.assert_close(together[row : row + 1], alone, **EXACT)


def test_padding_of_the_text_is_not_seen_and_no_text_is_the_null_text() -> None:
    network, one = built(), clip(2, 2, 4, 4)
    tokens = one.conditioning.tokens["text"]
    other = tokens.values.clone()
    other[0, -1] = 100.0
    assert torch.equal(network(*one), network(*one[:2], text_given(other, tokens.mask)))
    hidden = network(*one[:2], one.conditioning.without("text"))
    torch.testing.assert_close(hidden, network(*one[:2], Conditioning()), **EXACT)
    assert (hidden - network(*one)).abs().max() > 1e-6


@every_attention
def test_checkpointing_gives_the_same_gradients(attention: str) -> None:
    one, gradients = clip(1, 3, 4, 4), []
    for checkpointing in (False, True):
        network = built(attention=attention, checkpointing=checkpointing).train()
        gradients.append(taught(network, [network(*one)]))
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-12)


@every_attention
def test_known_frames_have_levels_of_their_own(attention: str) -> None:
    network, one = built(attention=attention), clip(2, 4, 4, 4)
    same = network(one.z, one.logsnr[:, None].expand(-1, 4), one.conditioning)
    torch.testing.assert_close(same, network(*one), **EXACT)
    known = one.logsnr[:, None].repeat(1, 4)
    known[:, 0] = 15.0
    assert (network(one.z, known, one.conditioning) - same).abs().amax((0, 1, 3, 4)).min() > 1e-6


def test_an_anchored_network_begins_at_what_it_is_given() -> None:
    network, one = config(low_res=True, anchored=True).build().double(), clip(2, 2, 8, 8, low_res=True)
    expected = anchor(one.z, one.conditioning.maps["low_res"], one.logsnr, logsnr(2))
    torch.testing.assert_close(network(*one), expected)
    each = one.logsnr[:, None].expand(-1, 2)
    torch.testing.assert_close(network(one.z, each, one.conditioning), expected)
    awake(network)
    assert (network(*one) - expected).abs().max() > 0.01
    assert config(low_res=True, anchored=True).predicts == "v" and config().predicts is None


@every_attention
def test_blocks_compile_as_one_graph(attention: str) -> None:
    network, one = built(attention=attention, causal=True, depth=1), clip(1, 2, 4, 4)
    before = network(*one)
    for block in network.blocks():
        block.forward = torch.compile(block.forward, dynamic=False, fullgraph=True, backend="eager")
    torch.testing.assert_close(network(*one), before, **EXACT)


def test_inner_matrices_and_blocks() -> None:
    network = config().build()
    inner, names = {id(weight) for weight in network.matrices()}, dict(network.named_parameters())
    taken = {name for name, weight in names.items() if id(weight) in inner}
    assert taken == {name for name, weight in names.items() if name.startswith("layers.") and weight.ndim == 2}
    assert len(list(network.blocks())) == 2 and not {"enter.weight", "leave.weight"} & taken


REFUSED: list[tuple[str, Callable[[DiT, ClipBatch], Any]]] = [
    (r"maps: expected 'low_res'", lambda n, c: n(*c[:2], replace(c.conditioning, maps={}))),
    (r"numbers: expected 'low_res_logsnr'", lambda n, c: n(*c[:2], replace(c.conditioning, numbers={}))),
    (r"low_res'\]: expected shape", lambda n, c: n(*c[:2], c.conditioning | low(c.z[..., :2], c.logsnr))),
    (r"text: expected width 8, got 5", lambda n, c: n(*c[:2], c.conditioning | text_given(randn(2, 3, 5)))),
    (r"text: expected 2 texts or one for each frame, got 3", lambda n, c: n(*c[:2], c.conditioning | text(3))),
    (r"logsnr: expected one for each of 2 videos, or of their 2 frames", lambda n, c: n(c.z, logsnr(3), c[2])),
    (r"logsnr: expected one .* got \(2, 3\)", lambda n, c: n(c.z, randn(2, 3), c[2])),
    (
        r"images: expected one .* got \(2, 3\)",
        lambda n, c: n(*c[:2], c[2] | Conditioning(images=torch.ones(2, 3) > 0)),
    ),
    (r"times: expected shape \(2, 2\)", lambda n, c: n(*c[:2], c[2] | Conditioning(times=randn(2, 3)))),
    (r"height: expected a multiple of 2, got 3; the nearest is 4", lambda n, c: n(c.z[..., :3, :], *c[1:])),
    (r"causal: expected true to continue a clip", lambda n, c: n.continued(*c)),
]


@pytest.mark.parametrize(("message", "call"), REFUSED)
def test_wrong_conditioning_is_refused(message: str, call: Callable[[DiT, ClipBatch], Any]) -> None:
    with pytest.raises(ValueError, match=message):
        call(built(low_res=True), clip(2, 2, 4, 4, low_res=True))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="width: expected a multiple of head = 16, got 40; the nearest is 32"):
        config(width=40)
    with pytest.raises(ValueError, match="anchored: expected false without low_res"):
        config(anchored=True)
    with pytest.raises(ValueError, match="depth, width: expected depth x width"):
        config(width=2**19, depth=1024)
    with pytest.raises(ValueError, match="frames: expected a multiple of 4, got 6; the nearest is 8"):
        config(patch=(4, 2, 2)).check(6, 4, 4)
    config(patch=(4, 2, 2)).check(1, 4, 4)
    several, one = built(patch=(2, 2, 2), causal=True), clip(1, 4, 4, 4)
    images = one.conditioning | Conditioning(images=torch.tensor([True]))
    with pytest.raises(ValueError, match="images: expected none, got frames that share patches of 2 frames"):
        several(*one[:2], images)
    with pytest.raises(ValueError, match="images: expected none in a clip that is continued"):
        several.continued(*one[:2], images)
    with pytest.raises(ValueError, match="frames: expected a multiple of 2 to go on with, got 1"):
        several.continued(one.z[:, :, :1], *one[1:])
