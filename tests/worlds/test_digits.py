"""Handwritten digits that travel on a torus: what they show, and where they go, is read back exactly.

The networks are exact denoisers, E[x | z] over all digits, places and velocities, in closed form. With both ends given,
which leave the velocity open, each that is allowed has to come out as often as the others. The same examples come from
files of every format.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch
import xarray
import zarr
from scipy.stats import chi2
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.channels import Channel
from zoetrope.conditioning import Conditioning
from zoetrope.data.arrays import Arrays
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.fields import Fields
from zoetrope.known.learnt import Learnt
from zoetrope.models.cascade import Cascade
from zoetrope.networks import Network, NetworkConfig
from zoetrope.samplers.heun import Heun
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

SIZE, FRAMES = 12, 4
INK = Channel(name="ink", scale=Range(lo=0, hi=16))
SHAPE = VideoShape(frames=FRAMES, height=SIZE, width=SIZE, fps=1)
OPEN = (-4, 0, 4)
"""Velocities that first and last frame leave open: FRAMES - 1 = 3 steps of 4 pixels are once around."""


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """The first picture of each of three classes, (3, 12, 12) in 0 to 16, and all classes of the data set."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    first = [int(np.flatnonzero(digits.target == label)[0]) for label in (0, 1, 7)]
    return np.pad(digits.images[first], ((0, 0), (0, 4), (0, 4))).astype(np.float32), digits.target


def videos(velocities: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Every video (N, F, H, W) in 0 to 16 of a digit at any place with any of these velocities, and what it is.

    The latter is (N, 5): class, row, column, and velocities down and across.
    """
    shown, _ = pictures()
    found, told = list[np.ndarray](), list[tuple[int, ...]]()
    for label, one in enumerate(shown):
        for down in velocities:
            for across in velocities:
                moved = np.stack([np.roll(one, (down * t, across * t), (0, 1)) for t in range(FRAMES)])
                for row in range(SIZE):
                    for column in range(SIZE):
                        found.append(np.roll(moved, (row, column), (1, 2)))
                        told.append((label, row, column, down, across))
    return torch.from_numpy(np.stack(found)), torch.tensor(told)


class DigitsConfig(NetworkConfig):
    """The exact denoiser of `videos`, in x, of frames at levels of their own."""

    text_width: int | None = None
    channels: int = 1

    def build(self) -> "DigitsNetwork":
        return DigitsNetwork()

    def check(self, frames: int, height: int, width: int) -> None:
        return


class DigitsNetwork(Network):
    """See `DigitsConfig`."""

    def __init__(self) -> None:
        super().__init__()
        self.every = INK.scale.to_model(videos(OPEN)[0].double())

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        level = NoiseLevel.variance_preserving(logsnr).expand(z.shape[2])
        a, s = level.alpha[0].double(), level.sigma[0].double().clamp(min=1e-3)
        if z.is_meta:
            return z
        x = self.every.flatten(2)
        weight = (a / s**2)[:, None]
        across = torch.einsum("bfp,nfp->bn", z[:, 0].double().flatten(2) * weight, x)
        own = ((a / s) ** 2)[:, None] * x.square()
        share = (across - own.sum((1, 2)) / 2).softmax(1)
        return torch.einsum("bn,nfp->bfp", share, x).view(z.shape).to(z.dtype)


def read_back(x: Tensor) -> Tensor:
    """Class, place and velocity (B, 5) of videos (B, F, H, W) in ink, by the nearest of all."""
    every, told = videos(OPEN)
    nearest = torch.cdist(x.flatten(1).double(), every.flatten(1).double()).min(1)
    assert float(nearest.values.max()) < 1  # a video of its world, to a sixteenth of black in one pixel
    return told[nearest.indices]


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    sampling = SamplingSpec(sampler=Heun(), steps=16, threshold=None, known=Learnt())
    stage = StageSpec(
        name="base", shape=SHAPE, inputs=(), network=DigitsConfig(), sampling=sampling, prediction="x"
    )  # fmt: skip
    network = DigitsNetwork()
    return Cascade(CascadeSpec(name="digits", channels=(INK,), stages=(stage,)), lambda _: network)


def made_by(cascade: Cascade, known: dict[str | int, np.ndarray], count: int) -> Tensor:
    made = cascade.generate(count=count, batch=count, known=known, seed=5)
    return torch.stack([torch.from_numpy(one.values[0]) for one in made if isinstance(one, Fields)])


def test_ends_leave_every_allowed_velocity_equally_likely(cascade: Cascade) -> None:
    shown, _ = pictures()
    end = np.roll(shown[2], (3, 7), (0, 1))[None]
    found = read_back(made_by(cascade, {0: end, -1: end}, 90))
    assert (found[:, :3] == torch.tensor([2, 3, 7])).all()
    counts = torch.stack(
        [(found[:, 3:] == torch.tensor([down, across])).all(1).sum() for down in OPEN for across in OPEN]
    )
    assert int(counts.sum()) == 90
    assert float((counts - 10).square().sum() / 10) < chi2.ppf(1 - 1e-5, 8)


def test_two_known_frames_determine_the_rest(cascade: Cascade) -> None:
    every, told = videos(OPEN)
    draw = np.random.default_rng(0)
    for number in draw.integers(0, len(every), 4):
        given = every[number, None, :2].numpy()
        found = read_back(made_by(cascade, {"0:2": given}, 2))
        assert (found == told[number]).all()


def test_files_of_every_format_hold_the_same_examples(tmp_path: Path) -> None:
    every, _ = videos((1, -2))
    chosen = every[np.random.default_rng(1).choice(len(every), 5, replace=False)].numpy()
    np.save(tmp_path / "digits.npy", chosen)
    np.savez(tmp_path / "digits.npz", ink=chosen)
    with h5py.File(tmp_path / "digits.h5", "w") as file:
        file["ink"] = chosen
    group = zarr.open_group(str(tmp_path / "digits.zarr"), mode="w")
    group.create_array("ink", shape=chosen.shape, chunks=(1, 2, 12, 12), dtype="f4")[:] = chosen
    xarray.Dataset({"ink": (("n", "time", "y", "x"), chosen)}).to_netcdf(tmp_path / "digits.nc")
    tifffile.imwrite(tmp_path / "digits.tif", chosen, photometric="minisblack", metadata={"axes": "QTYX"})
    wanted = INK.scale.to_model(torch.from_numpy(chosen).double()).float()
    clip = SHAPE.with_(frames=3)
    first: list[Tensor] = []
    for ending in ("npy", "npz", "h5", "zarr", "nc", "tif"):
        variables = {"ink": INK}
        opened = Arrays(path=str(tmp_path / f"digits.{ending}"), axes="n,t,y,x", variables=variables, rate=1).open()
        assert opened.count(clip) == 10
        examples = [opened.example(number, clip) for number in range(10)]
        clips = [one.video for one in examples]
        assert len({one.name.partition(" ")[2] for one in examples}) == 10
        for one in clips:
            assert any(torch.equal(one[0], wanted[n, t : t + 3]) for n in range(5) for t in range(2)), ending
        first = first or clips
        assert all(torch.equal(one, other) for one, other in zip(first, clips, strict=True)), ending
