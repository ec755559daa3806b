"""Known frames for networks that have not learnt them: how far replacement and reconstruction guidance come.

Neither leads to the law of the other frames given the known ones, whatever the number of steps: how far they stay from
it is known exactly for an autoregressive video [Ho et al. 2022, arXiv:2204.03458, Sec. 3.1].
"""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from samplers.test_levels_per_frame import AUTOREGRESSION, FRAMES, law, unknown
from torch import Tensor

from known.exact import SAMPLERS, covariance_of, errors, known_of, moments, stage_of
from known.test_learnt import awake
from zoetrope.cascade.execution.cost import call_bytes
from zoetrope.cascade.execution.layout import Layout, least_memory, plan_layout
from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.execution.tiles import Tile
from zoetrope.cascade.sample import Draw, ready, sample_stage, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs.text import Text, text_given
from zoetrope.known import Known, Method, Task
from zoetrope.known.learnt import Learnt
from zoetrope.known.reconstruction import Reconstruction
from zoetrope.known.replacement import Replacement
from zoetrope.layers.fused import fused
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import degrade

METHODS: dict[str, Method] = {
    "replacement": Replacement(),
    **{f"reconstruction {w}": Reconstruction(weight=w) for w in (1, 2, 5, 10)},
}
# The mean's RMSE, and the relative Frobenius error of the covariance.
TABLE: dict[tuple[str, int], list[tuple[float, float]]] = {
    ("ddim", 64): [(0.571, 0.695), (0.498, 0.454), (0.434, 0.258), (0.279, 0.149), (0.124, 0.453)],
    ("ddim", 256): [(0.569, 0.747), (0.496, 0.497), (0.431, 0.296), (0.275, 0.132), (0.121, 0.447)],
    ("ancestral", 64): [(0.487, 0.431), (0.397, 0.211), (0.321, 0.053), (0.161, 0.237), (0.082, 0.412)],
    ("ancestral", 256): [(0.482, 0.483), (0.391, 0.259), (0.316, 0.095), (0.157, 0.203), (0.081, 0.390)],
}


@pytest.mark.parametrize(("sampler", "steps"), TABLE)
def test_how_far_the_methods_come(sampler: str, steps: int) -> None:
    known, wanted = known_of(FRAMES, 1, AUTOREGRESSION), law(AUTOREGRESSION)
    found = [
        errors(stage_of(FRAMES, 1, SAMPLERS[sampler], steps, method), known, wanted, unknown(AUTOREGRESSION))
        for method in METHODS.values()
    ]
    assert found == [pytest.approx(row, abs=6e-4) for row in TABLE[sampler, steps]]
    means = [mean for mean, _ in found]
    assert means == sorted(means, reverse=True)


