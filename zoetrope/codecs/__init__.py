"""Codecs between videos in pixels and their latents, one kind per file.

To add one, add a file with a frozen value that subclasses `Codec`. Its `build` makes a module with an encoder, which
sees each frame alone, and a decoder, which may see neighbouring frames as well.

A codec on disk is a folder with `codec.json`, its description, and `model.safetensors`, its weights with their scale.
"""

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoetrope.config import Kind
from zoetrope.files import whole_folder
from zoetrope.files.tensors import save_tensors
from zoetrope.layers.bare import bare
from zoetrope.shapes import VideoShape, expect_shape

FOLDER, DESCRIPTION, WEIGHTS = "codec", "codec.json", "model.safetensors"
AT_ONCE = 2**20
"""The most pixels that are decoded at a time, unless a single frame has more."""


class Posterior(NamedTuple):
    """The encoder's normal distribution of the unscaled latents of a video: mean and logvar, (B, C, F, h, w) each."""

    mean: Tensor
    logvar: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """A sample, of standard normal noise like the mean."""
        return self.mean + (self.logvar / 2).exp() * noise

    def divergence(self) -> Tensor:
        """KL(posterior || standard normal) per video, (B,), in nats: summed over a frame, averaged over frames."""
        terms = (self.mean.square() + self.logvar.exp() - 1 - self.logvar) / 2
        return terms.sum((1, 3, 4)).mean(1)


class CodecNetwork(nn.Module, ABC):
    """The module that every codec builds, for videos (B, C, F, H, W) in [-1, 1].

    Attributes:
        scale: a buffer, () like the weights and stored with them: latents are the means times it. `measure` sets it.
        decoding: how the names of weights begin that latents do not depend on, those of the decoder.
    """

    decoding: ClassVar[tuple[str, ...]] = ()

    scale: Tensor

    def __init__(self, codec: "Codec"):
        super().__init__()
        self.codec = codec
        self.register_buffer("scale", torch.ones(()))

    @abstractmethod
    def posterior(self, x: Tensor) -> Posterior:
        """The distribution of the unscaled latents of x. Raises ValueError for sizes that the factor doesn't divide."""

    @abstractmethod
    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The videos of unscaled latents that arrive as consecutive parts (B, C, f, h, w) of one video, as parts.

        Equal to the whole, whatever the parts are.
        """

    def last(self) -> Tensor | None:
        """The weights of the decoder's last layer; None: there are none."""
        return None

    def encode(self, x: Tensor) -> Tensor:
        """The scaled latents of x, (B, channels, F, H / factor, W / factor): means, without noise."""
        return self.posterior(x).mean * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """The video of scaled latents. It is not clipped, so that gradients pass."""
        expect_shape("latents", z, None, self.codec.channels, None, None, None)
        return torch.cat(list(self.stream([z / self.scale])), dim=2)


