"""Sets of clips to evaluate, read one at a time, and the features that networks found in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import RGB, Channel, difference
from zoetrope.data.toybox.scene import Script
from zoetrope.fields import Fields
from zoetrope.metrics.features import ClipNetwork, FeatureNetwork
from zoetrope.shapes import VideoShape
from zoetrope.video import Video


@dataclass(frozen=True, eq=False)
class Clips:
    """`count` videos of one shape.

    Attributes:
        read: number to video (C, F, H, W) in [-1, 1], the same at every call.
        origin: where they come from, in words.
        channels: of the videos; of others than RGB they are as networks see them.
        present: number to where that video has values, like it, bool; None: everywhere.
        told: number to what the data tell of that video by name.
    """

    shape: VideoShape
    count: int
    read: Callable[[int], Tensor]
    origin: str = ""
    channels: tuple[Channel, ...] = RGB
    present: Callable[[int], Tensor | None] = lambda _: None
    told: Callable[[int], Mapping[str, Any]] = lambda _: {}

    @classmethod
    def of(cls, videos: Sequence[Video], origin: str = "") -> "Clips":
        """Videos in memory, such as `zoetrope.fields.Fields`, in which NaN is a missing value.

        Raises ValueError unless they are of one kind.
        """
        if not videos:
            raise ValueError("videos: expected at least one, got none")
        channels = [one.channels if isinstance(one, Fields) else RGB for one in videos]
        shapes = [
            VideoShape(frames=len(one.frames), height=one.frames.shape[1], width=one.frames.shape[2], fps=one.fps)
            for one in videos
        ]
        for shape, own in zip(shapes, channels, strict=True):
            if (wrong := difference(channels[0], own)) is not None:
                raise ValueError(f"videos: {wrong}")
            if shape != shapes[0]:
                raise ValueError(f"videos: expected all of one shape, got {shapes[0]} and {shape}")

        def present(number: int) -> Tensor | None:
            one = videos[number]
            there = ~np.isnan(one.values) if isinstance(one, Fields) else np.ones(1, bool)
            return None if there.all() else torch.from_numpy(there)

        return cls(shapes[0], len(videos), lambda number: videos[number].to_tensor(), origin, channels[0], present)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(number) for number in range(self.count))

    def frames(self, stride: int = 1) -> int:
        """How many frames of each clip are used with this stride."""
        return -(-self.shape.frames // stride)

    def strided(self, stride: int) -> "Clips":
        """These clips with every `stride`-th frame alone, at as many times fewer frames a second."""
        return self if stride == 1 else self.at(range(0, self.shape.frames, stride), stride)

    def at(self, frames: Sequence[int], stride: int = 1) -> "Clips":
        """These clips with these of every `stride`-th frame alone, at as many times fewer frames a second."""
        own = list(frames)
        shape = self.shape.with_(frames=len(own), fps=self.shape.fps / stride)

        def present(number: int) -> Tensor | None:
            there = self.present(number)
            return None if there is None else there[:, own]

        return replace(self, shape=shape, read=lambda number: self.read(number)[:, own], present=present)


@dataclass
class Seen:
    """What measures found in sets of clips.

    Features are kept with the network and the clips that they are of, so that several measures compute them only once.

    Attributes:
        places: what a measure found at each place, by its name: for each channel (F, H, W), in its unit.
    """

    places: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _features: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    def frames(self, network: FeatureNetwork, clips: Clips, stride: int) -> Tensor:
        """The features (N, F, D) of every `stride`-th frame."""
        return self._kept("frames", network, clips, stride, lambda video: network.of_frames(video[:, :, ::stride]))

    def clips(self, network: ClipNetwork, clips: Clips, stride: int, window: int | None = None) -> Tensor:
        """The features (N, D) of the first `window` of every `stride`-th frame of each clip, None for all of them."""

        def look(video: Tensor) -> Tensor:
            return network.of_clips(network.window(video[:, :, ::stride][:, :, :window]))

        return self._kept(f"clips of {window}", network, clips, stride, look)

    def _kept(
        self,
        what: str,
        network: FeatureNetwork | ClipNetwork,
        clips: Clips,
        stride: int,
        look: Callable[[Tensor], Tensor],
    ) -> Tensor:
        key = (what, network, clips, stride)
        if key not in self._features:
            made = [look(clips.read(number)[None]).float() for number in range(len(clips))]
            self._features[key] = torch.cat(made)
        return self._features[key]


@dataclass(frozen=True)
class Material:
    """The input of a measure.

    Attributes:
        made: the generated clips; real: the clips to compare them with, if any.
        prompts: of the generated clips; where there are as many real clips as cases, each has the prompt of its case.
        scripts: of the prompts, if they are toybox's.
        paired: whether clip n of `real` is the ground truth of those made of case n.
        members: how many were made of each case; those of case n are `made` from n * members on.
        known: the numbers of the frames of the real clips that were given, in order.
        stride: only every `stride`-th frame is used.
        seed: of the noise that `made` was sampled from.
    """

    made: Clips
    real: Clips | None = None
    prompts: tuple[str, ...] = ()
    scripts: tuple[Script, ...] = ()
    paired: bool = False
    members: int = 1
    known: tuple[int, ...] = ()
    stride: int = 1
    seed: int = 0
    seen: Seen = field(default_factory=Seen)

    @property
    def clusters(self) -> tuple[str, ...] | None:
        """The cluster, its prompt or its case, of each generated clip; None if all are independent.

        Videos of one prompt resemble each other. With a single prompt, only the scatter of its own videos matters.
        """
        if 1 < len(set(self.prompts)) < len(self.prompts) // self.members:
            return self.prompts
        if self.members > 1 and self.cases > 1:
            return tuple(str(number // self.members) for number in range(len(self.made)))
        return self.prompts if 1 < len(set(self.prompts)) < len(self.prompts) else None

    @property
    def cases(self) -> int:
        """How many cases the generated clips are of."""
        return len(self.made) // self.members

    @property
    def own_real(self) -> Clips | None:
        """The real clip of each case, where there is one for each and no other."""
        return self.real if self.real is not None and len(self.real) == self.cases else None

    @property
    def foretold(self) -> list[int]:
        """Every `stride`-th frame, of those that were not given."""
        return self._new(self.made)

    def new(self, clips: Clips) -> Clips:
        """These clips with the frames alone that count: every `stride`-th, of those that were not given."""
        return clips.strided(self.stride) if not self.known else clips.at(self._new(clips), self.stride)

    def places(self, clips: Clips) -> list[int]:
        """The places of these frames among every `stride`-th frame of the clips."""
        return [number // self.stride for number in self._new(clips)]

    def changes(self, clips: Clips) -> list[int]:
        """The places, among every `stride`-th frame, of those that were not given or whose next one was not."""
        new = set(self.places(clips))
        return [place for place in range(clips.frames(self.stride) - 1) if new & {place, place + 1}]

    def _new(self, clips: Clips) -> list[int]:
        return [number for number in range(0, clips.shape.frames, self.stride) if number not in self.known]