def test_the_gradient_is_that_of_the_closed_form() -> None:
    """grad_z^b |x^a - x_hat^a|^2 = -2 J_ab^T (x^a - x_hat^a), J = (alpha / sigma^2) Cov(x | z)."""
    level, free, given = Cosine()(torch.tensor([0.4]).double()), unknown(AUTOREGRESSION), list(AUTOREGRESSION)
    a, s = float(level.alpha), float(level.sigma)
    z = torch.randn(1, 1, FRAMES, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    known, covariance = known_of(FRAMES, 1, AUTOREGRESSION), covariance_of(FRAMES, 1)
    gain = a * covariance @ torch.linalg.inv(a**2 * covariance + s**2 * torch.eye(FRAMES))

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        return (z.flatten() @ gain.T).view(z.shape)

    task = Task(stage="line", known=known, levels=[level], noise=lambda purpose, frames: noise[:, :, frames])
    moved = Reconstruction(weight=3).denoiser(denoise, task)(z, level).flatten()
    inner, values = z.flatten().clone(), torch.tensor(list(AUTOREGRESSION.values()), dtype=torch.float64)
    inner[given] = a * values + s * noise.flatten()[given]
    x_hat = gain @ inner
    jacobian = a / s**2 * (covariance - a * gain @ covariance)
    gradient = -2 * jacobian[given][:, free].T @ (values - x_hat[given])
    torch.testing.assert_close(moved[free] - x_hat[free], -3 * a / 2 * gradient, rtol=0, atol=1e-7)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("steps", [8, 32])
def test_a_known_video_of_lower_resolution(both: bool, steps: int) -> None:
    """Against the recursion of the published formula in matrices, J and D included."""
    frames, width, weight = 4, 8, 2.0
    small = VideoShape(frames=2, height=1, width=4, fps=4)
    values = {0: 0.5, 3: -0.25} if both else {}
    low_res = torch.tensor([[0.5, -0.5, 0.25, 1.0], [0.0, 0.75, -1.0, 0.5]])[None, None, :, None]
    spec = stage_of(frames, width, DDIM(), steps, Reconstruction(weight=weight))
    mean, covariance = moments(spec, known_of(frames, width, values, low_res))

    size, law = frames * width, covariance_of(frames, width)
    unit = torch.eye(size, dtype=torch.float64)
    reduced = degrade(unit.view(size, 1, frames, 1, width), small).flatten(1).T
    given = [frame * width + pixel for frame in values for pixel in range(width)]
    target = torch.cat(
        [low_res.flatten().double(), torch.tensor(list(values.values())).double().repeat_interleave(width)]
    )
    seen = torch.cat([reduced, unit[given]])
    angles = [Cosine()(torch.tensor([1 - step / steps]).double()) for step in range(steps + 1)]
    # z = constant + response of each unit of noise: that of the start, then of each step's known frames.
    constant, responses = torch.zeros(size, dtype=torch.float64), unit.clone()
    for now, after in pairwise(angles):
        a, s = float(now.alpha), float(now.sigma)
        inner, inside = constant.clone(), responses.clone()
        inner[given] = a * target[small.frames * small.width :]
        inside[given] = 0
        inside = torch.cat([inside, s * unit[:, given]], 1)
        responses = torch.cat([responses, 0 * unit[:, given]], 1)
        gain = a * law @ torch.linalg.inv(a**2 * law + s**2 * unit)
        pull = weight * a * gain.T @ seen.T
        x = gain @ inner + pull @ (target - seen @ gain @ inner)
        answers = gain @ inside - pull @ seen @ gain @ inside
        x[given], answers[given] = target[small.frames * small.width :], 0
        ratio = float(after.sigma / now.sigma)
        constant = ratio * constant + (float(after.alpha) - ratio * a) * x
        responses = ratio * responses + (float(after.alpha) - ratio * a) * answers
    torch.testing.assert_close(mean, x, rtol=0, atol=1e-5)
    torch.testing.assert_close(covariance, answers @ answers.T, rtol=0, atol=1e-5)


def test_more_weight_comes_nearer_to_the_known_video() -> None:
    low_res = torch.tensor([[0.5, -0.5, 0.25, 1.0]])[None, None, :, None]
    distances = []
    for weight in (0, 1, 4):
        spec = stage_of(2, 8, DDIM(), 32, Reconstruction(weight=weight))
        mean, _ = moments(spec, known_of(2, 8, {}, low_res))
        small = degrade(mean.view(1, 1, 2, 1, 8), VideoShape(frames=1, height=1, width=4, fps=4))
        distances.append(float((small - low_res).norm()))
    assert distances == sorted(distances, reverse=True) and distances[2] < 0.3 * distances[0]


SHAPE = VideoShape(frames=4, height=8, width=16, fps=8)
CONFIG = VideoUNetConfig(
    levels=(Level(width=16, blocks=1, spatial_attention=True, temporal=("convolution", "attention")),),
    text_width=None,
    embedding=32,
    head=16,
)
METHOD_KINDS = pytest.mark.parametrize("method", [kind() for kind in Method.every()], ids=Method.names())


def real(method: Method | None, **sampling: object) -> StageSpec:
    chosen = SamplingSpec(**{"sampler": DDIM(), "steps": 3, "known": method, **sampling})
    return StageSpec(name="base", shape=SHAPE, inputs=(), network=CONFIG, sampling=chosen)


def some(frames: list[int], count: int = 2, low_res: Tensor | None = None) -> Known:
    draw = torch.Generator().manual_seed(1)
    video = 2 * torch.rand(count, 3, *SHAPE.sizes, generator=draw) - 1
    mask = torch.tensor([frame in frames for frame in range(SHAPE.frames)])
    video[:, :, ~mask] = torch.nan
    return Known(mask, video, low_res)


@METHOD_KINDS
@pytest.mark.parametrize("threshold", ["static", 0.8, None])
@pytest.mark.parametrize("sampler", [kind() for kind in Sampler.every()], ids=Sampler.names())
def test_known_frames_come_back_bit_for_bit_whatever_the_method(
    method: Method, threshold: object, sampler: Sampler
) -> None:
    spec, known = real(method, threshold=threshold, sampler=sampler), some([1, 2])
    network = awake(CONFIG).requires_grad_(False)
    made = list(sample_stage(spec, network, Conditioning(), None, Draw(seed=0, samples=[0, 1], known=known)))
    for x_hat in made:
        assert torch.equal(x_hat[:, :, 1:3], known.video[:, :, 1:3]) and x_hat.isfinite().all()
        assert not x_hat.requires_grad
        assert threshold is None or x_hat.abs().max() <= 1


@METHOD_KINDS
def test_videos_do_not_depend_on_their_batch(method: Method) -> None:
    spec, known, network = real(method), some([0]), awake(CONFIG)
    draw = Draw(seed=0, samples=[5, 7], known=known)
    both = stage_video(spec, network, Conditioning(), None, draw)
    whole = Tile(Window.whole(SHAPE), Window.whole(SHAPE))
    apart = stage_video(spec, network, Conditioning(), None, replace(draw, layout=Layout([whole], one_at_a_time=True)))
    second = stage_video(spec, network, Conditioning(), None, draw.row(1))
    torch.testing.assert_close(apart, both, rtol=0, atol=1e-5)
    torch.testing.assert_close(second, both[1:], rtol=0, atol=1e-5)


@METHOD_KINDS
def test_methods_come_back_from_json(method: Method) -> None:
    assert Method.from_json(method.to_json()) == method
    spec = real(method)
    assert StageSpec.from_json(spec.to_json()) == spec


def test_guided_networks_have_gradients_too() -> None:
    """The gradient flows through all variants of the conditioning."""
    guided = CONFIG.with_(text_width=8)
    spec = real(Reconstruction(weight=5)).with_(network=guided, inputs=(Text(),))
    spec = spec.with_(sampling=spec.sampling.with_(guidance=2.0))
    network, known = awake(guided), some([0])
    text = text_given(torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(3)))
    draw = Draw(seed=0, samples=[0, 1], known=known)
    videos = [
        stage_video(spec.with_(sampling=spec.sampling.with_(known=method)), network, text, None, draw)
        for method in (Replacement(), Reconstruction(weight=0), Reconstruction(weight=5))
    ]
    torch.testing.assert_close(videos[1], videos[0], rtol=0, atol=2e-5)
    assert (videos[2] - videos[0]).abs().max() > 1e-3


