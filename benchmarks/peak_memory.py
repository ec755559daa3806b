"""The peak memory of a whole cascade that ends in 128 frames of 768x1280, in a process of its own.

Its networks are untrained; memory and time are those of trained ones of their shape. It samples, and writes the video.

    python benchmarks/peak_memory.py --memory 6GB
"""

import argparse
import json
import logging
import math
import tempfile
import time
from pathlib import Path

import torch
from _options import positive

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.commands._options import bytes_named
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.minilm import MiniLM
from zoetrope.training.meters import peak_memory

SMALL = VideoShape(frames=128, height=192, width=320, fps=24)
LARGE = VideoShape(frames=128, height=768, width=1280, fps=24)


def cascade(steps: int, threshold: float | None) -> CascadeSpec:
    """A base stage, the smallest that there can be, and a super-resolution stage that has convolutions alone."""
    first = VideoUNetConfig(patch=16, levels=(Level(width=32),))
    levels = (Level(width=64, temporal="convolution"), Level(width=96, text_attention=True, temporal="convolution"))
    sampling = SamplingSpec(steps=steps, threshold=threshold or "static")
    return CascadeSpec(
        name="untrained",
        text=MiniLM(),
        stages=(
            StageSpec(name="base", shape=SMALL, network=first, sampling=SamplingSpec(steps=1)),
            StageSpec(
                name="ssr",
                shape=LARGE,
                inputs=usual_inputs(SMALL, logsnr=math.log(3)),
                network=VideoUNetConfig(low_res=True, patch=8, levels=levels),
                sampling=sampling,
            ),
        ),
    )


def build(stage: StageSpec) -> Network:
    """A stage's network with fresh weights."""
    return stage.network.build().eval().requires_grad_(False)


def main() -> None:
    """Run it and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=bytes_named, help="the budget [what can be spared]")
    parser.add_argument("--steps", type=positive, default=2)
    parser.add_argument("--threshold", type=float, help="a percentile for dynamic thresholding [static]")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    made = Cascade(cascade(arguments.steps, arguments.threshold), build)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made.generate(None, memory=arguments.memory).save(Path(folder) / "video.mp4")
    peak = peak_memory(torch.device("cpu"))
    seconds = time.perf_counter() - start
    print(json.dumps({"budget": arguments.memory, "peak_bytes": peak, "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
