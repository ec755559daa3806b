"""ControlNet: a trained U-Net that learns to follow maps, such as edges [Zhang et al. 2023, arXiv:2302.05543].

The trained network stays as it is. Copies of its descending half, one for each control, read a map beside z and learn;
what they find is added to the features that the trained network's ascending half reads, through maps that begin at
zero. So the network begins as the trained one, and without a control it stays that.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from zoetrope.config import Config
from zoetrope.diffusion.prediction import Prediction
from zoetrope.layers.attention import Looks
from zoetrope.networks import NetworkConfig, Reach, Width
from zoetrope.networks.video_unet import VideoUNetConfig

if TYPE_CHECKING:
    from zoetrope.networks._controlled import ControlledUNet


class Control(Config):
    """One control of a network.

    Attributes:
        name: of the input that gives its map, such as "edges", see `zoetrope.inputs`.
        channels: of that map.
        width: of the layers that encode the map.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    width: Width = 32


class ControlledConfig(NetworkConfig):
    """A network of pictures or videos, and its controls.

    The fields that every network has, such as `channels`, are those of the controlled network: what is said of one
    holds for the other. Weights of the controlled network alone begin this one, see `zoetrope train --init`.

    Attributes:
        network: the network that is controlled.
        controls: what controls it; several add up.
        adaptive: whether each control also learns how strongly it acts at each resolution, as a factor that depends on
            the noise level and the text, and begins at 1.
    """

    network: VideoUNetConfig = VideoUNetConfig()
    controls: Annotated[tuple[Control, ...], Field(max_length=16)] = ()
    adaptive: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shared(cls, value: Any) -> Any:
        """Give the network and what it controls the same fields. Raises ValueError where JSON says them otherwise."""
        if not isinstance(value, Mapping):
            return value
        told = value.get("network", {})
        own = {name: value[name] for name in NetworkConfig.model_fields if name in value}
        if not isinstance(told, VideoUNetConfig):
            for name in own.keys() & told.keys() if isinstance(told, Mapping) else ():
                if own[name] != told[name]:
                    raise ValueError(f"network.{name}: expected {own[name]!r}, as {name} says, got {told[name]!r}")
            told = VideoUNetConfig.model_validate(told)
        network = told.with_(**own)
        return {**value, **{name: getattr(network, name) for name in NetworkConfig.model_fields}, "network": network}

    @model_validator(mode="after")
    def _controlled_apart(self) -> Self:
        names = [control.name for control in self.controls]
        if len({*names}) < len(names):
            raise ValueError(f"controls: expected different names, got {names}")
        if taken := sorted({*names} & {*self.network.reads, *self.network.concatenated}):
            raise ValueError(f"controls: expected names of other inputs than the network's own, got {taken[0]!r}")
        return self

    def build(self) -> "ControlledUNet":
        """The network with fresh weights."""
        from zoetrope.networks._controlled import ControlledUNet

        return ControlledUNet(self)

    @property
    def inner(self) -> NetworkConfig:
        """The network that is controlled."""
        return self.network

    @property
    def reads(self) -> set[str]:
        """See `NetworkConfig`."""
        return self.network.reads | {control.name for control in self.controls}

    @property
    def sizes(self) -> dict[str, int]:
        """See `NetworkConfig`."""
        return self.network.sizes

    @property
    def concatenated(self) -> dict[str, int]:
        """See `NetworkConfig`; controls read theirs apart from these."""
        return self.network.concatenated

    @property
    def predicts(self) -> Prediction | None:
        """What the controlled network predicts."""
        return self.network.predicts

    @property
    def needs_even_frames(self) -> bool:
        """See `NetworkConfig`."""
        return self.network.needs_even_frames

    @property
    def reads_seconds(self) -> bool:
        """See `NetworkConfig`."""
        return self.network.reads_seconds

    @property
    def takes_packs(self) -> bool:
        """See `NetworkConfig`."""
        return self.network.takes_packs

    def framewise(self) -> NetworkConfig:
        """The controlled network's network of single frames, as which this one begins too."""
        return self.network.framewise()

    def looking(self, looks: Looks) -> "ControlledConfig":
        """See `NetworkConfig.looking`: attention of the controlled network and of the copies looks at these frames."""
        return self.with_(network=self.network.looking(looks))

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError, with the nearest legal size, for a size that the controlled network cannot process."""
        self.network.check(frames, height, width)

    def reach(self) -> Reach:
        """That of the controlled network, and two more cells of its finest level, which the maps' encoders see."""
        far = self.network.reach()
        pixels = None if far.pixels is None else far.pixels + 2 * self.network.patch
        return far._replace(pixels=pixels, streams=False)
