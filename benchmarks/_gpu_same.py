"""The GPU's outputs, gradients and videos against the CPU's in float32, case by case.

Errors are norms of differences, as shares of the norm of what is right. In float32 products of TF32 are switched off;
then sums differ by their order alone. In bfloat16 each operand is rounded to 8 bits.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import torch
from _gpu_bench import Bench
from _gpu_cases import FRAMES, NETWORKS, SIDE, Sampled, given, stages, z_of
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.quantile import quantile
from zoetrope.layers.fused import fused
from zoetrope.networks import ClipBatch, FrameChunk, Network, NetworkConfig

MOST = {"float32": {"output": 1e-4, "gradient": 1e-3, "video": 1e-3}}
MOST["bfloat16"] = {"output": 0.03, "gradient": 0.1, "video": 0.2}
DTYPES = (torch.float32, torch.bfloat16)
FEW = (
    "video_unet",
    "video_unet, anchored",
    "dit, factorised",
    "vector",
    "controlled",
    "reconstruction, temporal",
)  # in a rehearsal
FEW_STAGES = ("sampler ancestral", "guidance picture", "threshold 0.9", "known learnt", "layout a frame at a time")


def run(bench: Bench) -> None:
    """All cases, float32 before bfloat16."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(bench.device)
    for dtype in DTYPES:
        for name, config in NETWORKS.items():
            if not bench.rehearse or name in FEW:
                bench.case(f"{name}, {told(dtype)}", lambda c=config, d=dtype: network_case(c, device, d))
        for name, case in stages().items():
            if not bench.rehearse or (name in FEW_STAGES and dtype == torch.float32):
                bench.case(f"{name}, {told(dtype)}", lambda c=case, d=dtype: stage_case(c, device, d))
    bench.case("quantile", lambda: quantile_case(device, 2**14 if bench.rehearse else 2**27))


def told(dtype: torch.dtype) -> str:
    """A type's name."""
    return str(dtype).removeprefix("torch.")


def away(got: Iterable[Tensor], right: Iterable[Tensor]) -> float:
    """The norm of all differences, as a share of the norm of what is right; infinite where anything is not finite."""
    pairs = [(a.detach().cpu().double(), b.detach().double()) for a, b in zip(got, right, strict=True)]
    if not all(a.isfinite().all() for a, _ in pairs):
        return float("inf")
    difference = sum(float((a - b).square().sum()) for a, b in pairs)
    return (difference / max(1e-30, sum(float(b.square().sum()) for _, b in pairs))) ** 0.5


def judged(dtype: torch.dtype, found: dict[str, tuple[str, float]]) -> dict[str, Any]:
    """Errors by name, each with its kind, and whether all are small enough."""
    most = MOST[told(dtype)]
    fine = all(error <= most[kind] for kind, error in found.values())
    return {"agrees": fine, **{name: error for name, (_, error) in found.items()}}


