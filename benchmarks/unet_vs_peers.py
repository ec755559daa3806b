"""Our networks beside published video U-Nets and transformers, at the same input and parameters, in one run.

The peers are optional; those that are not installed are left out, with a line that says so. `make .venv-peers/ready`
installs them all, with this package, in an environment of their own:

    .venv-peers/bin/python benchmarks/unet_vs_peers.py --threads 2

Each repetition measures the machine's own peaks and runs every network once, one after the other, so that a busy moment
of the machine hits all alike; a ratio compares two networks within a repetition, and the median over repetitions is
reported. All networks are in evaluation mode: without it diffusers would also pay for its dropout. Parameters that a
network starts at zero are filled with noise. Memory is what one forward + backward adds to a fresh process of its own:
resident memory on Linux, and of a GPU what PyTorch allocates.
"""

import argparse
import functools
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _machine import CLOCKS, DTYPES, Place, described, place, probe
from _options import positive
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.count import Meter

PARAMETERS, TOLERANCE = 18e6, 0.05
FRAMES, SIDE, TOKENS, TEXT_WIDTH = 16, 32, 16, 384

Call = Callable[[Tensor, Tensor], Tensor]


class Contender(NamedTuple):
    """A network and how to run it on z (B, 3, F, H, W) and text (B, L, D); the output is like z."""

    module: nn.Module
    call: Call


def zoetrope_unet(
    finest: str = "attention", widths: Sequence[int] = (64, 128, 256), blocks: Sequence[int] = (1, 2, 5)
) -> Contender:
    """Ours: spatial attention at 8x8, text at 16 and 8, temporal attention at 16, 8 and (if `finest`) at 32x32.

    It has fewer blocks than a peer at full resolution and more at 8x8, as the Efficient U-Net has.
    """
    fine, middle, coarse = (dict(width=width, blocks=count) for width, count in zip(widths, blocks, strict=True))
    levels = (
        Level(**fine, temporal=finest),
        Level(**middle, text_attention=True, temporal="attention"),
        Level(**coarse, spatial_attention=True, text_attention=True, temporal="attention"),
    )
    return ours(VideoUNetConfig(text_width=TEXT_WIDTH, levels=levels).build())


def zoetrope_transformer(width: int, depth: int, **fields: Any) -> Contender:
    """Ours: patches of 2x2 pixels, all blocks at 16x16."""
    module = DiTConfig(text_width=TEXT_WIDTH, width=width, depth=depth, head=64, **fields).build()
    return ours(module)


def ours(module: Network) -> Contender:
    """A network of ours, as it is for training, and as a cascade has it for sampling, once it has its weights."""
    fast = functools.cache(lambda: fused(module, channels_last=True))
    logsnr = torch.zeros(())

    def call(z: Tensor, text: Tensor) -> Tensor:
        mask = torch.ones(text.shape[:2], dtype=torch.bool, device=z.device)
        network = module if torch.is_grad_enabled() else fast()
        return network(z, logsnr.to(z.device).expand(len(z)), text_given(text, mask))

    return Contender(module, call)


def imagen_pytorch() -> Contender:
    """imagen-pytorch: spatial attention at 8x8, text at 16 and 8, temporal attention everywhere."""
    # Importing the package imports its trainer, and with it torchvision, accelerate, kornia and more. An empty package
    # of the same name and folder leaves that out; the network itself is the published file, unchanged.
    bare = types.ModuleType("imagen_pytorch")
    spec = importlib.util.find_spec("imagen_pytorch")
    if spec is None:
        raise ModuleNotFoundError("imagen_pytorch")
    bare.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["imagen_pytorch"] = bare
    t5 = importlib.import_module("imagen_pytorch.t5")
    # The default of an argument asks the network for T5's width at import; it is known here, and not used below.
    t5.T5_CONFIGS[t5.DEFAULT_T5_NAME] = {"config": types.SimpleNamespace(d_model=768)}
    module = importlib.import_module("imagen_pytorch.imagen_video").Unet3D(
        dim=64,
        dim_mults=(1, 2, 4),
        text_embed_dim=TEXT_WIDTH,
        cond_dim=160,
        layer_attns=(False, False, True),
        layer_cross_attns=(False, True, True),
    )

    def call(z: Tensor, text: Tensor) -> Tensor:
        mask = torch.ones(text.shape[:2], dtype=torch.bool, device=z.device)
        return module(z, z.new_zeros(len(z)), text_embeds=text, text_mask=mask, cond_drop_prob=0.0)

    return Contender(module, call)


