"""The plumbing of a cascade against Gaussian videos, for which everything that a stage should make is known.

The networks here are exact denoisers, so that what is tested is all the rest: grids, augmentation, levels, noise.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.augmentation import augment, augmentation_logsnr
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import Prediction
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks import Network, NetworkConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import degrade, resize, upsample

SNR3 = math.log(3)


def ar1(size: int, rho: float = 0.9) -> Tensor:
    place = torch.arange(size, dtype=torch.float64)
    return rho ** (place[:, None] - place[None]).abs()


def matrix(function: Callable[[Tensor], Tensor], shape: VideoShape) -> Tensor:
    """The matrix of a linear function of videos on that grid, (outputs, inputs)."""
    size = shape.frames * shape.height * shape.width
    units = torch.eye(size, dtype=torch.float64).view(size, 1, shape.frames, shape.height, shape.width)
    return function(units).flatten(1).T


class OracleConfig(NetworkConfig):
    """The exact denoiser of N(0, K) for each colour, K given as rows; or of it given low_res = alpha' H x + sigma' n.

    `jump` makes it answer with the end of the exact flow instead, so that one DDIM step samples exactly.
    """

    covariance: tuple[tuple[float, ...], ...]
    seen: tuple[tuple[float, ...], ...] | None = None
    prediction: Prediction = "v"
    jump: bool = False

    def build(self) -> "Oracle":
        return Oracle(self)

    def check(self, frames: int, height: int, width: int) -> None:
        if frames * height * width != len(self.covariance):
            raise ValueError(f"expected {len(self.covariance)} pixels, got {frames}x{height}x{width}")


class Oracle(Network):
    """See `OracleConfig`."""

    def __init__(self, config: OracleConfig):
        super().__init__()
        self.config = config

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        level = NoiseLevel.variance_preserving(logsnr)
        alpha, sigma = float(level.alpha[0]), float(level.sigma[0])
        rows = z.double().flatten(2).flatten(0, 1)  # (B C, F H W)
        mean, covariance = self._law(rows, conditioning)
        eye = torch.eye(rows.shape[1], dtype=torch.float64)
        noisy = alpha**2 * covariance + sigma**2 * eye
        if self.config.jump:
            values, vectors = torch.linalg.eigh(covariance)
            gains = (values.clamp(min=0) / (alpha**2 * values + sigma**2)).sqrt()
            x = mean + (rows - alpha * mean) @ (vectors * gains @ vectors.T)
        else:
            x = mean + alpha * (rows - alpha * mean) @ torch.linalg.solve(noisy, covariance)
        out = x if self.config.prediction == "x" else (alpha * rows - x) / sigma
        return out.view(z.shape).to(z.dtype)

    def _law(self, rows: Tensor, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the video, given what is seen of it."""
        prior = torch.tensor(self.config.covariance, dtype=torch.float64)
        if self.config.seen is None:
            return torch.zeros_like(rows), prior
        level = NoiseLevel.variance_preserving(conditioning.numbers["low_res_logsnr"])
        gain, covariance = posterior(prior, torch.tensor(self.config.seen, dtype=torch.float64), level)
        return conditioning.maps["low_res"].double().flatten(2).flatten(0, 1) @ gain.T, covariance


def posterior(prior: Tensor, seen: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
    """The gain G and the covariance P of x given c = alpha H x + sigma n: x | c ~ N(G c, P)."""
    alpha, sigma = float(level.alpha[0]), float(level.sigma[0])
    noisy = alpha**2 * seen @ prior @ seen.T + sigma**2 * torch.eye(len(seen), dtype=torch.float64)
    gain = alpha * torch.linalg.solve(noisy, seen @ prior).T
    return gain, prior - alpha * gain @ seen @ prior


def rows(value: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, value.tolist()))


def stage_of(
    shape: VideoShape,
    covariance: Tensor,
    source: VideoShape | None = None,
    seen: Tensor | None = None,
    *,
    sampler: Sampler | None = None,
    steps: int = 1,
    logsnr: float | None = SNR3,
    prediction: Prediction = "v",
    fill: str = "repeat",
    jump: bool = False,
) -> StageSpec:
    network = OracleConfig(
        covariance=rows(covariance),
        seen=None if seen is None else rows(seen),
        prediction=prediction,
        jump=jump,
        low_res=source is not None,
    )
    sampling = SamplingSpec(sampler=sampler or DDIM(), steps=steps, threshold=None)
    return StageSpec(
        name="base" if source is None else f"stage{shape.frames}x{shape.height}",
        shape=shape,
        inputs=usual_inputs(source, logsnr=logsnr, fill=fill),
        network=network,
        sampling=sampling,
        prediction=prediction,
    )


