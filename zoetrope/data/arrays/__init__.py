"""Arrays on disk: simulations, radar, microscopes, ultrasound, in the formats that their fields use.

Files hold recordings: one, or several along axes that are neither time nor channels nor space. A clip is some frames of
a recording in a row, read when it is needed, of which the rest stays on disk. `zoetrope.data.arrays.reading` lists the
formats, and `zoetrope.data.arrays.index` the columns of index files.

Each pass over the data visits every clip once, in an order of its own. Where an example begins and which part of
the grid it shows follow from its number alone.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from zoetrope.channels import MOST, Channel
from zoetrope.data import Source
from zoetrope.data._fetch import expect_local
from zoetrope.data.arrays.beside import BesideArray
from zoetrope.shapes import FramesPerSecond

if TYPE_CHECKING:
    from zoetrope.data.arrays.dataset import ArraysDataset

__all__ = ["Arrays"]

FramePlace = Annotated[int, Field(ge=0)] | str
"""A frame by its number, or a date such as 1979-01-31T12:00, of files that have times as the CF conventions say."""


class Arrays(Source):
    """Arrays in files, by variable.

    Attributes:
        path: a file, a folder of files, a pattern such as "runs/*.nc", or an index file (.csv, .tsv, .jsonl, .json).
        variables: the arrays to read, by name, each with its channel; one channel without a name has that of its array.
            "velocity[1]" is the entry 1 of an array along the axis "c". In files whose only array has no name (.npy,
            TIFF, NIfTI), the names are those of its entries along "c", in order, whatever they are.
        axes: of every array, in order, such as "time,y,x" or "n,t,c,y,x", or shorter "tyx". "c" is left out of arrays
            that have one axis fewer. Each entry along axes of other names is a recording apart.
        rate: frames a second in the files; None: as their times say, which must then be regular.
        step: frames of a file from one frame of a clip to the next; None: as `rate` and the stage's rate say, and 1
            where neither the files nor `rate` say one.
        stride: clips begin at every n-th frame of a recording.
        start, stop: the part of each recording that is used, stop not included, unless the index says otherwise.
        split: use only lines of the index with this in the column "split"; None: all.
        told: columns of the index that examples are told, and what each is: {"ef": "number", "view": "label"}.
        beside: arrays that belong to the frames, by the name that examples have them under: actions, maps, and
            videos of a lower resolution.
        missing: what NaN and missing values are: an error that names them ("refuse"), or places without a loss
            ("mask"), in which the network sees 0.
        fill: stored values that stand for no value, beside those that the files name.
        short: what happens to recordings that are shorter than a clip, but not than half of it: they are left out
            ("drop"), or the frames after their end have no loss ("mask").
        gaps: what steps of time of other lengths are: an error ("refuse"), or where recordings are cut ("cut").
        fit: how finer arrays become frames: means over blocks of pixels ("mean"), or a part of them, at a random place
            ("crop").
        seed: of the order of clips, and of the places of parts.
    """

    path: str
    variables: Annotated[dict[str, Channel], Field(min_length=1, max_length=MOST)]
    axes: str = "t,y,x"
    rate: FramesPerSecond | None = None
    step: PositiveInt | None = None
    stride: PositiveInt = 1
    start: FramePlace | None = None
    stop: FramePlace | None = None
    split: str | None = None
    told: dict[str, Literal["number", "label"]] = Field(default_factory=dict)
    beside: dict[str, BesideArray] = Field(default_factory=dict)
    missing: Literal["refuse", "mask"] = "refuse"
    fill: tuple[float, ...] = ()
    short: Literal["drop", "mask"] = "drop"
    gaps: Literal["refuse", "cut"] = "refuse"
    fit: Literal["mean", "crop"] = "mean"
    seed: NonNegativeInt = 0

    @field_validator("axes")
    @classmethod
    def _readable(cls, axes: str) -> str:
        from zoetrope.data.arrays.axes import Axes

        Axes.parsed(axes)
        return axes

    @field_validator("variables", mode="before")
    @classmethod
    def _named(cls, variables: Any) -> Any:
        """Channels without a name have that of their variable."""
        if not isinstance(variables, dict):
            return variables
        return {
            name: {"name": name.rpartition("/")[2]} | value if isinstance(value, dict) else value
            for name, value in variables.items()
        }

    @field_validator("variables")
    @classmethod
    def _apart(cls, variables: dict[str, Channel]) -> dict[str, Channel]:
        names = [channel.name for channel in variables.values()]
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise ValueError(f"expected channels of different names, got {twice[0]!r} twice")
        return variables

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        for name, one in self.beside.items():
            if one.kind == "video" and self.fit == "crop":
                raise ValueError(f'fit: expected "mean", for parts of any place cut pixels of {name!r}, got "crop"')
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of its clips, in order."""
        return tuple(self.variables.values())

    @property
    def place(self) -> Path:
        """The path on this machine: "~" is the home folder."""
        return Path(os.path.expanduser(self.path))

    def open(self) -> "ArraysDataset":
        """Look at every file. Raises ValueError that names file and variable for what cannot be used as it is said."""
        from zoetrope.data.arrays.dataset import ArraysDataset
        from zoetrope.data.arrays.listing import survey

        return ArraysDataset(self, survey(self))

    def located(self) -> Self:
        """See `Source`."""
        expect_local(self.path)
        return self.with_(path=str(self.place.absolute()))