class Codec(Kind, ABC):
    """The description of a codec; `build` makes the module with fresh weights.

    Attributes:
        encodes: whether latents are something else than the pixels.
        wrapped: whether it is another library's.
        channels: of the latents.
        margin: latents on each side that one latent's pixels depend on, and that a latent depends on: the overlap
            with which tiles equal the whole.
    """

    folder: ClassVar[str] = "zoetrope.codecs"
    encodes: ClassVar[bool] = True
    wrapped: ClassVar[bool] = False

    channels: Annotated[int, Field(ge=1, le=64)] = 3

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per latent, along height and along width."""

    @property
    @abstractmethod
    def margin(self) -> int:
        """See the class."""

    @abstractmethod
    def build(self) -> CodecNetwork:
        """The module with fresh weights, from the global random state."""

    def plain(self) -> "Codec":
        """The description of what latents depend on: this one, with the plainest of the decoders that differ in it."""
        return self

    def check(self, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal sizes, unless the factor divides a video's height and width."""
        for name, size in (("height", height), ("width", width)):
            if size % self.factor or not size:
                below = size // self.factor * self.factor
                near = [str(n) for n in (below, below + self.factor) if n]
                raise ValueError(
                    f"{name}: expected a multiple of the codec's factor {self.factor}, got {size}; "
                    f"nearest: {' or '.join(near)}"
                )

    def pixels(self, shape: VideoShape) -> VideoShape:
        """The grid of the videos whose latents have the grid `shape`."""
        if self.factor == 1:
            return shape
        return shape.with_(height=self.factor * shape.height, width=self.factor * shape.width)

    def latents(self, shape: VideoShape) -> VideoShape:
        """The grid of the latents of videos of the grid `shape`. Raises ValueError as `check` does."""
        self.check(shape.height, shape.width)
        if self.factor == 1:
            return shape
        return shape.with_(height=shape.height // self.factor, width=shape.width // self.factor)


def decoded(network: CodecNetwork, z: Tensor) -> Tensor:
    """The videos (B, 3, F, H, W) of scaled latents (B, C, F, h, w), clipped to [-1, 1]; without a graph.

    One video after the other, a few frames at a time, so that it takes little more memory than the videos.
    """
    grid = network.codec.factor**2 * z.shape[3] * z.shape[4]
    frames = max(1, AT_ONCE // grid)
    with torch.no_grad():
        unscaled = z.float() / network.scale
        videos = [torch.cat([part.clamp_(-1, 1) for part in network.stream(one.split(frames, dim=2))], dim=2)
                  for one in unscaled.split(1)]  # fmt: skip
    return torch.cat(videos)


def encoded(network: CodecNetwork, x: Tensor) -> Tensor:
    """The scaled latents (B, C, F, h, w) of videos (B, 3, F, H, W) in [-1, 1]; without a graph.

    A few frames at a time, which is the same, for encoders see each frame alone.
    """
    frames = max(1, AT_ONCE // (len(x) * x.shape[3] * x.shape[4]))
    with torch.no_grad():
        return torch.cat([network.encode(part) for part in x.float().split(frames, dim=2)], dim=2)


def measure(network: CodecNetwork, videos: Iterable[Tensor]) -> float:
    """Set and return the network's `scale`: 1 / the standard deviation of the unscaled latents of all the videos.

    Latents then have the deviation 1 that diffusion expects [Rombach et al. 2022, arXiv:2112.10752, Sec. 4.3.2 and
    App. G]. Moments are added up in float64, so that only one of the videos (B, C, F, H, W) is in memory.

    Raises ValueError if there are no videos, or if all their latents are equal.
    """
    count, total, squares, start = 0, 0.0, 0.0, None
    with torch.no_grad():
        for x in videos:
            mean = network.posterior(x).mean.double()
            start = mean.flatten()[0] if start is None else start
            mean = mean - start  # of equal ones, all are 0, and none of their digits are lost
            count, total = count + mean.numel(), total + float(mean.sum())
            squares += float(mean.square().sum())
    variance = squares / count - (total / count) ** 2 if count else 0.0
    if not variance > 0:
        raise ValueError(f"scale: expected latents that differ, got {count} equal ones: it cannot be measured")
    network.scale.fill_(variance**-0.5)
    return float(network.scale)


def identity(network: CodecNetwork) -> str:
    """What a codec is, as a checksum: the description, the weights and the scale. Decoded videos depend on all."""
    return _checksum(network.codec, network.state_dict())


def latent_identity(network: CodecNetwork) -> str:
    """What latents depend on, as a checksum: a codec without its decoder.

    Codecs of equal ones may decode each other's latents, as a decoder of videos does those of a codec of pictures; to
    another codec of the same shape they are noise.
    """
    tensors = {name: value for name, value in network.state_dict().items() if not name.startswith(network.decoding)}
    return _checksum(network.codec.plain(), tensors)


def _checksum(codec: Codec, tensors: Mapping[str, Tensor]) -> str:
    made = hashlib.sha256(json.dumps(codec.to_json(), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        made.update(name.encode())
        made.update(value.detach().cpu().float().contiguous().flatten().numpy().tobytes())
    return made.hexdigest()


def save_codec(network: CodecNetwork, folder: Path, *, over: bool = False) -> None:
    """Write the codec into the folder, whole or not at all; with `over` in place of what is there.

    Weights that bfloat16 holds exactly are stored in it. Raises OSError as on a full disk.
    """
    with whole_folder(folder, over=over) as partial:
        (partial / DESCRIPTION).write_text(json.dumps(network.codec.to_json(), indent=2) + "\n", "utf-8")
        tensors = {name: _short(value.detach().cpu().contiguous()) for name, value in network.state_dict().items()}
        save_tensors(tensors, partial / WEIGHTS)


def _short(value: Tensor) -> Tensor:
    """The values in bfloat16 where that is exact."""
    short = value.to(torch.bfloat16)
    return short if torch.equal(short.to(value.dtype), value) else value


def copy_codec(source: Path, folder: Path, *, over: bool = False) -> None:
    """Copy a codec's folder, whole or not at all; with `over` in place of what is there.

    Raises ValueError as `load_codec` does.
    """
    load_codec(source)
    with whole_folder(folder, over=over) as partial:
        for name in (DESCRIPTION, WEIGHTS):
            shutil.copyfile(source / name, partial / name)


def load_codec(folder: Path) -> CodecNetwork:
    """The codec in a folder, on the CPU, frozen, in float32.

    Raises ValueError, in one line, if a file is missing or damaged, or if the weights are not of the codec that is
    described: a decoder without its encoder, say.
    """
    path = folder / DESCRIPTION
    try:
        codec = Codec.from_json(path.read_text("utf-8"))
        path = folder / WEIGHTS
        tensors = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path}: expected a file of a codec, {DESCRIPTION} and {WEIGHTS} ({reason})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with bare():
        network = codec.build()
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    parts = {name.partition(".")[0] for name in wanted}
    if lacking := sorted(parts - {name.partition(".")[0] for name in tensors}):
        raise ValueError(f"{path}: expected {', '.join(sorted(parts))}, but {', '.join(lacking)} is missing")
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"{path}: expected {name} of shape {wanted.get(name, 'none')}, got {found.get(name, 'none')}: "
                f"not the weights of the codec that {DESCRIPTION} describes"
            )
    if wrong := sorted(name for name, value in tensors.items() if not bool(value.isfinite().all())):
        raise ValueError(f"{path}: expected finite weights, got others in {wrong[0]}")
    network.load_state_dict(tensors, assign=True)
    if float(network.scale) <= 0:
        raise ValueError(f"{path}: expected a scale of latents above 0, got {float(network.scale):g}")
    return network.eval().requires_grad_(False)