def drawn(stage: StageSpec, purpose: str, count: int) -> Tensor:
    """The noise that a stage is given, (B, C, F, H, W)."""
    generator = torch.Generator().manual_seed(seeded(stage.name, purpose))
    return torch.randn(count, 3, *stage.shape.sizes, generator=generator)


def run(stage: StageSpec, video: Tensor | None, count: int) -> Tensor:
    """What the real sampling code makes of a stage, (B, C, F, H, W)."""
    draw = Draw(seed=0, samples=range(count), noise=lambda purpose, window: window.of(drawn(stage, purpose, count)))
    return stage_video(stage, stage.network.build(), Conditioning(), video, draw)


LINE = VideoShape(frames=8, height=1, width=1, fps=8)
SKIPPED = VideoShape(frames=4, height=1, width=1, fps=4)
LOW = torch.tensor([1, -0.5, 0.3, 0.8]).view(1, 1, 4, 1, 1)


def tsr_matrix(fill: str) -> Tensor:
    return matrix(lambda video: upsample(degrade(video, SKIPPED), LINE, fill), LINE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fill", "mean"),
    [
        ("repeat", (0.654264, 0.289028, -0.072996, 0.105040, 0.284243, 0.446645, 0.614009, 0.552609)),
        ("blank", (0.529610, 0.290542, 0.054702, 0.170781, 0.288758, 0.402823, 0.521363, 0.469227)),
    ],
)
def test_tabulated_law_of_missing_frames(fill: str, mean: tuple[float, ...]) -> None:
    level = NoiseLevel.variance_preserving(torch.tensor([SNR3]))
    gain, covariance = posterior(ar1(8), tsr_matrix(fill), level)
    up = upsample(LOW.double(), LINE, fill)  # type: ignore[arg-type]
    given = augment(up, torch.zeros_like(up), torch.tensor([SNR3]))
    assert (gain @ given.flatten()).tolist() == pytest.approx(mean, abs=2e-6)
    if fill == "repeat":
        expected = (0.119507, 0.173696, 0.103642, 0.168065, 0.103642, 0.173696, 0.119507, 0.286801)
        assert covariance.diagonal().tolist() == pytest.approx(expected, abs=1e-6)


def test_tabulated_law_without_augmentation() -> None:
    level = NoiseLevel.variance_preserving(torch.tensor([30.0]))
    gain, covariance = posterior(ar1(8), tsr_matrix("repeat"), level)
    response = gain @ upsample(torch.eye(4, dtype=torch.float64).view(4, 1, 4, 1, 1), LINE).flatten(1).T
    assert response[1].tolist() == pytest.approx([0.497238, 0.497238, 0, 0], abs=1e-5)
    assert float(covariance[1, 1]) == pytest.approx(0.104972, abs=1e-5)
    assert response[7].tolist() == pytest.approx([0, 0, 0, 0.9], abs=1e-5)
    assert float(covariance[7, 7]) == pytest.approx(0.19, abs=1e-5)


def test_tabulated_law_of_missing_pixels() -> None:
    """Pair averages, brought back bilinearly."""
    wide, narrow = (VideoShape(frames=1, height=1, width=size, fps=1) for size in (8, 4))

    def bilinear(video: Tensor) -> Tensor:
        return upsample(video, wide)

    average = torch.kron(torch.eye(4, dtype=torch.float64), torch.full((1, 2), 0.5, dtype=torch.float64))
    seen = matrix(bilinear, narrow) @ average
    gain, covariance = posterior(ar1(8), seen, NoiseLevel.variance_preserving(torch.tensor([SNR3])))
    given = math.sqrt(0.75) * bilinear(LOW.double().view(1, 1, 1, 1, 4)).flatten()
    mean = (0.570225, 0.459614, 0.180139, 0.093871, 0.199849, 0.343896, 0.527611, 0.589642)
    variances = (0.193538, 0.144935, 0.144393, 0.144800, 0.144800, 0.144393, 0.144935, 0.193538)
    assert (gain @ given).tolist() == pytest.approx(mean, abs=2e-6)
    assert covariance.diagonal().tolist() == pytest.approx(variances, abs=2e-6)


def answers(stage: StageSpec, count: int, video: Tensor | None, *purposes: str) -> tuple[list[Tensor], float]:
    """How the output depends on the input video and on each noise, as matrices, and how far from linear it is.

    Fitted to what the real code made of `count` samples; the network is linear, so the fit is exact to rounding.
    """
    out = run(stage, video, count).flatten(2).flatten(0, 1).double()
    inputs = [drawn(stage, purpose, count).flatten(2).flatten(0, 1).double() for purpose in purposes]
    if video is not None:
        inputs.insert(0, video.flatten(2).flatten(0, 1).double())
    together = torch.cat(inputs, dim=1)
    assert len(together) > together.shape[1]
    solution = torch.linalg.lstsq(together, out).solution
    residual = float((together @ solution - out).abs().max())
    return [part.T for part in solution.split([value.shape[1] for value in inputs])], residual