def weighty(network: Network) -> Network:
    """The network with noise where it begins with zeros, which would hide what lies behind them."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=draw))
    return network


def network_case(config: NetworkConfig, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Forward and backward in textbook form, forward in fused form, in parts, and packed."""
    torch.manual_seed(0)
    right = weighty(config.build())
    ours = deepcopy(right).to(device)
    draw = torch.Generator().manual_seed(1)
    z = z_of(config, 2, draw)
    clip = ClipBatch(z, torch.tensor([-2.0, 3.0]), given(config, z, draw))
    answer = right(*clip)
    weights = torch.randn(answer.shape, generator=draw)
    (answer * weights).sum().backward()
    there = moved(clip, device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        output = ours(*there)
    (output.float() * weights.to(device)).sum().backward()
    own = [weight.grad for weight in ours.parameters() if weight.grad is not None]
    true = [weight.grad for weight in right.parameters() if weight.grad is not None]
    found = {"output": ("output", away([output], [answer])), "gradient": ("gradient", away(own, true))}
    twin = fused(ours.eval(), channels_last=True)
    with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        found["fused"] = "output", away([twin(*there)], [answer])
        if config.reach().streams:
            found["streamed"] = "output", away(parts(twin, there), answer.split(1, dim=2))
        if config.packs:
            found["packed"] = "output", packed_error(config, twin, right, device)
        if config.takes_packs and config.denoises and not config.vectors:
            found["images"] = "output", images_error(config, twin, right, device)
    return judged(dtype, found)


def moved(clip: ClipBatch, device: torch.device) -> ClipBatch:
    """The arguments of a network on a device."""
    z, logsnr = (value.to(device) for value in clip[:2])
    return ClipBatch(z, logsnr, clip.conditioning.to(device, torch.float32))


def parts(network: Network, clip: ClipBatch) -> list[Tensor]:
    """The output, frame by frame."""
    z, logsnr, told = clip
    chunks = [
        FrameChunk(z[:, :, k : k + 1], {name: m[:, :, k : k + 1] for name, m in told.maps.items()})
        for k in range(z.shape[2])
    ]
    return list(network.stream(iter(chunks), logsnr, told))


def packed_error(config: NetworkConfig, twin: Network, right: Network, device: torch.device) -> float:
    """The error of clips of two sizes in one sequence."""
    draw = torch.Generator().manual_seed(2)
    clips = []
    for frames, side in ((FRAMES, SIDE), (FRAMES // 2, 2 * SIDE)):
        z = z_of(config, 2, draw, frames, side)
        clips.append(ClipBatch(z, torch.tensor([-2.0, 3.0]), given(config, z, draw)))
    return away(twin.pack([moved(clip, device) for clip in clips]), [right(*clip) for clip in clips])


def images_error(config: NetworkConfig, twin: Network, right: Network, device: torch.device) -> float:
    """The error with independent images among the frames, a noise level for each frame, and times."""
    draw = torch.Generator().manual_seed(4)
    z = z_of(config, 2, draw)
    images = torch.tensor([[False] * (FRAMES - 1) + [True], [True] * FRAMES])
    times = torch.arange(FRAMES, dtype=torch.float64).expand(2, -1) / 4
    told = given(config, z, draw) | Conditioning(images=images, times=times)
    if "text" in told.tokens:
        own = told.tokens["text"].each(lambda value: value[:, None].repeat(1, FRAMES, *[1] * (value.ndim - 1)))
        told = told | Conditioning(tokens={"text": own})
    levels = torch.linspace(-3, 3, 2 * FRAMES).view(2, FRAMES)
    clip = ClipBatch(z, levels, told)
    there = ClipBatch(z.to(device), levels.to(device), told.each(lambda value: value.to(device)))
    return away([twin(*there)], [right(*clip)])


def stage_case(case: Sampled, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """A stage's videos, as they are sampled there."""
    stage, known, layout, count = case
    torch.manual_seed(0)
    right = weighty(stage.network.build()).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    told = given(stage.network.with_(low_res=False), torch.zeros(count, 1, 1, 1, 1), draw)
    source = stage.source
    video = None if source is None else torch.randn(count, 3, *source.sizes, generator=draw).clamp(-1, 1)

    def sampled(place: torch.device, dtype: torch.dtype) -> Tensor:
        gradient = known is not None and stage.sampling.known is not None and stage.sampling.known.differentiates
        own = deepcopy(right).to(place)
        network = own if gradient else fused(own, channels_last=True)
        here = None if video is None else video.to(place)
        how = Draw(seed=0, samples=range(count), device=place, dtype=dtype, layout=layout, known=known)
        return stage_video(stage, network, told.to(place, torch.float32), here, how)

    error = away([sampled(device, dtype)], [sampled(torch.device("cpu"), torch.float32)])
    return judged(dtype, {"video": ("video", error)})


def quantile_case(device: torch.device, count: int) -> dict[str, Any]:
    """The percentile of dynamic thresholding, exactly, and its seconds."""
    values = torch.randn(2, count // 2, generator=torch.Generator().manual_seed(5)) * 2
    there = values.to(device)
    equal = torch.equal(quantile(there, 0.995, least=1.0).cpu(), quantile(values, 0.995, least=1.0))
    return {"agrees": equal, "seconds": _seconds(device, lambda: quantile(there, 0.995, least=1.0))}


def _seconds(device: torch.device, run: Callable[[], object]) -> float:
    from _machine import Place

    return min(Place(device, torch.float32).seconds(run) for _ in range(3))
