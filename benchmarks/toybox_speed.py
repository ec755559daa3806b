"""How much faster toybox makes clips than the mini base network learns from them: the data must never be what waits.

Clips are made on one core, as tensors, as training asks for them. Training is a whole step of the recipe's last phase
(noise, forward, loss, backward, update and moving average) on all threads, with random text embeddings: texts are
encoded before training. Both are measured in turns.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from _machine import CLOCKS, expect_clock
from _options import positive

sys.path.insert(0, str(Path(__file__).parents[1]))

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data import Dataset
from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.loss import output_weight, squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs.text import text_given
from zoetrope.recipes.mini import recipe
from zoetrope.training.spec import TrainSpec
from zoetrope.training.state import TrainState

TOKENS, TARGET = 16, 20


def rendering(dataset: Dataset, stage: StageSpec, first: int, clips: int, clock: str) -> float:
    """Clips a second of making `clips` examples from number `first` on."""
    start = CLOCKS[clock]()
    for index in range(first, first + clips):
        dataset.example(index, stage.shape)
    return clips / (CLOCKS[clock]() - start)


def learning(state: TrainState, stage: StageSpec, x: torch.Tensor, clock: str) -> float:
    """Clips a second of one training step on the clips x (B, C, F, H, W)."""
    batch, width = len(x), stage.network.text_width
    start = CLOCKS[clock]()
    text, mask = torch.randn(batch, TOKENS, width), torch.ones(batch, TOKENS, dtype=torch.bool)
    given = text_given(text, mask) | Conditioning(images=torch.zeros(batch, dtype=torch.bool))
    level, eps = stage.schedule((torch.arange(batch) + 0.5) / batch), torch.randn_like(x)
    output = state.network(diffuse(x, eps, level), level.logsnr.float(), given)
    weight = output_weight(state.spec.weight, stage.prediction, level).float()
    (weight * squared_error(output, target(stage.prediction, x, eps, level))).mean().backward()
    state.update()
    state.advance(batch)
    return batch / (CLOCKS[clock]() - start)


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Clips a second of both, repetition by repetition."""
    chosen = recipe()
    stage = chosen.cascade.stage("base")
    spec: TrainSpec = chosen.train_spec("base")
    batch = spec.phases[-1].batch
    dataset = Toybox().open()
    torch.manual_seed(0)
    network = stage.network.build()
    state = TrainState.alone(network, spec)
    x = torch.stack([dataset.example(index, stage.shape).video for index in range(batch)])
    results: dict[str, list[float]] = {"rendered": [], "learned": []}
    for repetition in range(1 + options.repetitions):
        torch.set_num_threads(1)
        made = rendering(dataset, stage, batch + repetition * options.clips, options.clips, options.clock)
        torch.set_num_threads(options.threads)
        used = learning(state, stage, x, options.clock)
        if repetition > 0:  # the first one warms up
            results["rendered"].append(made)
            results["learned"].append(used)
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=positive, default=2, help="of training; rendering has one")
    parser.add_argument("--clips", type=positive, default=64, help="rendered in each repetition")
    parser.add_argument("--repetitions", type=positive, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    expect_clock(options.clock)
    results = measure(options)
    ratios = [made / used for made, used in zip(results["rendered"], results["learned"], strict=True)]
    made, used = (statistics.median(results[name]) for name in ("rendered", "learned"))
    print(f"toybox, one core:           {made:7.1f} clips/s")
    print(f"training, {options.threads} thread(s):      {used:7.2f} clips/s")
    print(f"ratio (median):             {statistics.median(ratios):7.1f}   (target: at least {TARGET})")
    if options.json:
        options.json.write_text(json.dumps(vars(options) | results, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
