"""The networks of the study of U-Net and transformer: how they are trained, and what is measured of them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import process_time

import torch
from _arms import CPU, DEVICE, Arm, checkpoints
from _judge import Columns as Hits
from _judge import clips, filmed, hits, put_together
from _measured import Json, Kept
from _recipes import painter
from _sampler import DTYPE, Sampler, sampled_with, texts
from _study import Folders

from zoetrope.cascade.spec import StageSpec
from zoetrope.data.toybox.prompts import Prompt, combinations, familiar
from zoetrope.diffusion.loss import squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import NetworkConfig
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.work import sampling as work_of_sampling
from zoetrope.planning.work import training as work_of_training
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batch
from zoetrope.training.grids import Grid, clip_shapes, stretches
from zoetrope.training.learner import Learner
from zoetrope.training.players import networks_of, players_of
from zoetrope.training.rates.inverse_sqrt import InverseSqrt
from zoetrope.training.spec import Phase
from zoetrope.training.state import TrainState

CLIP = VideoShape(frames=8, height=24, width=40, fps=1.5)
STILLS = 8  # pictures for each clip of the training: as many pixels of one as of the other
BATCH = 8  # clips, or pictures of as many pixels
SIZES = ("small", "medium", "large")
KINDS = {"unet": "U-Net", "dit": "transformer"}
PEAK = {"unet": 2e-3, "dit": 4e-3}  # the best of the sweep
SWEPT = (5e-4, 1e-3, 2e-3, 4e-3)
SWEEP = 12_000  # examples
EXAMPLES = {  # as many as take each of a pair about 18, 32 and 50 minutes of a core
    "unet-small": 120_000,
    "dit-small": 92_000,
    "unet-medium": 110_000,
    "dit-medium": 96_000,
    "unet-large": 100_000,
    "dit-large": 82_000,
}
CLIPS, LEVELS = 48, 6  # held-out clips, each at so many noise levels
PROMPTS, NOISES, STEPS = 64, 2, 16
REPEATS = 5
SETS = {"familiar": familiar, "combinations": combinations}
TOLD = {"familiar": "as in training", "combinations": "held-out combinations"}
ASPECTS = ("colour", "shape", "motion", "all")


def unet(fine: int, coarse: int, blocks: int) -> VideoUNetConfig:
    """As mini's base: a level of 2x2 pixels, and one of 4x4 that attends."""
    return VideoUNetConfig(
        patch=2,
        positions=True,
        fps=CLIP.fps,
        levels=(
            Level(width=fine, temporal=("attention",)),
            Level(width=coarse, blocks=blocks, spatial_attention=True, text_attention=True, temporal=("attention",)),
        ),
    )


def transformer(width: int, depth: int) -> DiTConfig:
    """On patches of 4x4 pixels of a frame, the coarse level's cells: so its work for each parameter is the U-Net's."""
    return DiTConfig(
        patch=(1, 4, 4), width=width, depth=depth, modulation="shared", fps=CLIP.fps, per_second=2 * CLIP.fps
    )


NETWORKS: dict[str, NetworkConfig] = {
    "unet-small": unet(64, 128, 2),
    "dit-small": transformer(128, 7),
    "unet-medium": unet(64, 192, 3),
    "dit-medium": transformer(192, 7),
    "unet-large": unet(64, 288, 3),
    "dit-large": transformer(256, 8),
}


