"""The network of a `zoetrope.networks.controlled.ControlledConfig`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.layers.convolution import SpatialConv
from zoetrope.layers.elementwise import SiLU
from zoetrope.layers.patches import Enter
from zoetrope.layers.zero import zero
from zoetrope.networks import FrameChunk, Network
from zoetrope.networks._given import frames_given, number, videos_given
from zoetrope.networks._unet import VideoUNet
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import VideoUNetConfig

ASCENDING = ("up", "finer", "merge", "more", "norm", "modulation", "leave", "gain")
"""The parts of a U-Net that a copy of its descending half lacks."""


class ControlledUNet(VideoUNet):
    """A U-Net with controls. Its weights have the names that they have without, so that files of either fit."""

    def __init__(self, config: ControlledConfig):
        super().__init__(config.network)
        made = {control.name: ControlBranch(config.network, control, config.adaptive) for control in config.controls}
        self.controls = nn.ModuleDict(made)
        self.follow(set(self.state_dict()))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr, (B,) or (B, F).

        Each control needs its map (B, C', F, H, W), on z's grid, and in the numbers its scale, "<name>_scale" (B,) or
        (B, F): 1 is as in training, and 0 is without it, bitwise. Raises ValueError for missing or misshapen ones.
        """
        context = self.whole_context(z, logsnr, conditioning)
        videos = self.videos(FrameChunk(z, conditioning.maps))
        h, skips = self.descend(self.enter(videos), context)
        features = [*skips, h]
        for branch in self.controls.values():
            assert isinstance(branch, ControlBranch)
            features = [own + more for own, more in zip(features, branch(videos, logsnr, conditioning), strict=True)]
        return self.answer(self.ascend(features[-1], features[:-1], context), context.e, videos, logsnr, conditioning)

    def stream(self, parts: Iterable[FrameChunk], logsnr: Tensor, conditioning: Conditioning) -> Iterator[Tensor]:
        """See `Network.stream`; it holds the whole video."""
        return Network.stream(self, parts, logsnr, conditioning)

    def matrices(self) -> Iterator[Tensor]:
        """The weights of linear maps and convolutions of the controlled network and of the copies."""
        yield from super().matrices()
        for branch in self.controls.values():
            assert isinstance(branch, ControlBranch)
            for part in (branch.copy.mix, branch.copy.down, branch.copy.coarser, branch.copy.fewer):
                yield from (each.weight for each in part.modules() if isinstance(each, nn.Linear | nn.Conv2d))

    def blocks(self) -> Iterator[nn.Module]:
        """The blocks of all levels, down and up, and those of the copies."""
        yield from super().blocks()
        for branch in self.controls.values():
            assert isinstance(branch, ControlBranch)
            for level in branch.copy.down:
                yield from level.children()

    def grown(self, stored: Mapping[str, Tensor], maps: Mapping[str, int] | None) -> dict[str, Tensor]:
        """See `Network.grown`: copies are given the same maps as the network."""
        found = super().grown(stored, maps)
        for name, branch in self.controls.items():
            assert isinstance(branch, ControlBranch)
            start = f"controls.{name}.copy."
            theirs = {each.removeprefix(start): value for each, value in stored.items() if each.startswith(start)}
            found |= {start + each: value for each, value in branch.copy.grown(theirs, maps).items()}
        return found

    def follow(self, fresh: Collection[str]) -> None:
        """See `Network.follow`: a copy of which all is fresh becomes one of what the network is now."""
        own = self.state_dict()
        for name, branch in self.controls.items():
            assert isinstance(branch, ControlBranch)
            theirs = branch.copy.state_dict()
            if all(f"controls.{name}.copy.{each}" in fresh for each in theirs):
                branch.copy.load_state_dict({each: own[each] for each in theirs})


class ControlBranch(nn.Module):
    """What a control adds to the features of a network: a copy of its descending half between two maps from zero."""

    def __init__(self, network: VideoUNetConfig, control: Control, adaptive: bool):
        super().__init__()
        self.control = control
        self.hint = HintEncoder(control, network.patch, network.levels[0].width)
        self.copy = VideoUNet(network)
        for name in ASCENDING:
            delattr(self.copy, name)
        self.leave = nn.ModuleList(zero(nn.Linear(level.width, level.width)) for level in network.levels)
        self.strength = zero(nn.Linear(network.embedding, len(network.levels))) if adaptive else None

    def forward(self, videos: Sequence[Tensor], logsnr: Tensor, conditioning: Conditioning) -> list[Tensor]:
        """What is added to each skip, from fine to coarse, and last to the coarsest features."""
        z, name = videos[0], self.control.name
        [_, hint] = videos_given(z, conditioning.maps, {name: self.control.channels})
        key = f"{name}_scale"
        scale = frames_given(f"numbers[{key!r}]", number(conditioning, key, f"the strength of {name}"), z)
        context = self.copy.context(z, logsnr, conditioning)
        h, skips = self.copy.descend(self.copy.enter(videos) + self.hint(hint), context)
        strength = scale[..., None].to(h.dtype)
        if self.strength is not None:
            strength = strength * (1 + self.strength(context.e))
        strength = strength.expand(-1, -1, len(self.leave))
        found = list[Tensor]()
        for index, (leave, own) in enumerate(zip(self.leave, [*skips, h], strict=True)):
            every = self.copy.config.strides[index]
            found.append(leave(own) * strength[:, ::every, None, None, index, None])
        return found


class HintEncoder(nn.Module):
    """A map (B, C', F, H, W) as features (B, F, H / patch, W / patch, D) of the finest level, which begin at zero."""

    def __init__(self, control: Control, patch: int, width: int):
        super().__init__()
        self.enter = Enter(control.channels, patch, control.width)
        self.conv = SpatialConv(control.width, control.width)
        self.leave = zero(nn.Linear(control.width, width))
        self.silu = SiLU()

    def forward(self, hint: Tensor) -> Tensor:
        h = self.silu(self.conv(self.silu(self.enter([hint]))))
        made: Tensor = self.leave(h)
        return made
