"""Options for pictures of one channel of a model whose videos are not in red, green and blue."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec
    from zoetrope.fields import Look

ChannelName = Annotated[
    str | None,
    typer.Option(
        "--channel",
        metavar="NAME",
        help="Of models of other channels than RGB, the one that pictures show. [the first]",
    ),
]
Colours = Annotated[
    str | None,
    typer.Option(
        "--colours",
        metavar="MAP",
        help="Its colour map: viridis, inferno, turbo, coolwarm or grey. .npz, .zarr and .nc hold values. [viridis]",
    ),
]
Limits = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--range", metavar="LO HI", help="The values, in units, of the first and the last colour. [as the scale says]"
    ),
]


def look_of(
    spec: "CascadeSpec", channel: str | None, colours: str | None, limits: tuple[float, float] | None
) -> "Look | None":
    """How the videos of a model become pictures; None: they are.

    Raises ValueError, with the nearest name, for an unknown channel or map, and for a model of red, green and blue.
    """
    from zoetrope.channels import are_rgb, place_of
    from zoetrope.fields import Look

    asked = {"--channel": channel, "--colours": colours, "--range": limits}
    if are_rgb(spec.channels):
        if name := next((name for name, value in asked.items() if value is not None), None):
            raise ValueError(f"{name}: expected without, for {spec.name} makes pictures in red, green and blue")
        return None
    try:
        if channel is not None:
            place_of(spec.channels, channel)
        return Look(channel, "viridis" if colours is None else colours, limits)
    except ValueError as error:
        word = str(error)
        option = "--range" if word.startswith("range") else "--colours" if "colour map" in word else "--channel"
        raise ValueError(f"{option}: {word.removeprefix('range: ')}") from None


def expect_pictures(spec: "CascadeSpec") -> None:
    """Raise ValueError for a model whose videos are not in red, green and blue."""
    from zoetrope.channels import are_rgb, listed

    if not are_rgb(spec.channels):
        raise ValueError(
            f"{spec.name}: expected a model of pictures in red, green and blue, got {listed(spec.channels)}"
        )
