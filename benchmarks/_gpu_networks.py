"""Our networks beside the peers that are installed, on the GPU in bfloat16: as `unet_vs_peers.py`, in one process."""

import statistics
from typing import Any

import torch
import unet_vs_peers
from _gpu_bench import Bench
from _machine import Place, matmul_of, probe

BATCHES, REPETITIONS = (32, 1), 5
REHEARSED = ("zoetrope, tf., full attention",)


def run(bench: Bench) -> None:
    """The machine's own peaks, then every network, whole batches first."""
    here = Place(bench.here.device, torch.float32 if bench.rehearse else torch.bfloat16)
    batches, names = BATCHES, [*unet_vs_peers.OURS, *unet_vs_peers.PEERS]
    if bench.rehearse:
        unet_vs_peers.FRAMES, unet_vs_peers.SIDE, batches, names = 2, 8, (1,), [*REHEARSED]
    bench.case("the machine", lambda: {name: rate for name, rate in probe(here).items()})
    peak = probe(here)[matmul_of(here.dtype)]
    for batch in batches:
        for name in names:
            bench.case(f"{name}, batch {batch}", lambda n=name, b=batch: measured(n, b, here, peak, bench.rehearse))


def measured(name: str, batch: int, here: Place, peak: float, rehearse: bool) -> dict[str, Any]:
    """Forward, and forward + backward, the median of a few; the memory that both add; parts of the matmul's peak.

    A backward pass counts as two forward passes. Raises ModuleNotFoundError for a peer that is not installed.
    """
    contender = unet_vs_peers.build(name, here)
    flops = unet_vs_peers.flops(contender, here) * batch
    given = unet_vs_peers.inputs(batch, here)

    def both() -> None:
        unet_vs_peers.forward(contender, given, here).float().square().mean().backward()

    both()  # libraries set themselves up at the first use
    contender.module.zero_grad(set_to_none=True)
    held = here.held(both)
    contender.module.zero_grad(set_to_none=True)
    took: dict[bool, list[float]] = {}
    for backward in (False, True):
        unet_vs_peers.seconds(contender, batch, here, backward)
        took[backward] = [
            unet_vs_peers.seconds(contender, batch, here, backward) for _ in range(1 if rehearse else REPETITIONS)
        ]
    forward, whole = (statistics.median(took[backward]) for backward in (False, True))
    return {
        "GF": flops / 1e9,
        "forward s": forward,
        "both s": whole,
        "forward, of peak": flops / forward / peak,
        "both, of peak": 3 * flops / whole / peak,
        "added MiB": None if held is None else held / 2**20,
    }
