"""Fields on a torus with the exact denoiser, through the public API: all that samples should be is known.

Scales, given frames, masks, rollouts by context and downscaling reach the means, spreads and scores of closed forms.
The score of a perfect ensemble is sigma / sqrt(pi).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.channels import Channel
from zoetrope.fields import Fields
from zoetrope.inputs.low_res import LowRes
from zoetrope.inputs.region import Region
from zoetrope.known.learnt import Learnt
from zoetrope.metrics.choice import choose
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.evaluation import measured
from zoetrope.metrics.generation import RolledOut, Wanted, WorkShare, generate
from zoetrope.metrics.measures import Result
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.samplers.heun import Heun
from zoetrope.scales.deviation import Deviation
from zoetrope.schemes.autoregressive import Autoregressive
from zoetrope.shapes import VideoShape

from .torus import SIZE, TorusConfig, factors, reduced, sampled, seen, variances, whole_covariance

CHANNELS = (
    Channel(name="t", unit="K", scale=Deviation(mean=280, deviation=5)),
    Channel(name="q", unit="g kg-1", scale=Deviation(mean=4, deviation=0.5)),
)
DEVIATIONS = np.array([5, 0.5])
SHAPE = VideoShape(frames=4, height=SIZE, width=SIZE, fps=1)
CASES, MEMBERS = 10, 12
SAMPLING = SamplingSpec(sampler=Heun(), steps=24, threshold=None, known=Learnt())


def cascade_of(*stages: StageSpec) -> Cascade:
    spec = CascadeSpec(name="torus", channels=CHANNELS, stages=stages)
    return Cascade(spec, lambda stage: stage.network.build())


def stage_of(config: TorusConfig, inputs: tuple = (), name: str = "base") -> StageSpec:
    return StageSpec(name=name, shape=SHAPE, inputs=inputs, network=config, sampling=SAMPLING, prediction="x")


def fields(x: Tensor) -> Fields:
    """Values in units of videos (C, F, N, N) as networks see them."""
    return Fields.of_model(x, CHANNELS, 1)


def truth_of(frames: int, stirred: bool) -> Tensor:
    """(CASES, C, F, N, N), the channels independent."""
    return sampled(CASES * 2, frames, stirred, seed=3).unflatten(0, (CASES, 2))


def material_of(made: Sequence[Fields], truth: Tensor, known: tuple[int, ...] = ()) -> Material:
    true = Clips.of([fields(one) for one in truth])
    return Material(Clips.of(made), true, paired=True, members=len(made) // len(truth), known=known)


def judged(material: Material) -> dict[str, Result]:
    names = ["crps", "spread_skill", "rmse"]
    found = dict(zip(names, measured(choose(names, {}), material), strict=True))
    return {name: one for name, one in found.items() if isinstance(one, Result)}


def expect_scores(material: Material, sigma: Tensor) -> None:
    """Scores, spreads and skills by frame are those of deviations (F,), within what samples scatter."""
    results, cases, members = judged(material), material.cases, material.members
    far = 4 / math.sqrt(2 * cases * SIZE**2 / 8)  # neighbouring pixels are alike: an eighth of them are independent
    for channel, deviation in zip(CHANNELS, DEVIATIONS, strict=True):
        wanted = deviation * sigma.numpy()
        row = results["spread_skill"].details["channels"][channel.name]
        np.testing.assert_allclose(row["spread"], wanted, rtol=far / 2)
        np.testing.assert_allclose(row["skill"], wanted * math.sqrt(1 + 1 / members), rtol=far)
        crps = results["crps"].details["channels"][channel.name]["by_frame"]
        np.testing.assert_allclose(crps, wanted / math.sqrt(math.pi), rtol=1.5 * far)
    single = [
        replace(material, made=_case(material.made, k, members), real=_case(material.real, k, 1)) for k in range(cases)
    ]
    scores = np.array(
        [
            judged(one)["crps"].details["channels"][channel.name]["value"] / deviation
            for one in single
            for channel, deviation in zip(CHANNELS, DEVIATIONS, strict=True)
        ]
    )
    error = scores.std(ddof=1) / math.sqrt(len(scores))
    assert abs(scores.mean() - float(sigma.mean()) / math.sqrt(math.pi)) < 3.5 * error


def _case(clips: Clips | None, number: int, count: int) -> Clips:
    """The clips of one case alone."""
    assert clips is not None
    read = clips.read
    return replace(clips, count=count, read=lambda own: read(number * count + own))


def ahead(lags: int) -> Tensor:
    """The deviation of a pixel so many frames after the last known one, (lags,), on the scale."""
    a, v = factors().abs(), variances()
    return torch.stack([(v * (1 - a ** (2 * lag))).sum() for lag in range(1, lags + 1)]).sqrt() / SIZE


def test_forecasts_from_known_frames() -> None:
    """The mean of frame t is a^t u(0) in every wave, and the spread what stirring adds."""
    truth = truth_of(4, True)
    cascade = cascade_of(stage_of(TorusConfig(channels=2)))
    made = list[Fields]()
    for number, one in enumerate(truth):
        given = fields(one).values[:, :2]
        made += cascade.generate(count=MEMBERS, batch=MEMBERS, known={"0:2": given}, seed=number)  # type: ignore[arg-type]
    material = material_of(made, truth, (0, 1))
    expect_scores(material, ahead(2))
    results = judged(material)
    assert results["rmse"].value < 0.8 * results["rmse"].plain["persistence"]
    mean = torch.from_numpy(np.stack([one.values for one in made])).unflatten(0, (CASES, MEMBERS)).double().mean(1)
    x = torch.stack([channel.scale.to_model(mean[:, k]) for k, channel in enumerate(CHANNELS)], 1)
    u = torch.fft.fft2(truth[:, :, 1], norm="ortho").flatten(-2) * factors() ** 2
    wanted = torch.fft.ifft2(u.unflatten(-1, (SIZE, SIZE)), norm="ortho").real
    scatter = float(ahead(2)[1]) / math.sqrt(MEMBERS)
    assert float((x[:, :, 3] - wanted).square().mean().sqrt()) == pytest.approx(scatter, rel=0.1)


def rolled(folder: Path, config: TorusConfig, truth: Tensor, known: int, members: int) -> tuple[Shelf, Material]:
    """Ensembles of long videos, as `evaluate` makes them."""
    frames = truth.shape[2]
    shape = SHAPE.with_(frames=frames)
    made, real = (Shelf(folder / name, shape, CHANNELS) for name in ("made", "real"))
    for number, one in enumerate(truth.float()):
        real.put(number, one, "")
    wanted = Wanted(
        prompts=[""] * (len(truth) * members), real=real.read, members=members, known=tuple(range(known)),
        rollout=RolledOut(float(frames), Autoregressive()),
    )  # fmt: skip
    assert list(generate(cascade_of(stage_of(config)), made, wanted, WorkShare()))[-1] == len(truth) * members
    clips = [shelf.clips(count, "") for shelf, count in ((made, len(truth) * members), (real, len(truth)))]
    return made, Material(*clips, paired=True, members=members, known=wanted.known)


def test_rollouts_by_context_keep_the_law_of_the_future(tmp_path: Path) -> None:
    truth = truth_of(8, True)[:5]
    _, material = rolled(tmp_path, TorusConfig(channels=2), truth, 2, 6)
    expect_scores(material, ahead(6))


def test_without_stirring_the_first_frame_determines_all(tmp_path: Path) -> None:
    truth = truth_of(8, False)[:2]
    made, _ = rolled(tmp_path, TorusConfig(channels=2, stirred=False), truth, 1, 1)
    for number, one in enumerate(truth):
        torch.testing.assert_close(made.read(number).double(), one, rtol=0, atol=2e-3)


def test_downscaling_keeps_what_is_seen_and_spreads_what_is_not() -> None:
    """Waves of the coarse grid come out as they are; the others keep V exp(-2 (kappa |k|^2 + mu) t)."""
    truth = truth_of(4, False)
    coarse = SHAPE.with_(height=3, width=3)
    base = stage_of(TorusConfig(channels=2)).with_(shape=coarse)
    inputs = (LowRes(shape=coarse),)
    fine = stage_of(TorusConfig(channels=2, low_res=True, knows="coarse", stirred=False), inputs, "ssr")
    cascade = cascade_of(base, fine)
    made = list[Fields]()
    for number, one in enumerate(truth):
        given = fields(reduced(one))
        made += cascade.generate(count=MEMBERS, batch=MEMBERS, video=given, after="base", seed=number)  # type: ignore[arg-type]
    unseen = torch.where(seen(), 0, variances())
    sigma = torch.stack([(unseen * factors().abs() ** (2 * t)).sum() for t in range(4)]).sqrt() / SIZE
    expect_scores(material_of(made, truth), sigma)
    for number in (0, CASES - 1):
        for member in (0, MEMBERS - 1):
            x = made[number * MEMBERS + member].to_tensor().double()
            torch.testing.assert_close(reduced(x), reduced(truth[number]), rtol=0, atol=2e-3)


def test_masks_of_known_pixels() -> None:
    """Of two frames half of each is known: mean and spread of the rest are those of a Gaussian given its part."""
    shape = SHAPE.with_(frames=2)
    stage = stage_of(TorusConfig(channels=2, knows="pixels"), (Region(),)).with_(shape=shape)
    cascade = cascade_of(stage)
    truth = truth_of(2, True)[0]
    holes = np.zeros((SIZE, SIZE), bool)
    holes[:, 4:] = True
    given = fields(truth)
    count = 64
    made = cascade.generate(count=count, batch=count, known={"0:2": given}, mask=holes, seed=1)
    values = np.stack([one.values for one in made])  # type: ignore[attr-defined]
    known = ~np.broadcast_to(holes, (2, SIZE, SIZE))
    kept = np.broadcast_to(given.values[..., known], (count, 2, known.sum()))
    np.testing.assert_allclose(values[..., known], kept, rtol=1e-5)
    k, told = whole_covariance(2), torch.from_numpy(known.flatten())
    gain = torch.linalg.solve(k[told][:, told], k[told][:, ~told])
    spread = (k[~told][:, ~told] - k[~told][:, told] @ gain).diagonal().sqrt()
    x = torch.from_numpy(values).double().sub(torch.tensor([280.0, 4.0]).view(-1, 1, 1, 1)).flatten(2)[:, :, ~told]
    x /= torch.from_numpy(DEVIATIONS)[:, None]
    wanted = truth.flatten(1)[:, told] @ gain
    z = (x.mean(0) - wanted) / (spread / math.sqrt(count))
    assert float(z.square().mean()) == pytest.approx(1, abs=0.4)
    ratio = x.var(0).mean(0) / spread.square()
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1) and float(ratio.min()) > 0.5 and float(ratio.max()) < 1.7
