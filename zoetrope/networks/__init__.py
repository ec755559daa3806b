"""Network architectures, one per file. To add one, add a file with a frozen value that subclasses `NetworkConfig`.

A network maps (z, logsnr, conditioning) to an output shaped like z. It knows no schedule, no guidance and no loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from zoetrope.conditioning import NONE, Conditioning
from zoetrope.config import Config, Kind
from zoetrope.diffusion.prediction import Prediction
from zoetrope.layers.attention import Looks
from zoetrope.layers.bare import bare

Width = Annotated[int, Field(ge=1, le=2**19)]  # 128 times what the paper's networks have


_Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]


class SizedInput(Config):
    """Something that a network is told by name, with its size.

    Attributes:
        name: of the input.
        size: classes of a label, entries of an action, or channels of a map.
    """

    name: _Name
    size: Annotated[int, Field(ge=1, le=65_536)]


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise ValueError(f"expected every name once, got {twice[0]!r} twice")
    return names


def _named_once(several: tuple[SizedInput, ...]) -> tuple[SizedInput, ...]:
    _once(tuple(one.name for one in several))
    return several


ToldNames = Annotated[tuple[_Name, ...], Field(max_length=64), AfterValidator(_once)]
SizedInputs = Annotated[tuple[SizedInput, ...], Field(max_length=64), AfterValidator(_named_once)]


class FrameChunk(NamedTuple):
    """Some consecutive frames of a video: z (B, C, f, H, W) and their maps."""

    z: Tensor
    maps: Mapping[str, Tensor] = NONE


class ClipBatch(NamedTuple):
    """Videos of one size, and what a network is given with them: the arguments of `Network.forward`."""

    z: Tensor
    logsnr: Tensor
    conditioning: Conditioning


class Former(NamedTuple):
    """Where files of older versions store a tensor: in the rows `first` to `end` of the tensor `name`."""

    name: str
    first: int
    end: int


class Network(nn.Module, ABC):
    """The module that every architecture builds."""

    @abstractmethod
    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr: (B,), or (B, F) where each frame has its own."""

    def stream(self, parts: Iterable[FrameChunk], logsnr: Tensor, conditioning: Conditioning) -> Iterator[Tensor]:
        """The output of `forward`, part by part, for a video that arrives in consecutive parts.

        `conditioning` is as for `forward`, without maps. Networks whose `Reach` says that they stream hold only a few
        parts at a time, others the whole video. Once a part's output is yielded, its z may be overwritten.
        """
        known = list(parts)
        z = torch.cat([part.z for part in known], dim=2)
        maps = {name: torch.cat([part.maps[name] for part in known], dim=2) for name in known[0].maps}
        whole = replace(conditioning, maps=maps)
        yield from self(z, logsnr, whole).split([part.z.shape[2] for part in known], dim=2)

    def pack(self, videos: Sequence[ClipBatch]) -> list[Tensor]:
        """The outputs of `forward` for videos of different sizes and lengths, which do not see each other.

        By default they are computed one after the other. Transformers process them as one sequence.
        """
        return [self(*each) for each in videos]

    def matrices(self) -> Iterator[Tensor]:
        """The weights that map features to features, for optimizers of matrices such as Muon; none by default."""
        yield from ()

    def formerly(self) -> Mapping[str, Former]:
        """Today's name of each tensor that moved -> where files of older versions store it."""
        return {}

    def grown(self, stored: Mapping[str, Tensor], maps: Mapping[str, int] | None) -> dict[str, Tensor]:
        """Those tensors of a network given fewer maps that depend on them, as this one's, with zeros for the others.

        This network then begins as that one, whatever the other maps show. `maps` are that one's, see
        `NetworkConfig.concatenated`; None: not known. Without tensors of such a network none are returned.

        Raises ValueError where it is needed to know its maps, and for maps that this network is not given.
        """
        return {}

    def follow(self, fresh: Collection[str]) -> None:
        """Set tensors that weights of another network lack, by name, from those that it has; by default none.

        Called once these have been read, for parts that begin as copies of others.
        """
        return

    def last(self) -> Tensor | None:
        """The weights of the last layer, for objectives that weigh errors by their gradients there; None by default."""
        return None

    def blocks(self) -> Iterator[nn.Module]:
        """The modules, in the order of their calls, that are compiled or sharded one by one; none by default."""
        yield from ()


class Reach(NamedTuple):
    """A network's receptive field: the output at one place depends on the frames and pixels within this distance.

    None is unlimited: along that axis a video cannot be processed in parts. Parts begin and end at multiples of `grid`
    pixels and of `every` frames of the whole video. A network that `streams` processes consecutive parts without seeing
    a frame twice.
    """

    frames: int | None
    pixels: int | None
    grid: int
    streams: bool = False
    every: int = 1


