"""No result has changed: what tiny cascades make, and how tiny trainings begin, against numbers that were kept.

Weights and noise come from seeds, everything computes in float32 on the CPU. A change that is meant to change results
replaces the numbers and says so: `python tests/test_golden.py` prints what they are now.
"""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.loss import squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.low_res import low_res_given, usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.shapes import VideoShape

TEXT, TOKENS = 8, 3
SMALL = VideoShape(frames=2, height=8, width=8, fps=2)
LONG = VideoShape(frames=4, height=8, width=8, fps=4)
LARGE = VideoShape(frames=4, height=16, width=16, fps=4)
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # of sums in another order; a change of what is computed is larger by far

# Mean, standard deviation, and four values in fixed places.
SAMPLED: dict[str, list[float]] = {
    "ddim": [0.059647, 0.508824, 0.610478, 0.003291, -0.018415, 0.023489],
    "ancestral": [0.072321, 0.555061, 0.738836, -0.730691, 0.87012, 0.142042],
    "heun": [0.057223, 0.562705, 0.538016, 0.217557, -0.097901, -0.032399],
}
# The loss, the norm of its gradient, and that of the first half of the weights by name.
LEARNT: dict[str, list[float]] = {
    "base": [0.881501, 5.625989, 0.020695],
    "tsr": [0.861856, 1.138446, 0.039851],
    "ssr": [0.86754, 1.210804, 0.057822],
}


def stages(sampler: Sampler) -> list[StageSpec]:
    """A base, a temporal and a spatial stage that have every sort of layer among them."""
    attends = Level(width=16, spatial_attention=True, text_attention=True, temporal="attention")
    convolves = Level(width=8, temporal="convolution")
    seen = Level(width=16, text_attention=True, temporal="convolution")
    base = VideoUNetConfig(text_width=TEXT, embedding=16, head=8, positions=True, levels=(convolves, attends))
    finer = VideoUNetConfig(text_width=TEXT, embedding=16, head=8, low_res=True, patch=2, levels=(convolves, seen))
    sampling = SamplingSpec(sampler=sampler, steps=3)
    oscillating = Oscillating(high=3.0, low=0.5, constant=1)
    guided = SamplingSpec(sampler=sampler, steps=4, guidance=oscillating, threshold=0.95)
    blank = usual_inputs(SMALL, logsnr=1.0, fill="blank")
    return [
        StageSpec(name="base", shape=SMALL, network=base, sampling=guided),
        StageSpec(
            name="tsr",
            shape=LONG,
            inputs=blank,
            network=finer,
            sampling=sampling,
        ),
        StageSpec(name="ssr", shape=LARGE, inputs=usual_inputs(LONG, logsnr=1.0), network=finer, sampling=sampling),
    ]


def network_of(stage: StageSpec) -> Network:
    """A network whose weights are random everywhere, in the order of the names that they had at first."""
    network, draw = stage.network.build(), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weights in by_first_names(network).values():
            shape = (sum(map(len, weights)), *weights[0].shape[1:])
            values = 0.5 * torch.randn(shape, generator=draw) / max(1, weights[0][0].numel()) ** 0.5
            for weight, own in zip(weights, values.split([len(each) for each in weights]), strict=True):
                weight.copy_(own)
    return network


def by_first_names(network: Network) -> dict[str, list[Tensor]]:
    """Weights in the order of the names that they had when the numbers here were made, with all that had one name."""
    found: dict[str, list[Tensor]] = {}
    formerly = network.formerly()
    for name, weight in network.named_parameters():
        found.setdefault(formerly[name].name if name in formerly else name, []).append(weight)
    return dict(sorted(found.items()))


def text() -> Conditioning:
    """Two prompts, one of them shorter."""
    mask = torch.ones(2, TOKENS, dtype=torch.bool)
    mask[1, -1] = False
    return text_given(random(2, TOKENS, TEXT, seed=1), mask)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def summary(x: Tensor) -> list[float]:
    flat = x.flatten()
    return [float(flat.mean()), float(flat.std()), *(float(flat[len(flat) * k // 5]) for k in (1, 2, 3, 4))]


def sampled(sampler: Sampler) -> list[float]:
    """What the last of the stages makes of what those before it made."""
    video: Tensor | None = None
    for stage in stages(sampler):
        network = network_of(stage).eval().requires_grad_(False)
        video = stage_video(stage, network, text(), video, Draw(seed=3, samples=[0, 1], scheme="mersenne"))
    assert video is not None
    return summary(video)


def learnt(number: int) -> list[float]:
    """The loss of a stage on noisy clips, and norms of its gradients."""
    stage = stages(DDIM())[number]
    network, given = network_of(stage), text()
    x, eps = (random(2, 3, *stage.shape.sizes, seed=seed).clamp(-1, 1) for seed in (7, 8))
    if stage.source is not None:
        given = given | low_res_given(x.flip(2), torch.ones(2))
    level = stage.schedule(torch.tensor([0.3, 0.8]))
    output = network(diffuse(x, eps, level), level.logsnr.float(), given)
    loss = squared_error(output, target(stage.prediction, x, eps, level)).mean()
    loss.backward()
    known = [[w.grad.flatten() for w in each if w.grad is not None] for each in by_first_names(network).values()]
    norms = [torch.cat(each).norm() for each in known if each]
    return [float(loss.detach()), float(torch.stack(norms).norm()), float(torch.stack(norms[: len(norms) // 2]).norm())]


RUNS: dict[str, Callable[[], list[float]]] = {
    "ddim": lambda: sampled(DDIM()),
    "ancestral": lambda: sampled(Ancestral()),
    "heun": lambda: sampled(Heun()),
}


def agree(now: Sequence[float], kept: Sequence[float]) -> None:
    assert list(now) == pytest.approx(list(kept), rel=RELATIVE, abs=ABSOLUTE)


@pytest.mark.parametrize("name", RUNS)
def test_what_is_sampled_has_not_changed(name: str) -> None:
    agree(RUNS[name](), SAMPLED[name])


@pytest.mark.parametrize("number", range(3))
def test_how_training_begins_has_not_changed(number: int) -> None:
    agree(learnt(number), LEARNT[stages(DDIM())[number].name])


if __name__ == "__main__":
    for one, run in RUNS.items():
        print(f'    "{one}": {[round(value, 6) for value in run()]},')
    for place, stage in enumerate(stages(DDIM())):
        print(f'    "{stage.name}": {[round(value, 6) for value in learnt(place)]},')