TSR_ERRORS = {
    "ddim": (0.319, 0.174, 0.0914, 0.0468, 0.0237, 0.0119),
    "0": (0.440, 0.287, 0.174, 0.0991, 0.0540, 0.0285),
    "0.5": (0.238, 0.137, 0.0766, 0.0416, 0.0220, 0.0114),
    "1": (0.0855, 0.0783, 0.0482, 0.0264, 0.0138, 0.0070),
}


@pytest.mark.parametrize("name", TSR_ERRORS)
def test_tabulated_error_of_missing_frames(name: str) -> None:
    """Real sampling of the conditional law with few steps, whose errors are known."""
    sampler = DDIM() if name == "ddim" else Ancestral(gamma=float(name))
    _, wanted = posterior(ar1(8), tsr_matrix("repeat"), NoiseLevel.variance_preserving(torch.tensor([SNR3])))
    for steps, expected in zip((8, 16), TSR_ERRORS[name], strict=False):
        stage = stage_of(LINE, ar1(8), SKIPPED, tsr_matrix("repeat"), sampler=sampler, steps=steps)
        purposes = ["augment", "start"] + [f"step {i}" for i in range(steps - 1 if name != "ddim" else 0)]
        count = (4 + 8 * len(purposes)) // 3 + 4
        video = torch.randn(count, 3, 4, 1, 1, generator=torch.Generator().manual_seed(5))
        (_, _, *noises), residual = answers(stage, count, video, *purposes)
        got = sum((noise @ noise.T for noise in noises), torch.zeros(8, 8, dtype=torch.float64))
        assert residual < 1e-4
        assert float((got - wanted).norm() / wanted.norm()) == pytest.approx(expected, abs=6e-4), steps


@pytest.mark.parametrize("prediction", ["x", "v"])
@pytest.mark.parametrize("snr", [3, 5])
def test_a_whole_cascade_makes_the_law_of_the_data(snr: float, prediction: Prediction) -> None:
    """Base, frames doubled, pixels doubled: what comes out has exactly the covariance of the data."""
    base_shape = VideoShape(frames=2, height=1, width=2, fps=2)
    tsr_shape = VideoShape(frames=4, height=1, width=2, fps=4)
    ssr_shape = VideoShape(frames=4, height=2, width=4, fps=4)
    data = torch.kron(ar1(4), torch.kron(ar1(2, 0.7), ar1(4, 0.8)))
    to_tsr, to_base = (
        matrix(lambda video: degrade(video, tsr_shape), ssr_shape),
        matrix(lambda video: degrade(video, base_shape), tsr_shape),
    )
    tsr_law = to_tsr @ data @ to_tsr.T
    base_law = to_base @ tsr_law @ to_base.T
    common: dict[str, Any] = {"jump": True, "prediction": prediction, "logsnr": math.log(snr)}
    base = stage_of(base_shape, base_law, **common)
    tsr = stage_of(
        tsr_shape, tsr_law, base_shape, matrix(lambda v: upsample(v, tsr_shape), base_shape) @ to_base, **common
    )
    ssr = stage_of(ssr_shape, data, tsr_shape, matrix(lambda v: upsample(v, ssr_shape), tsr_shape) @ to_tsr, **common)
    count = 40
    base_out, middle = run(base, None, count), run(tsr, run(base, None, count), count)
    (first,), residual0 = answers(base, count, None, "start")
    tsr_answers, residual1 = answers(tsr, count, base_out, "augment", "start")
    ssr_answers, residual2 = answers(ssr, count, middle, "augment", "start")
    assert max(residual0, residual1, residual2) < 1e-4
    made = first @ first.T
    torch.testing.assert_close(made, base_law, rtol=0, atol=1e-4)
    for (gain, *noises), law in ((tsr_answers, tsr_law), (ssr_answers, data)):
        made = gain @ made @ gain.T + sum(noise @ noise.T for noise in noises)
        torch.testing.assert_close(made, law, rtol=0, atol=3e-4)


