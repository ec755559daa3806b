"""EDM's preconditioning and loss, as in Stable Video Diffusion, are prediction of v and the error of v."""

import math

import torch

from zoetrope.diffusion.loss import output_weight, squared_error
from zoetrope.diffusion.prediction import target, x_from
from zoetrope.diffusion.process import diffuse
from zoetrope.schedules.karras import Karras
from zoetrope.training.times.log_normal import LogNormal


def network(z: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
    """Any function of z and of the number that a network is told of the noise level."""
    return torch.sin(3 * z) + c_noise[:, None] * z.square()


def test_edms_preconditioning_is_prediction_of_v() -> None:
    """Karras et al. 2022, arXiv:2206.00364, Eq. 7, 8 and Tab. 1, with sigma_data = 1, as scaled latents have."""
    torch.manual_seed(0)
    x, n = torch.randn(64, 5, dtype=torch.float64), torch.randn(64, 5, dtype=torch.float64)
    schedule, u = Karras(sigma_min=0.002, sigma_max=700.0), torch.rand(64, dtype=torch.float64) * 0.98 + 0.01
    times = LogNormal(mean=0.5, std=1.4)
    level = schedule(times(u, schedule))
    sigma = level.sigma / level.alpha  # EDM's
    torch.testing.assert_close(sigma.log(), 0.5 + 1.4 * math.sqrt(2) * torch.erfinv(2 * u - 1))
    s = sigma[:, None]
    c_skip, c_out = 1 / (s**2 + 1), -s / (s**2 + 1).sqrt()
    c_in, c_noise, weight = 1 / (s**2 + 1).sqrt(), sigma.log() / 4, (1 + s**2) / s**2

    noised = x + s * n
    made = network(c_in * noised, c_noise)
    denoised = c_skip * noised + c_out * made
    edm = weight * (denoised - x).square()

    z = diffuse(x, n, level)
    torch.testing.assert_close(z, c_in * noised, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(-level.logsnr / 8, c_noise, rtol=1e-9, atol=1e-12)
    output = network(z, -level.logsnr / 8)
    torch.testing.assert_close(x_from("v", output, z, level), denoised, rtol=1e-9, atol=1e-12)
    error = (output - target("v", x, n, level)).square()
    torch.testing.assert_close(error, edm, rtol=1e-6, atol=1e-9)
    assert torch.allclose(output_weight("v", "v", level), torch.ones(64, dtype=torch.float64))
    loss = squared_error(output, target("v", x, n, level), output_weight("v", "v", level))
    torch.testing.assert_close(loss.double(), edm.mean(1), rtol=1e-4, atol=1e-6)
