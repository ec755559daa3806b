"""Stirred, diffusing fields on a torus, and networks that are their exact denoisers.

Wave k of a field obeys u_k(t + 1) = a_k u_k(t) + noise, a_k = exp(-(i k.c + kappa |k|^2 + mu)): advection with velocity
c, diffusion, damping, and stirring that keeps its variance V_k. All is linear and Gaussian, so that the law of any part
of a video given any other part is known in closed form. Without stirring the first frame determines all others.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network, NetworkConfig
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import upsample

SIZE = 9  # pixels of a side; odd, so that no wave is its own opposite but the mean
COARSE = 3  # pixels of a side that waves up to 1 fit on
C, KAPPA, MU = (0.7, -0.4), 0.04, 0.15


def waves() -> Tensor:
    """Wavenumbers (2, N N) of the rows and columns of a transform."""
    k = torch.fft.fftfreq(SIZE, 1 / SIZE, dtype=torch.float64)
    return torch.stack(torch.meshgrid(2 * torch.pi * k, 2 * torch.pi * k, indexing="ij")).flatten(1) / (2 * torch.pi)


def variances() -> Tensor:
    """V (N N) of the waves, in orthonormal transforms: large structures are strongest."""
    return 4 / (1 + waves().square().sum(0)) ** 1.5


def factors() -> Tensor:
    """a (N N), complex."""
    k = waves()
    phase = (k * torch.tensor(C, dtype=torch.float64)[:, None]).sum(0)
    return torch.exp(torch.complex(-(KAPPA * k.square().sum(0) + MU), -phase))


def seen() -> Tensor:
    """Which waves the coarse grid has, (N N) bool."""
    return waves().abs().amax(0) <= COARSE // 2


def covariance(frames: int, stirred: bool) -> Tensor:
    """K (N N, F, F) of each wave over time, complex Hermitian."""
    a, v = factors(), variances()
    powers = torch.stack([a**lag for lag in range(frames)], 1)
    if not stirred:
        return v[:, None, None] * powers[:, :, None] * powers[:, None, :].conj()
    lag = torch.arange(frames)[:, None] - torch.arange(frames)
    ahead = powers[:, lag.abs()]
    return v[:, None, None] * torch.where(lag >= 0, ahead, ahead.conj())


def to_waves(x: Tensor) -> Tensor:
    """Orthonormal transforms (..., F, N N) of videos (..., F, N, N)."""
    return torch.fft.fft2(x.double(), norm="ortho").flatten(-2)


def to_pixels(u: Tensor) -> Tensor:
    """The videos of `to_waves`."""
    return torch.fft.ifft2(u.unflatten(-1, (SIZE, SIZE)), norm="ortho").real


def sampled(count: int, frames: int, stirred: bool, seed: int) -> Tensor:
    """True videos (count, F, N, N), float64."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(frames, count, SIZE, SIZE, generator=draw, dtype=torch.float64)
    a, scale = factors(), variances().sqrt()
    u = scale * to_waves(noise[0])
    made = [u]
    for frame in range(1, frames):
        fresh = scale * (1 - a.abs() ** 2).sqrt() * to_waves(noise[frame])
        u = a * u + (fresh if stirred else 0)
        made.append(u)
    return to_pixels(torch.stack(made, 1))


def whole_covariance(frames: int) -> Tensor:
    """That of all pixels of a stirred video, (F N N, F N N)."""
    size = frames * SIZE * SIZE
    units = torch.eye(size, dtype=torch.float64).view(size, frames, SIZE, SIZE)
    moved = torch.einsum("kts,bsk->btk", covariance(frames, True), to_waves(units))
    return to_pixels(moved).reshape(size, size)