def video_diffusion_pytorch() -> Contender:
    """video-diffusion-pytorch: temporal and linear spatial attention everywhere, full at 8x8; the text is pooled."""
    # Its data loader names torchvision, its network doesn't use it: a stand-in for the three names seen at import.
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    absent = names if importlib.util.find_spec("torchvision") is None else ()
    for name in absent:
        sys.modules[name] = types.ModuleType(name)
    if absent:
        sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
        sys.modules["torchvision"].utils = sys.modules["torchvision.utils"]
        sys.modules["torchvision.transforms"].ToTensor = sys.modules["torchvision.transforms"].ToPILImage = object
    try:
        package = importlib.import_module("video_diffusion_pytorch.video_diffusion_pytorch")
    finally:
        for name in absent:
            del sys.modules[name]
    module = package.Unet3D(dim=80, dim_mults=(1, 2, 4), cond_dim=TEXT_WIDTH)
    return Contender(module, lambda z, text: module(z, z.new_zeros(len(z)), cond=text.mean(1)))


def diffusers() -> Contender:
    """diffusers (ModelScope's U-Net): attention to space, text and time at 16 and 8, and to time once at 32x32."""
    from diffusers import UNet3DConditionModel

    module = UNet3DConditionModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    )
    return Contender(module, lambda z, text: module(z, z.new_zeros(len(z)), text, return_dict=False)[0])


def latte() -> Contender:
    """diffusers' Latte: a transformer, spatial with text and temporal in turns, all at 16x16 patches of 2x2 pixels."""
    from diffusers import LatteTransformer3DModel

    heads, head = 5, 64
    module = LatteTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=head,
        in_channels=3,
        out_channels=3,
        num_layers=6,
        cross_attention_dim=heads * head,
        attention_bias=True,
        sample_size=SIDE,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=TEXT_WIDTH,
        video_length=FRAMES,
    )
    return Contender(module, lambda z, text: module(z, z.new_zeros(len(z)), text, return_dict=False)[0])


def cogvideox() -> Contender:
    """diffusers' CogVideoX: a transformer on all tokens of text and video at once, at 16x16 patches of 2x2 pixels."""
    from diffusers import CogVideoXTransformer3DModel

    module = CogVideoXTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=64,
        in_channels=3,
        out_channels=3,
        num_layers=6,
        time_embed_dim=256,
        text_embed_dim=TEXT_WIDTH,
        sample_width=SIDE,
        sample_height=SIDE,
        sample_frames=4 * (FRAMES - 1) + 1,  # of pixels, which its autoencoder makes a quarter
        patch_size=2,
        max_text_seq_length=TOKENS,
    )
    return Contender(module, lambda z, text: module(z.transpose(1, 2), text, z.new_zeros(len(z)), return_dict=False)[0])


OURS = {
    "zoetrope": zoetrope_unet,
    "zoetrope, 32x32 convolves time": lambda: zoetrope_unet("convolution"),
    # The same parameters where pixels are few: what that costs in quality is not known.
    "zoetrope, narrow at 32 and 16": lambda: zoetrope_unet(widths=(32, 96, 256), blocks=(1, 1, 6)),
    "zoetrope, transformer": lambda: zoetrope_transformer(320, 6),
    # More of the parameters are maps of tokens, which makes it as much work as Latte.
    "zoetrope, tf., shared maps": lambda: zoetrope_transformer(384, 5, modulation="shared"),
    "zoetrope, tf., full attention": lambda: zoetrope_transformer(384, 5, attention="full"),
}
PEERS = {
    "imagen-pytorch": imagen_pytorch,
    "video-diffusion-pytorch": video_diffusion_pytorch,
    "diffusers": diffusers,
    "diffusers, Latte": latte,
    "diffusers, CogVideoX": cogvideox,
}


def build(name: str, here: Place) -> Contender:
    """A network ready to be measured. Raises ModuleNotFoundError if its package is absent."""
    torch.manual_seed(0)
    contender = (OURS | PEERS)[name]()
    with torch.no_grad():
        for parameter in contender.module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    contender.module.eval().to(here.device)
    return contender


def parameters(contender: Contender) -> int:
    """How many numbers the network learns."""
    return sum(p.numel() for p in contender.module.parameters())


def inputs(batch: int, here: Place) -> tuple[Tensor, Tensor]:
    """z (B, 3, 16, 32, 32) and text (B, 16, 384)."""
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(batch, 3, FRAMES, SIDE, SIDE, generator=draw)
    return z.to(here.device), torch.randn(batch, TOKENS, TEXT_WIDTH, generator=draw).to(here.device)


def forward(contender: Contender, given: tuple[Tensor, Tensor], here: Place) -> Tensor:
    """One call of the network."""
    with torch.autocast(here.device.type, here.dtype, enabled=here.dtype != torch.float32):
        return contender.call(*given)


def seconds(contender: Contender, batch: int, here: Place, backward: bool) -> float:
    """The time of one forward, or of one forward and backward."""
    given = inputs(batch, here)

    def run() -> None:
        if backward:
            forward(contender, given, here).float().square().mean().backward()
        else:
            with torch.no_grad():
                forward(contender, given, here)

    elapsed = here.seconds(run)
    contender.module.zero_grad(set_to_none=True)
    return elapsed


