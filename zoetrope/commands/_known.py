"""Options for known frames, and what they mean for the stages that run."""

import hashlib
import os
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import at_least, values_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoetrope.cascade.spec import StageSpec
    from zoetrope.channels import Channel
    from zoetrope.models.known import GivenFrames

KnownFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--known",
        metavar="PLACE=FILE",
        help="A picture that a frame is, or a clip that frames are: 0=first.png, -1=last.png, 0:8=clip.mp4; values in "
        "units, 0:4=past.nc. They come "
        "out as they are; the model makes the others. Repeatable.",
    ),
]
LowRes = Annotated[
    str | None,
    typer.Option(
        "--low-res",
        metavar="FILE",
        help="A video of fewer frames or pixels that the first stage's has to agree with, by --known-method "
        "reconstruction.",
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Which parts of --known frames are known, black, and which are made, white. A picture, or one a frame.",
    ),
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--known-method",
        metavar="NAME",
        help="For a first stage that has not learnt known frames: reconstruction (slow, through the gradient of its "
        "network) or replacement. [as the model has learnt it]",
    ),
]
MethodWeight = Annotated[
    float | None, typer.Option("--known-weight", metavar="W", help="The weight of reconstruction. [2]")
]
PictureFile = Annotated[
    str | None,
    typer.Option(
        "--picture",
        metavar="FILE",
        help="A picture to show, instead of one that the model's prior imagines; the one to begin with, where the "
        "model makes videos of pictures.",
    ),
]


Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=FILE",
        help="A map that the model is told, by name: .npy, or .npz, .nc or .zarr with an array of that name. "
        "Repeatable.",
    ),
]


class KnownAsked(NamedTuple):
    """The options, as given."""

    known: list[str] | None
    low_res: str | None
    method: str | None
    weight: float | None
    fit: str
    mask: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything is known."""
        return bool(self.known or self.low_res or self.mask)

    def frames(
        self, stages: "Sequence[StageSpec]", teachers: "Sequence[StageSpec]", channels: "Sequence[Channel]"
    ) -> "GivenFrames | None":
        """What is known of the videos, of these channels, that the stages make.

        Raises ValueError for files that cannot be read or do not fit, and for stages that cannot use them.
        """
        from zoetrope.cascade.start import fit_named
        from zoetrope.channels import are_rgb
        from zoetrope.models.known import known_frames, known_of
        from zoetrope.video import read

        if self.low_res is not None and not are_rgb(channels):
            raise ValueError(
                "--low-res: expected without, for it is a video of red, green and blue, unlike the model's"
            )
        at_least("--known-weight", self.weight, 0)
        places = _places(self.known) if self.known else None
        low_res = None if self.low_res is None else read(os.path.expanduser(self.low_res))
        ways: dict[str, Any] = {
            "method": self.method,
            "weight": self.weight,
            "fit": fit_named(self.fit),
            "channels": channels,
        }
        mask = None if self.mask is None else os.path.expanduser(self.mask)
        made = known_frames(stages, places, low_res=low_res, mask=mask, **ways)
        known_of(made, stages, teachers)
        return made

    def about(self, known: "GivenFrames") -> dict[str, Any]:
        """What is known, for `--json` and the tags of files."""
        from zoetrope.fields import content_of

        content = hashlib.blake2b(known.pictures.tobytes(), digest_size=8)
        told: dict[str, Any] = {"frames": list(known.places), "files": self.known or [], "fit": self.fit}
        if known.low_res is not None:
            content.update(content_of(known.low_res))
            told["low_res"] = self.low_res
        if known.mask is not None:
            content.update(known.mask.tobytes())
            told["mask"] = self.mask
        method = {} if known.method is None else {"method": known.method.to_json()}
        return {**told, **method, "id": content.hexdigest()}


def _places(given: list[str]) -> dict[str, str]:
    """The file of each place."""
    found: dict[str, str] = {}
    for item in given:
        place, sign, path = item.partition("=")
        if not (sign and place.strip() and path.strip()):
            raise ValueError(f"--known {item}: expected PLACE=FILE, such as 0=first.png, -1=last.png or 0:8=clip.mp4")
        if place.strip() in found:
            raise ValueError(f"--known {item}: expected one file for {place.strip()}, got two")
        found[place.strip()] = os.path.expanduser(path)
    return found


def values_of(given: list[str] | None, picture: str | None, maps: list[str] | None = None) -> dict[str, Any]:
    """The values for inputs that `--given` says, and the files of `--picture` and `--map` among them.

    Raises ValueError for one that is there twice.
    """
    values = values_named("--given", given)
    files = {} if picture is None else {"picture": ("--picture", picture)}
    for item in maps or []:
        name, sign, path = item.partition("=")
        if not (sign and name.strip() and path.strip()):
            raise ValueError(f"--map {item}: expected NAME=FILE, such as land=mask.npy")
        if name.strip() in files:
            raise ValueError(f"--map {item}: expected one file for {name.strip()}, got two")
        files[name.strip()] = ("--map", path)
    for name, (option, _) in files.items():
        if name in values:
            raise ValueError(f"{option}: expected {name} once, got it in --given too")
    return {**values, **{name: os.path.expanduser(path) for name, (_, path) in files.items()}}
