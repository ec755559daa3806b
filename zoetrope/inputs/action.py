"""What is done in each frame, a vector for each: the keys of a game, the motors of a robot, a forcing.

The vector of a frame conditions that frame alone. In a network whose frames see no later ones (a causal `dit` of
patches of one frame) an action therefore reaches its own frame and later ones, and no earlier one.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.config.errors import shown
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.inputs._files import array_of
from zoetrope.inputs._told import ToldName, frames_beside, on_scale
from zoetrope.scales import Scale
from zoetrope.shapes import VideoShape
from zoetrope.wording import counted


class Action(Input):
    """A vector of each frame, by its name in the data.

    Frames whose vector is unknown have one that is learnt.

    Attributes:
        told: its name, in the data and in requests.
        entries: of each vector.
        scale: how entries become the numbers that networks see, about -1 to 1; None: they are such.
        dropout: share of training examples in which all actions are unknown, for guidance and for requests without.
    """

    told: ToldName = "action"
    entries: Annotated[int, Field(ge=1, le=65_536)]
    scale: Scale | None = None
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def name(self) -> str:
        """The name in the data."""
        return self.told

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("action", size=self.entries)

    @property
    def description(self) -> str:
        """See `Input`."""
        return f"{self.told} (of each frame {counted(self.entries, 'number')})"

    @property
    def tells(self) -> dict[str, str]:
        """See `Input`."""
        return {self.told: "action"}

    @property
    def size(self) -> int:
        """The entries of a vector."""
        return self.entries

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The actions of each video, unknown in some. Raises ValueError that names a clip whose actions do not fit."""
        frames = examples.x.shape[2]
        given = self._given(torch.stack([self._of_samples(samples, frames) for samples in examples.samples]))
        return given.without(self.told, examples.uniform() < self.dropout)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """The actions of each sample."""
        return self._given(torch.stack([self._of_samples([one], one.video.shape[1]) for one in samples]))

    def fitted(self, value: Any, shape: VideoShape) -> Tensor:
        """The actions (F, K) of a request, or (B, F, K): an array, lists, or a file .npy or .csv with a line a frame.

        A vector of NaN alone is unknown. Raises ValueError for another number of frames or entries, for infinity, for a
        vector of which some entries are NaN, and where all vectors are unknown.
        """
        given = torch.from_numpy(array_of(self.told, value))
        if given.ndim == 1 and self.entries == 1:
            given = given[:, None]
        wanted = f"{counted(shape.frames, 'frame')} of {counted(self.entries, 'number')}"
        if given.ndim not in (2, 3) or tuple(given.shape[-2:]) != (shape.frames, self.entries):
            raise ValueError(f"{self.told}: expected {wanted}, ({shape.frames}, {self.entries}), got {_sizes(given)}")
        lacking = given.isnan().all(-1)
        if bool((wrong := ~given.isfinite().all(-1) & ~lacking).any()):
            *row, frame = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"{self.told}: expected finite numbers, got {given[(*row, frame)].tolist()} in frame {frame}; NaN "
                "alone where a frame's are unknown"
            )
        if bool(lacking.all()):
            raise ValueError(f"{self.told}: expected numbers, got NaN in every frame; leave it out where it is unknown")
        return given

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The actions (F, K) of all videos, or (B, F, K) of each. Raises ValueError for anything else."""
        if not isinstance(value, Tensor) or value.ndim not in (2, 3):
            raise ValueError(f"{self.told}: expected a vector for each frame, got {shown(value)}")
        if value.ndim == 3 and len(value) != count:
            raise ValueError(f"{self.told}: expected actions for each of {count} videos, got {len(value)}")
        return self._given(value.expand(count, -1, -1))

    def unknown(self, extent: Extent) -> Conditioning:
        """All are unknown."""
        return self.blank(extent).without(self.told)

    def blank(self, extent: Extent) -> Conditioning:
        """Zeros."""
        return Conditioning(
            tokens={self.told: Tokens.real(torch.zeros(extent.videos, extent.grid[0], 1, self.entries))}
        )

    def _of_samples(self, samples: Sequence[Any], frames: int) -> Tensor:
        value = frames_beside(self.told, samples, frames, 0)
        if value is None:
            return torch.full((frames, self.entries), torch.nan)
        if value.ndim != 2 or value.shape[1] != self.entries:
            wanted = f"{counted(self.entries, 'number')} a frame"
            raise ValueError(f"{samples[0].name}: {self.told}: expected {wanted}, got the shape {tuple(value.shape)}")
        return value

    def _given(self, values: Tensor) -> Conditioning:
        """The conditioning of actions (B, F, K), unknown where an entry is NaN."""
        seen = on_scale(self.told, values.double(), self.scale)
        known = seen.isfinite().all(-1, keepdim=True)
        return Conditioning(tokens={self.told: Tokens(torch.where(known, seen, 0).float()[:, :, None], known)})


def _sizes(given: Tensor) -> str:
    return f"({', '.join(map(str, given.shape))})"
