"""What `zoetrope plan` assumes of the GPU against what is measured: the numbers of `zoetrope.planning.devices`."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from _gpu_bench import Bench
from _gpu_cases import narrow
from _machine import Place
from _work import learning, lesson, network_of, sample
from torch.nn.functional import conv2d, linear, scaled_dot_product_attention

from zoetrope.cascade.noise import window_noise
from zoetrope.cascade.spec import StageSpec
from zoetrope.planning.calibrate import cpu
from zoetrope.planning.devices import BANDWIDTH_SHARE, GPUS, HOST_RANDOM, LAUNCH, SHARES, Device, gpu, of_card
from zoetrope.planning.work import sampling, training
from zoetrope.recipes import load_recipe
from zoetrope.shapes import VideoShape, Window

STEPS, BATCH, MANY = 2, 16, 200


def run(bench: Bench) -> None:
    """The shares of the published peak, then stages of mini: time and memory."""
    here = Place(bench.here.device, torch.float32 if bench.rehearse else torch.bfloat16)
    small = bench.rehearse
    device = cpu(here.dtype) if here.device.type == "cpu" else gpu(of_card(torch.cuda.get_device_name(here.device)))
    for kind, work in operations(here, small).items():
        bench.case(kind, lambda k=kind, w=work: share(k, w, here, device))
    bench.case("launch", lambda: launch(here))
    bench.case("noise of the host", lambda: noise(small))
    stages = load_recipe("mini").cascade.stages[:4]
    stages = (narrow(stages[0]),) if small else stages
    for stage in stages:
        short = stage.with_(sampling=stage.sampling.with_(steps=STEPS))
        bench.case(f"sampling {stage.name}", lambda s=short: sampled(s, here, device))
    bench.case("training base", lambda: trained(stages[0], here, device, 1 if small else BATCH))


def operations(here: Place, small: bool) -> dict[str, tuple[float, Callable[[], Any]]]:
    """Kind -> the FLOPs (of "moving" the bytes) of a large operation of that kind, as networks have it, and itself."""

    def filled(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, device=here.device, dtype=here.dtype)

    n, side, width, tokens = (2, 8, 32, 64) if small else (64, 64, 512, 1024)
    video = filled(n, width, side, side).contiguous(memory_format=torch.channels_last)
    taps = filled(width, width, 3, 3).contiguous(memory_format=torch.channels_last)
    rows, matrix = filled(n * side * side, width), filled(4 * width, width)
    heads = filled(n, width // 32, tokens, 32)
    other = filled(n * side * side, width)
    return {
        "convolution": (2 * n * side**2 * 9 * width**2, lambda: conv2d(video, taps, padding=1)),
        "matmul": (2 * n * side**2 * 4 * width**2, lambda: linear(rows, matrix)),
        "attention": (4 * n * width * tokens**2, lambda: scaled_dot_product_attention(heads, heads, heads)),
        "moving": (3 * rows.nbytes, lambda: rows + other),
    }


def share(kind: str, work: tuple[float, Callable[[], Any]], here: Place, device: Device) -> dict[str, Any]:
    """What an operation reaches of the published peak, as a row for the table; on a CPU its rate alone."""
    amount, operation = work
    for _ in range(3):
        operation()
    took = min(here.seconds(lambda: [operation() for _ in range(10)]) for _ in range(3)) / 10
    rate = amount / took
    if device.name == "cpu":
        return {"rate": rate}
    figures = GPUS[device.name]
    if kind == "moving":
        of = rate / figures.bandwidth
        return {"rate": rate, "of published": of, "planned": BANDWIDTH_SHARE, "row": f"BANDWIDTH_SHARE = {of:.2f}"}
    of = rate / figures.flops
    return {"rate": rate, "of published": of, "planned": SHARES[kind], "row": f'SHARES["{kind}"] = {of:.2f}'}


def launch(here: Place) -> dict[str, Any]:
    """Seconds from one small operation to the next."""
    value = torch.zeros(8, device=here.device)
    value.add_(1)
    took = min(here.seconds(lambda: [value.add_(1) for _ in range(MANY)]) for _ in range(3)) / MANY
    return {"seconds": took, "planned": LAUNCH, "row": f"LAUNCH = {took:.1e}"}


def noise(small: bool) -> dict[str, Any]:
    """Bytes of noise that the host draws a second."""
    shape = VideoShape(frames=4 if small else 32, height=48 if small else 768, width=80 if small else 1280, fps=24)
    took = Place(torch.device("cpu"), torch.float32).seconds(
        lambda: window_noise(0, [0], "start", shape, 3, Window.whole(shape))
    )
    rate = 3 * shape.frames * shape.height * shape.width * 4 / took
    return {"rate": rate, "planned": HOST_RANDOM, "row": f"HOST_RANDOM = {rate / 1e9:.2f} * GB"}


def sampled(stage: StageSpec, here: Place, device: Device) -> dict[str, Any]:
    """A video of a stage: seconds and memory, planned and measured."""
    work = sampling(stage, here.dtype, device=here.device)
    planned = device.seconds(work.whole)
    network = network_of(stage, here)
    weights = sum(weight.nbytes for weight in network.parameters())
    sample(stage, network, here)
    held = here.held(lambda: sample(stage, network, here))
    took = statistics.median(here.seconds(lambda: sample(stage, network, here)) for _ in range(3))
    return compared(planned, took, work.peak, None if held is None else held + weights)


def trained(stage: StageSpec, here: Place, device: Device, batch: int) -> dict[str, Any]:
    """A step of training: seconds and memory, planned and measured."""
    work = training(stage, lesson(batch), here.dtype)
    [(_, tally, _)] = work.phases
    here.settle()
    made: list[Callable[[], None]] = []

    def twice() -> None:
        made.append(learning(stage, here, batch))
        made[0]()
        made[0]()

    held = here.held(twice)
    took = statistics.median(here.seconds(made[0]) for _ in range(3))
    return compared(device.seconds(tally), took, work.peak, held)


def compared(planned: float, took: float, planned_bytes: int, held: int | None) -> dict[str, Any]:
    """Planned and measured, and their ratios."""
    return {
        "planned s": planned,
        "measured s": took,
        "measured / planned": took / planned,
        "planned bytes": planned_bytes,
        "measured bytes": held,
        "bytes, measured / planned": None if held is None else held / planned_bytes,
    }