def test_without_new_noise_z_keeps_that_of_the_start() -> None:
    """DDIM adds none: the noised frames are the same as if they were noised by the noise of the start."""
    known = known_of(FRAMES, 1, AUTOREGRESSION)
    spec = stage_of(FRAMES, 1, DDIM(), 64, Replacement(redraw=False))
    mean, covariance = errors(spec, known, law(AUTOREGRESSION), unknown(AUTOREGRESSION))
    redrawn, _ = errors(
        stage_of(FRAMES, 1, DDIM(), 64, Replacement()), known, law(AUTOREGRESSION), unknown(AUTOREGRESSION)
    )
    assert mean == pytest.approx(redrawn, abs=1e-4)  # the mean does not feel it
    assert covariance > 0.1


def test_too_large_a_weight_is_named() -> None:
    spec = stage_of(FRAMES, 1, DDIM(), 64, Reconstruction(weight=1e30))
    with pytest.raises(
        ValueError, match=r"stage 'line': step \d+: x_hat is not finite: .* weight 1e\+30 is too strong"
    ):
        moments(spec, known_of(FRAMES, 1, AUTOREGRESSION))


def test_a_fused_network_or_parts_are_refused() -> None:
    spec, known = real(Reconstruction()), some([0])
    draw = Draw(seed=0, samples=[0, 1], known=known)
    with pytest.raises(
        ValueError, match="stage 'base': known frames by the gradient of its network: expected the network"
    ):
        ready(spec, fused(awake(CONFIG)), Conditioning(), None, draw)
    whole = Window.whole(SHAPE)
    halves = [Tile(part, part) for part in (whole._replace(rows=range(4)), whole._replace(rows=range(4, 8)))]
    with pytest.raises(ValueError, match="expected whole videos, got a layout in parts"):
        ready(spec, awake(CONFIG), Conditioning(), None, replace(draw, layout=Layout(halves)))


def test_a_low_resolution_video_needs_a_method_in_space() -> None:
    low_res = torch.zeros(2, 3, 2, 4, 8)
    for method in (Learnt(), Replacement()):
        with pytest.raises(ValueError, match=f"stage 'base': known.low_res: expected none, '{method.kind()}' takes"):
            ready(
                real(method),
                awake(CONFIG),
                Conditioning(),
                None,
                Draw(seed=0, samples=[0, 1], known=some([], 2, low_res)),
            )
    with pytest.raises(ValueError, match=r"known.low_res: height: expected a divisor of 8, got 3"):
        known = some([], 2, low_res[..., :3, :])
        ready(real(Reconstruction()), awake(CONFIG), Conditioning(), None, Draw(seed=0, samples=[0, 1], known=known))


def test_memory_is_planned_with_the_gradient() -> None:
    """What a stage is planned to take is near to what it takes, and far more than without a gradient."""
    shape = VideoShape(frames=8, height=32, width=32, fps=8)
    spec = real(Reconstruction()).with_(shape=shape)
    plain = spec.with_(sampling=spec.sampling.with_(known=None))
    planned, before = (call_bytes(each, 1, 0, None, smallest=False) for each in (spec, plain))
    network, z = awake(CONFIG).requires_grad_(False), torch.randn(1, 3, *shape.sizes)
    known = Known(torch.arange(8) > 0, torch.zeros(1, 3, *shape.sizes))
    draw = Draw(seed=0, samples=[0], known=known)
    prepared = ready(spec, network, Conditioning(), None, draw)
    with torch.no_grad():
        taken = peak_bytes(lambda: prepared.denoise(z, prepared.levels[0]))
    assert planned == pytest.approx(taken, rel=0.15) and planned > 2 * before
    layout = plan_layout(spec, 2, 0, 10**12, torch.device("cpu"))
    assert len(layout.tiles) == 1 and layout.part is None and not layout.one_at_a_time
    needed = least_memory(spec, 2, 0, torch.device("cpu"))
    assert plan_layout(spec, 2, 0, needed, torch.device("cpu")).one_at_a_time
    with pytest.raises(ValueError, match=r"memory: stage 'base' .* one video at a time, whole for its gradient"):
        plan_layout(spec, 2, 0, needed - 10**6, torch.device("cpu"))
