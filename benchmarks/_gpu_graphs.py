"""Forward passes of networks as they are, replayed as CUDA graphs, and with compiled blocks: what launching costs.

A small network on a large GPU waits for its launches; a graph replays all of them at once. A pass that synchronises
with the host cannot be captured, so that a captured one is also a proof that it does not.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from _gpu_bench import Bench
from _gpu_cases import NETWORKS, given, z_of
from _gpu_same import away, moved, weighty
from _machine import Place
from torch import Tensor

from zoetrope.layers.fused import fused
from zoetrope.networks import ClipBatch, NetworkConfig
from zoetrope.recipes import load_recipe
from zoetrope.training.compiling import compile_blocks

SIZES = {"batch 1": 1, "batch 16": 16}


def run(bench: Bench) -> None:
    """Every kind of network with a graph; mini's networks with both, without and with guidance's double batch."""
    here = Place(bench.here.device, torch.float32 if bench.rehearse else torch.bfloat16)
    for name, config in NETWORKS.items():
        if not bench.rehearse or name in ("video_unet", "vector"):
            bench.case(f"{name}, graph", lambda c=config: graphed(clip_of(c, 2), c, here))
    if bench.rehearse:  # compiling for a CPU takes minutes
        return
    for stage in load_recipe("mini").cascade.stages[:3]:
        for size, count in SIZES.items():
            clip = clip_of(stage.network, count, stage.shape.sizes)
            bench.case(f"mini's {stage.name}, {size}, graph", lambda c=clip, s=stage: graphed(c, s.network, here))
    for stage in load_recipe("mini").cascade.stages[:1]:
        clip = clip_of(stage.network, 2, stage.shape.sizes)
        bench.case(f"mini's {stage.name}, compiled", lambda c=clip, s=stage: compiled(s.network, c, here))


def clip_of(config: NetworkConfig, count: int, sizes: tuple[int, int, int] | None = None) -> ClipBatch:
    """Random arguments of a network."""
    draw = torch.Generator().manual_seed(1)
    z = z_of(config, count, draw) if sizes is None else torch.randn(count, config.channels, *sizes, generator=draw)
    return ClipBatch(z, torch.linspace(-3, 3, count), given(config, z, draw))


def called(network: torch.nn.Module, clip: ClipBatch, here: Place) -> Tensor:
    """The output, in the type that it is computed in there."""
    with torch.no_grad(), torch.autocast(here.device.type, here.dtype, enabled=here.dtype != torch.float32):
        made: Tensor = network(*clip)
    return made


def fastest(run: Callable[[], object], here: Place) -> float:
    """Seconds of a call, of a few the least."""
    return min(here.seconds(run) for _ in range(5))


def graphed(clip: ClipBatch, config: NetworkConfig, here: Place) -> dict[str, Any]:
    """Seconds of a fused forward pass, and of its graph, with the difference of their outputs."""
    torch.manual_seed(0)
    network = fused(weighty(config.build()).to(here.device).eval(), channels_last=True)
    there = moved(clip, here.device)
    plain = called(network, there, here).clone()
    found: dict[str, Any] = {"plain s": fastest(lambda: called(network, there, here), here)}
    if here.device.type != "cuda":
        return {**found, "graph s": None}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            called(network, there, here)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = called(network, there, here)
    graph.replay()
    found["graph s"] = fastest(graph.replay, here)
    return {**found, "away": away([output], [plain.cpu()])}


def compiled(config: NetworkConfig, clip: ClipBatch, here: Place) -> dict[str, Any]:
    """Seconds of a forward and backward pass in textbook form, and with compiled blocks."""
    torch.manual_seed(0)
    network, there = weighty(config.build()).to(here.device), moved(clip, here.device)
    other = deepcopy(network)

    def both(network: torch.nn.Module) -> Tensor:
        network.zero_grad(set_to_none=True)
        with torch.autocast(here.device.type, here.dtype, enabled=here.dtype != torch.float32):
            made: Tensor = network(*there)
        made.float().square().mean().backward()
        return made.detach()

    plain = both(network)
    found: dict[str, Any] = {"plain s": fastest(lambda: both(network), here)}
    begin = here.now()
    compile_blocks(other)
    output = both(other)
    found["compiling s"] = here.now() - begin
    return {**found, "compiled s": fastest(lambda: both(other), here), "away": away([output], [plain.cpu()])}