def arm(name: str, examples: int, peak: float) -> Arm:
    """A training that could end at any time: its rate falls with the root of the examples, and it has no end in it."""
    recipe = painter(
        CLIP,
        (Phase(examples=examples, batch=BATCH, peak=peak),),
        grids=tuple(
            Grid(frames=frames, height=CLIP.height, width=CLIP.width, share=often)
            for frames, often in ((CLIP.frames, 1.0), (1, float(STILLS)))
        ),
        same_pixels=True,
        rate=InverseSqrt(after=10_000),
        warm_up=2_000,
        cool_down=0,
        half_life=max(1, examples // 50),
        checkpoint_every=max(2, examples // 4),
        keep=9,
    )
    recipe = recipe.override("base.network", NETWORKS[name].to_json())
    return Arm(recipe.override("base.schedule", Cosine(shift=-4.0).to_json()))


def swept(kind: str, peak: float) -> str:
    """The name of an arm of the sweep."""
    return f"{kind}-small-at-{1000 * peak:g}e-3"


MAIN = {name: arm(name, EXAMPLES[name], PEAK[name.partition("-")[0]]) for name in NETWORKS}
ARMS = {
    **{swept(kind, peak): arm(f"{kind}-small", SWEEP, peak) for kind in KINDS for peak in SWEPT},
    **MAIN,
}


def stage_of(name: str) -> StageSpec:
    """The only stage of an arm."""
    return ARMS[name].recipe.cascade.stages[0]


def losses(folder: Path, checkpoint: Path) -> list[list[float]]:
    """The squared error of v of each held-out clip at each level, (LEVELS, CLIPS): the same noise for all networks."""
    sampler = Sampler.of_run(folder, checkpoint)
    x, told = clips(CLIPS, CLIP)
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    rows = []
    for number in range(LEVELS):
        row = []
        for first in range(0, CLIPS, BATCH):
            part = slice(first, first + BATCH)
            level = sampler.stage.schedule(torch.full((len(x[part]),), (number + 0.5) / LEVELS, dtype=torch.float64))
            given = texts(sampler.encoder, told[part]).to(DEVICE, torch.float32)
            z = diffuse(x[part], eps[part], level)
            with torch.no_grad(), torch.autocast(DEVICE.type, DTYPE):
                out = sampler.network(z.to(DEVICE), level.logsnr.float().to(DEVICE), given).float().cpu()
            row += squared_error(out, target("v", x[part], eps[part], level)).tolist()
        rows.append(row)
    return rows


def course(name: str, folder: Path, kept: Kept) -> list[Json]:
    """The losses of every checkpoint of a run, oldest first."""
    return [
        {"examples": int(each.name), "losses": kept(f"loss-{name}-{each.name}", partial(losses, folder, each))}
        for each in checkpoints(folder)
        if int(each.name) > 0
    ]


def _judged(folder: Path, prompts: Sequence[Prompt], seed: int) -> Hits:
    sampler = Sampler.of_run(folder)
    made = sampler([each.text for each in prompts], seed=seed, stage=sampled_with(sampler.stage, steps=STEPS))
    return hits(made, prompts, CLIP.fps)


def scores(name: str, folder: Path, kept: Kept) -> Json:
    """Whether what a finished run makes is right, for each set of prompts: tables (NOISES, PROMPTS)."""
    return {
        key: put_together(
            [
                kept(f"score-{name}-{key}-{seed}", partial(_judged, folder, make(PROMPTS), seed))
                for seed in range(NOISES)
            ]
        )
        for key, make in SETS.items()
    }


class Bench:
    """An arm with fresh weights on the processor, whose time is told: neither time nor memory depends on values."""

    def __init__(self, name: str):
        self.stage, self.spec = stage_of(name), ARMS[name].recipe.train_spec("base")
        networks = {key: config.build() for key, config in networks_of(self.stage, self.spec).items()}
        self.state = TrainState(players_of(networks, self.stage, self.spec, DTYPE), self.spec)
        self.sampling = fused(self.stage.network.build().eval())
        self.learner = Learner(self.stage, self.spec, self.state.players, CPU, DTYPE)
        phase = self.spec.phases[0]
        sizes = [each.batch for each, _ in stretches(self.spec)]
        shapes = clip_shapes(self.stage, self.spec, phase)
        self.batches = [self._batch(size, shape) for size, shape in zip(sizes, shapes, strict=True)]

    def _batch(self, size: int, shape: VideoShape) -> Batch:
        width = self.stage.network.text_width
        assert width is not None
        text = text_given(torch.randn(size, 16, width), torch.ones(size, 16, dtype=torch.bool))
        x = torch.randn(size, 3, *shape.sizes)
        times = torch.rand(size, dtype=torch.float64)
        return Batch(x=x, conditioning=text, eps=x, times=times, part=torch.arange(size), names=("",) * size)

    def forward(self) -> float:
        """Milliseconds of a clip, without gradients."""
        clip = self.batches[0]
        z, given = clip.x, clip.conditioning.to(CPU, torch.float32)
        start = process_time()
        with torch.no_grad(), torch.autocast(CPU.type, DTYPE):
            self.sampling(z, torch.zeros(len(z)), given)
        return 1000 * (process_time() - start) / len(z)

    def training(self) -> float:
        """Milliseconds of an example, on average over clips and pictures in their shares: errors, gradients, update."""
        total = sum(grid.share for grid in self.spec.grids)
        seconds = 0.0
        for grid, batch in zip(self.spec.grids, self.batches, strict=True):
            start = process_time()
            self.learner.gradients("student", batch, 1)
            self.state.gradient_norm()
            self.state.update()
            self.state.advance(batch.size)
            seconds += (process_time() - start) / batch.size * grid.share / total
        return 1000 * seconds


def speeds() -> Json:
    """Milliseconds of a core that a clip forward and an example of the training take, arm by arm in turns."""
    benches = {name: Bench(name) for name in MAIN}
    found: dict[str, dict[str, list[float]]] = {name: {"forward": [], "training": []} for name in MAIN}
    for number in range(REPEATS + 1):
        for name, bench in benches.items():
            forward, training = bench.forward(), bench.training()
            if number:  # the first warms up
                found[name]["forward"].append(forward)
                found[name]["training"].append(training)
    return found


def counted(name: str) -> Json:
    """Parameters, operations and bytes, counted by running the real code without data."""
    stage, spec = stage_of(name), ARMS[name].recipe.train_spec("base")
    once, whole = work_of_sampling(stage, DTYPE), work_of_training(stage, spec, DTYPE)
    return {
        "parameters": once.parameters,
        "forward": once.flops_per_forward,
        "training": whole.flops / spec.examples,
        "sampling_bytes": once.peak,
        "training_bytes": whole.peak,
    }


def measure(folders: Folders, kept: Kept) -> Json:
    """All that is known of the arms."""
    of_seed = {name: each[0] for name, each in folders.items()}
    return {
        "arms": {
            name: {
                **kept(f"counted-{name}", partial(counted, name)),
                "milliseconds": kept("speeds", speeds)[name],
                "course": course(name, of_seed[name], kept),
                "scores": scores(name, of_seed[name], kept),
            }
            for name in MAIN
        },
        "sweep": {
            kind: {str(peak): course(swept(kind, peak), of_seed[swept(kind, peak)], kept)[-1] for peak in SWEPT}
            for kind in KINDS
        },
        "truth": kept(
            "truth", lambda: {key: hits(filmed(make(PROMPTS), CLIP), make(PROMPTS), CLIP.fps)
                              for key, make in SETS.items()}
        ),
    }  # fmt: skip