def test_many_small_steps_reach_the_same_law_as_one_exact_one() -> None:
    exact, small = (
        stage_of(LINE, ar1(8), SKIPPED, tsr_matrix("repeat"), jump=jump, sampler=Heun(), steps=steps)
        for jump, steps in ((True, 1), (False, 64))
    )
    video = torch.randn(2, 3, 4, 1, 1, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(run(small, video, 2), run(exact, video, 2), rtol=0, atol=4e-3)


def test_augmentation_forgives_errors_of_the_stage_before() -> None:
    """Independent errors of variance 0.25 in the base add this much variance to the output."""
    for snr, expected in ((3.0, 0.1067), (5.0, 0.1270), (math.exp(30), 0.1967)):
        level = NoiseLevel.variance_preserving(torch.tensor([math.log(snr)]))
        gain, _ = posterior(ar1(8), tsr_matrix("repeat"), level)
        carried = float(level.alpha[0]) * gain @ matrix(lambda v: upsample(v, LINE), SKIPPED)
        assert float((0.25 * carried @ carried.T).diagonal().mean()) == pytest.approx(expected, abs=6e-5)


def test_no_augmentation_passes_the_video_on_unchanged() -> None:
    stage = stage_of(LINE, ar1(8), SKIPPED, tsr_matrix("repeat"), jump=True, logsnr=None)
    video = torch.randn(1, 3, 4, 1, 1, generator=torch.Generator().manual_seed(5))
    # The oracle takes it for noised by 0.008, the cleanest level there is, and samples what that leaves open.
    assert (run(stage, video, 1)[:, :, ::2] - video).abs().max() < 0.035


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (2, (1, 1.25, 1.75, 2.5, 3.5, 5, 7, 8)),
        (4, (1, 1, 1.125, 1.375, 1.625, 1.875, 2.25, 2.75, 3.25, 3.75, 4.5, 5.5, 6.5, 7.5, 8, 8)),
    ],
)
def test_tabulated_upsampling(factor: int, expected: tuple[float, ...]) -> None:
    video = torch.tensor([1.0, 2, 4, 8], dtype=torch.float64).view(1, 1, 1, 1, 4)
    wide = upsample(video, VideoShape(frames=1, height=1, width=4 * factor, fps=1))
    assert wide.flatten().tolist() == pytest.approx(expected, abs=1e-12)
    high = upsample(video.transpose(3, 4), VideoShape(frames=1, height=4 * factor, width=1, fps=1))
    assert high.flatten().tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("size", "expected"), [(4, (1.857142857, 6.75, 27, 86.857142857)), (2, (5.964285714, 50.714285714))]
)
def test_tabulated_degradation(size: int, expected: tuple[float, ...]) -> None:
    video = (2 ** torch.arange(8, dtype=torch.float64)).view(1, 1, 1, 1, 8)
    got = degrade(video, VideoShape(frames=1, height=1, width=size, fps=1))
    assert got.flatten().tolist() == pytest.approx(expected, abs=1e-8)


def test_frames_are_repeated_or_left_blank_on_their_own_axis() -> None:
    video = torch.randn(3, 3, 3, 3, 3)
    shape = VideoShape(frames=6, height=3, width=3, fps=6)
    repeated, blank = upsample(video, shape), upsample(video, shape, "blank")
    for frame in range(3):
        assert torch.equal(repeated[:, :, 2 * frame], video[:, :, frame])
        assert torch.equal(repeated[:, :, 2 * frame + 1], video[:, :, frame])
        assert torch.equal(blank[:, :, 2 * frame], video[:, :, frame])
        assert blank[:, :, 2 * frame + 1].abs().max() == 0


def test_frames_are_skipped() -> None:
    video = torch.randn(2, 3, 8, 4, 4)
    assert torch.equal(degrade(video, VideoShape(frames=4, height=4, width=4, fps=1)), video[:, :, ::2])
    assert torch.equal(degrade(video, VideoShape(frames=2, height=4, width=4, fps=1)), video[:, :, ::4])


def test_static_clips_stay_static() -> None:
    video = torch.randn(1, 3, 1, 6, 8).expand(1, 3, 4, 6, 8)
    small = degrade(video, VideoShape(frames=2, height=3, width=4, fps=1))
    large = upsample(small, VideoShape(frames=4, height=6, width=8, fps=1))
    assert torch.equal(small, small[:, :, :1].expand_as(small))
    assert torch.equal(large, large[:, :, :1].expand_as(large))
    assert resize(video, 6, 8) is video


def test_augmentation_is_the_forward_process() -> None:
    video, noise = torch.randn(2, 3, 2, 2, 2), torch.randn(2, 3, 2, 2, 2)
    got = augment(video, noise, torch.tensor([SNR3, math.log(5)]))
    torch.testing.assert_close(got[0], 0.8660254 * video[0] + 0.5 * noise[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(got[1], 0.9128709 * video[1] + 0.4082483 * noise[1], rtol=0, atol=1e-6)


def test_levels_of_training_cover_those_of_sampling() -> None:
    levels = augmentation_logsnr(torch.linspace(0, 1, 101))
    assert levels.isfinite().all()
    assert (levels[1:] < levels[:-1]).all()
    assert levels[-1] < -9 and levels[0] > 9
    middle = float(Cosine().time(augmentation_logsnr(torch.tensor([0.33]))))
    assert middle == pytest.approx(0.005 + 0.99 * 0.33, abs=1e-4)