class TorusConfig(NetworkConfig):
    """The exact denoiser E[x | z] of such fields, one in each channel, in x; what else is known it is told.

    "frames": frames at the level of clean data; "pixels": the known pixels of the input `region`; "coarse": the waves
    of a coarse grid, of fields that are not stirred, by the input `low_res`.
    """

    text_width: int | None = None
    knows: Literal["frames", "pixels", "coarse"] = "frames"
    stirred: bool = True

    @property
    def reads(self) -> set[str]:
        return {"pixels": {"region"}, "coarse": {"low_res"}}.get(self.knows, set())

    def build(self) -> "TorusNetwork":
        return TorusNetwork(self)

    def check(self, frames: int, height: int, width: int) -> None:
        return


class TorusNetwork(Network):
    """See `TorusConfig`."""

    def __init__(self, config: TorusConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        level = NoiseLevel.variance_preserving(logsnr).expand(z.shape[2])
        a, s = level.alpha[0].double(), level.sigma[0].double()  # (F,), the same for all videos
        if self.config.knows == "pixels":
            return _given_pixels(z, a, s, conditioning).to(z.dtype)
        k = covariance(z.shape[2], self.config.stirred)
        seen_part: Any = 0
        if self.config.knows == "coarse":
            k = torch.where(seen()[:, None, None], 0, k)
            seen_part = _of_coarse(conditioning.maps["low_res"])
        gain = k * a @ torch.linalg.inv(a[:, None] * k * a + torch.diag(s.clamp(min=1e-4) ** 2).to(k))
        u = torch.einsum("kts,bcsk->bctk", gain, to_waves(z) - a[:, None] * seen_part)
        return to_pixels(u + seen_part).to(z.dtype)


def _of_coarse(up: Tensor) -> Tensor:
    """The waves (B, C, F, N N) of the coarse video that was enlarged to this one, (B, C, F, N, N)."""
    units = torch.eye(COARSE**2, dtype=torch.float64).view(-1, 1, 1, COARSE, COARSE)
    grid = VideoShape(frames=1, height=SIZE, width=SIZE, fps=1)
    back = torch.linalg.pinv(upsample(units, grid).flatten(1).T)
    coarse = (up.double().flatten(-2) @ back.T).unflatten(-1, (COARSE, COARSE))
    return to_waves(enlarged(coarse))


def enlarged(coarse: Tensor) -> Tensor:
    """The field of the coarse grid's waves on the fine one, (..., N, N)."""
    u = torch.fft.fftshift(torch.fft.fft2(coarse.double(), norm="forward"), dim=(-2, -1))
    edge = (SIZE - COARSE) // 2
    wide = torch.nn.functional.pad(torch.view_as_real(u), (0, 0, edge, edge, edge, edge))
    spread = torch.fft.ifftshift(torch.view_as_complex(wide.contiguous()), dim=(-2, -1))
    return torch.fft.ifft2(spread, norm="forward").real


def reduced(x: Tensor) -> Tensor:
    """The field of its waves that the coarse grid has, on that grid: a spectral cut, (..., 3, 3)."""
    cut = torch.where(seen(), to_waves(x), 0)
    return to_pixels(cut)[..., :: SIZE // COARSE, :: SIZE // COARSE]


def _given_pixels(z: Tensor, a: Tensor, s: Tensor, conditioning: Conditioning) -> Tensor:
    frames = z.shape[2]
    mask = conditioning.maps["region_mask"][0, 0].flatten().bool()
    rows, size = z.double().flatten(2).flatten(0, 1), frames * SIZE * SIZE
    noise, scale = (one.repeat_interleave(SIZE * SIZE) for one in (s**2, a))
    told = torch.eye(size, dtype=torch.float64)
    if not z.is_meta:
        told = told[mask]
    known = conditioning.maps["region"].double().flatten(2).flatten(0, 1) @ told.T
    k = whole_covariance(frames)
    seen_by = torch.cat([torch.diag(scale), told])
    errors = torch.cat([noise, torch.full((len(told),), 1e-8, dtype=torch.float64)])
    gain = torch.linalg.solve(seen_by @ k @ seen_by.T + torch.diag(errors), seen_by @ k)
    return (torch.cat([rows, known], 1) @ gain).view(z.shape)
