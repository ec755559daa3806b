"""What sampling really holds, against what its plan says: for every threshold, sampler and sort of guidance."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from zoetrope.samplers import Sampler

PROGRAM = """
import gc, json, math, sys
from pathlib import Path
import torch
from zoetrope.cascade.execution import cost
from zoetrope.cascade.execution.layout import layout_bytes, plan_layout
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.text import text_given
from zoetrope.diffusion import process, quantile
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.shapes import VideoShape

torch.set_num_threads(1)
process.PIECE = quantile.PIECE = 2**18  # small against a video, as they are against large ones
cost.PART = 2**16  # a frame
level = Level(width=16, convolution=False, text_attention=True, temporal="convolution")
network = VideoUNetConfig(text_width=8, embedding=16, head=8, patch=8, levels=(level,))
shape = VideoShape(frames=16, height=256, width=256, fps=8)
video = 4 * 3 * math.prod(shape.sizes)
text = text_given(torch.zeros(1, 3, 8), torch.ones(1, 3, dtype=torch.bool))

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

def run(sampler, threshold, guided):
    guidance = Oscillating(high=3.0, low=1.0, constant=1) if guided else 0.0
    sampling = SamplingSpec(sampler=sampler, steps=3, threshold=threshold, guidance=guidance)
    stage = StageSpec(name="base", shape=shape, network=network, sampling=sampling)
    built = network.build().eval().requires_grad_(False)
    layout = plan_layout(stage, 1, 3, None, torch.device("cpu"))
    draw = Draw(seed=0, samples=[0], layout=layout, negative=text if guided else None)
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    for x_hat in sample_stage(stage, built, text, None, draw):
        del x_hat
    return (status("VmHWM") - before) / video, layout_bytes(stage, 1, 3, layout) / video

run("ddim", 0.9, True)
print(json.dumps([run(*case) for case in json.loads(sys.argv[1])]))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not count peaks anew")
@pytest.mark.long
def test_peaks_stay_within_the_plan() -> None:
    cases = list(product(Sampler.names(), [None, "static", 0.995], [False, True]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(cases)],
        capture_output=True,
        text=True,
        # Freed memory goes back at once, so that nothing of one case is left for the next.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    for case, (held, planned) in zip(cases, json.loads(done.stdout), strict=True):
        assert 0.3 * planned < held < planned + 0.2, (case, held, planned)