class NetworkConfig(Kind, ABC):
    """The hyper-parameters of a network; `build` makes the module with fresh weights.

    Attributes:
        channels: of the videos.
        low_res: whether it takes the previous stage's video, for super-resolution.
        text_width: D of its text embeddings; None: it takes no text.
        picture_width: D of the embedding of a picture that it is told; None: it takes none.
        rate: whether it is told the frames per second.
        numbers: the names of numbers that it is told, such as "ef", see `zoetrope.inputs.number`. Each may be unknown.
        labels: labels that it is told, such as "view", with their number of classes, see `zoetrope.inputs.label`.
        actions: vectors of each frame that it is told, with their number of entries, see `zoetrope.inputs.action`.
            Where frames see no later ones, they see no later actions either.
        guided: whether it takes the guidance weight as input and outputs guided estimates. Its state dict extends the
            unguided network's, and at initialisation both agree.
        packs: whether its `Network.pack` computes videos of different sizes together.
        denoises: whether it is a denoiser; if not, it is trained beside the diffusion models, and no stage samples it.
        wrapped: whether it is another library's network, told no more than that is told there.
        objective: the objective that trains it, where it does not denoise; None: it is trained beside another network.
        vectors: whether it makes vectors of so many `channels`, as videos of one pixel, instead of videos.
    """

    folder: ClassVar[str] = "zoetrope.networks"
    packs: ClassVar[bool] = False
    wrapped: ClassVar[bool] = False
    vectors: ClassVar[bool] = False
    denoises: ClassVar[bool] = True
    objective: ClassVar[str | None] = None

    channels: Annotated[int, Field(ge=1, le=64)] = 3
    low_res: bool = False
    text_width: Width | None = 384
    picture_width: Width | None = None
    rate: bool = False
    numbers: ToldNames = ()
    labels: SizedInputs = ()
    actions: SizedInputs = ()
    guided: bool = False

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [*self.numbers, *(one.name for one in (*self.labels, *self.actions))]
        _once(tuple(names))
        return self

    @property
    def reads(self) -> set[str]:
        """The names of its inputs, see `zoetrope.inputs`, without the guidance weight."""
        read = {
            "text": self.text_width is not None,
            "low_res": self.low_res,
            "picture": self.picture_width is not None,
            "fps": self.rate,
        }
        return {name for name, does in read.items() if does} | {*self.numbers, *self.sizes}

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of its inputs that have one, by name: classes of labels, entries of actions, channels of maps."""
        return {one.name: one.size for one in (*self.labels, *self.actions)}

    @property
    def concatenated(self) -> dict[str, int]:
        """The maps that its first layer sees beside z, in order, with their channels."""
        return {}

    @property
    def predicts(self) -> Prediction | None:
        """The only prediction that the network can make; None: any that it is trained for."""
        return None

    @property
    def needs_even_frames(self) -> bool:
        """Whether it processes evenly spaced frames alone, one after the other: neighbours in a row are mixed."""
        return False

    @property
    def reads_seconds(self) -> bool:
        """Whether it places frames by their times in seconds, of which it is told in training and sampling alike."""
        return False

    @property
    def takes_packs(self) -> bool:
        """Whether frames can be independent images, which a stride in time would mix."""
        return True

    @property
    def inner(self) -> "NetworkConfig":
        """The network whose weights are among its own, by the same names: itself, or one that it extends."""
        return self

    def framewise(self) -> "NetworkConfig | None":
        """The network of single frames that this one begins as when it takes its weights and all others are fresh.

        With strides in time only the first of every `Reach.every` frames begins equal. None: it begins as none.
        """
        return None

    def looking(self, looks: Looks) -> "NetworkConfig":
        """The network whose spatial attention looks at these frames: it takes the same weights.

        Raises ValueError for an architecture whose attention cannot look at other frames.
        """
        raise ValueError(
            f"network: expected one whose spatial attention can look at other frames, such as video_unet, got "
            f"{self.kind()!r}"
        )

    @abstractmethod
    def build(self) -> Network:
        """A network with fresh weights, from the global random state."""

    def bare(self) -> Network:
        """The network on the meta device, without weights: for its shapes, or to load weights into."""
        with bare():
            return self.build()

    @abstractmethod
    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal size, if the network can't process videos of this size."""

    def reach(self) -> Reach:
        """The receptive field; unlimited unless an architecture overrides it."""
        return Reach(frames=None, pixels=None, grid=1)


def expect_multiples(*sizes: tuple[str, int, int]) -> None:
    """Raise ValueError, with the nearest legal one, unless each size (name, size, step) is a multiple of its step."""
    for name, size, step in sizes:
        if size % step:
            near = max(step, round(size / step) * step)
            raise ValueError(f"{name}: expected a multiple of {step}, got {size}; the nearest is {near}")