def flops(contender: Contender, here: Place) -> int:
    """Floating-point operations of the matrix products and convolutions of one forward at batch 1, in float32."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        contender.call(*inputs(1, here))
    return counter.get_total_flops()


def moved(contender: Contender, batch: int, here: Place) -> int:
    """Bytes that the operations of one forward read and write, each for itself."""
    given = inputs(batch, here)
    with torch.no_grad(), Meter() as meter:
        forward(contender, given, here)
    return sum(operation.moved * count for operation, count in meter.tally.items())


def added_memory(name: str, batch: int, here: Place) -> float | None:
    """MiB that a forward and backward add to this process at its peak, weight gradients included."""
    contender, given = build(name, here), inputs(batch, here)
    probe(here)  # libraries set themselves up at the first use
    held = here.held(lambda: forward(contender, given, here).float().square().mean().backward())
    return None if held is None else held / 2**20


def added_memory_elsewhere(name: str, options: argparse.Namespace) -> float | None:
    """`added_memory` in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", name, "--threads", str(options.threads)]
    command += ["--batch", str(options.batch), "--dtype", options.dtype, "--device", options.device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    held: float | None = json.loads(done.stdout.splitlines()[-1])
    return held


def built(names: list[str], here: Place) -> dict[str, Contender]:
    """Every network that is installed. Raises ValueError for one of another size than the others."""
    contenders = {}
    for name in names:
        try:
            contenders[name] = build(name, here)
        except ModuleNotFoundError as missing:
            print(f"{name}: left out, because of {missing}", file=sys.stderr)
            continue
        size = parameters(contenders[name])
        if abs(size / PARAMETERS - 1) > TOLERANCE:
            raise ValueError(f"{name}: expected {PARAMETERS:.0f} parameters within {TOLERANCE:.0%}, got {size}")
    return contenders


def measure(options: argparse.Namespace, here: Place) -> tuple[dict[str, dict], list[dict[str, float]]]:
    """Size, operations and times of every network, and the machine's peaks, all in the same order of repetitions."""
    contenders = built(options.only, here)
    results: dict[str, dict] = {}
    for name, contender in contenders.items():
        results[name] = {
            "parameters": parameters(contender),
            "flops": flops(contender, here) * options.batch,
            "moved": moved(contender, options.batch, here),
            "forward": [],
            "both": [],
        }
    probes = []
    for repetition in range(options.warm_up + options.repetitions):
        peaks = probe(here)
        if repetition >= options.warm_up:
            probes.append(peaks)
        for name, contender in contenders.items():
            once = seconds(contender, options.batch, here, backward=False)
            both = seconds(contender, options.batch, here, backward=True)
            if repetition >= options.warm_up:
                results[name]["forward"].append(once)
                results[name]["both"].append(both)
    for name, result in results.items():
        held = None if options.no_memory else added_memory_elsewhere(name, options)
        if held is not None:
            result["memory_mib"] = held
    return results, probes


def ratio(theirs: list[float], ours: list[float]) -> float:
    """How many times as long they take: the median over repetitions."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def table(results: dict[str, dict]) -> str:
    """Times and sizes of each network; then each peer's, in multiples of ours."""
    columns = f"{'fwd min':>9}{'median':>8}{'f+b min':>9}{'median':>8}{'+MiB':>7}{'GF/s':>6}"
    head = f"{'network':<31}{'M':>7}{'GF fwd':>8}{columns}"
    lines = [head]
    for name, r in results.items():
        speed = r["flops"] / min(r["forward"]) / 1e9
        lines.append(
            f"{name:<31}{r['parameters'] / 1e6:>7.2f}{r['flops'] / 1e9:>8.1f}"
            f"{min(r['forward']):>9.3f}{statistics.median(r['forward']):>8.3f}"
            f"{min(r['both']):>9.3f}{statistics.median(r['both']):>8.3f}"
            f"{r.get('memory_mib', math.nan):>7.0f}{speed:>6.0f}"
        )
    for ours in (name for name in OURS if name in results):
        lines += ["", f"times slower than {ours!r}: forward, forward + backward; times the memory"]
        for peer in (name for name in PEERS if name in results):
            a, b = results[peer], results[ours]
            once, both = ratio(a["forward"], b["forward"]), ratio(a["both"], b["both"])
            memory = a.get("memory_mib", math.nan) / b.get("memory_mib", math.nan)
            lines.append(f"  {peer:<29}{once:>6.2f}{both:>6.2f}{memory:>6.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=positive, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="bf16: autocast, for all networks")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1")
    parser.add_argument("--only", nargs="+", choices=(*OURS, *PEERS), default=[*OURS, *PEERS], metavar="NETWORK")
    parser.add_argument("--repetitions", type=positive, default=7)
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="don't measure memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single time here")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    here = place(options.device, options.dtype, options.clock)
    if options.memory_of:
        print(json.dumps(added_memory(options.memory_of, options.batch, here)))
        return
    results, probes = measure(options, here)
    about = described(here) | {"batch": options.batch}
    print(", ".join(f"{key}: {value}" for key, value in about.items()))
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(about | {"networks": results, "probes": probes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
