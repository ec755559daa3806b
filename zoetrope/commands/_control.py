"""Options for controls, such as edges, and what they mean for the stages that run."""

import hashlib
import os
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import values_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zoetrope.cascade.spec import StageSpec
    from zoetrope.inputs import ControlClip

ControlFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        metavar="FILE",
        help="What controls the video, as the model has learnt it: a clip or a picture of edges, white on black. "
        "NAME=FILE where the model has several, such as edges=FILE. Repeatable.",
    ),
]
ControlSources = Annotated[
    list[str] | None,
    typer.Option(
        "--control-from", metavar="FILE", help="A clip or a picture to compute the control from, likewise. Repeatable."
    ),
]
ControlScales = Annotated[
    list[str] | None,
    typer.Option(
        "--control-scale",
        metavar="S",
        help="How strongly controls act: 1 as in training, 0 not at all; NAME=S for one of them. [1]",
    ),
]


class ControlAsked(NamedTuple):
    """The options, as given."""

    shown: list[str] | None
    source: list[str] | None
    scale: list[str] | None
    fit: str

    @property
    def given(self) -> bool:
        """Whether any control is given."""
        return bool(self.shown or self.source or self.scale)

    def clips(self, stages: "Sequence[StageSpec]") -> "dict[str, ControlClip]":
        """The values of the controls of these stages, by name. Raises ValueError for what does not fit."""
        from zoetrope.cascade.start import fit_named
        from zoetrope.models.control import control_clips

        names = {each.name for stage in stages for each in stage.inputs if each.aligned}
        shown, source = (
            _named(option, values, names)
            for option, values in (("--control", self.shown), ("--control-from", self.source))
        )
        return control_clips(stages, shown, source=source, scale=_scales(self.scale), fit=fit_named(self.fit))

    def about(self, clips: "Mapping[str, ControlClip]") -> dict[str, Any]:
        """The controls, for `--json` and the tags of files."""
        told = dict[str, Any]()
        for name, clip in clips.items():
            content = hashlib.blake2b(clip.video.contiguous().numpy().tobytes(), digest_size=8).hexdigest()
            told[name] = {"derived": clip.derive, "scale": clip.scale, "fit": self.fit, "id": content}
        return told


def _named(option: str, values: list[str] | None, names: set[str]) -> Any:
    """The file of each control, or the lone file; a path may have an equals sign in it."""
    if not values:
        return None
    found = dict[str, str]()
    for value in values:
        name, sign, path = value.partition("=")
        if not sign or (name.strip() not in names and os.path.exists(os.path.expanduser(value))):
            if len(values) > 1:
                raise ValueError(f"{option} {value}: expected NAME=FILE for each of several, such as edges=edges.mp4")
            return os.path.expanduser(value)
        if name.strip() in found:
            raise ValueError(f"{option} {value}: expected one file for {name.strip()}, got two")
        found[name.strip()] = os.path.expanduser(path)
    return found


def _scales(values: list[str] | None) -> Any:
    """The scale of each control, or the one of all."""
    if not values:
        return None
    if len(values) == 1 and "=" not in values[0]:
        try:
            return float(values[0])
        except ValueError:
            raise ValueError(f"--control-scale: expected a number, or NAME=NUMBER, got {values[0]!r}") from None
    return values_named("--control-scale", values)
