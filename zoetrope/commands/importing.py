"""`zoetrope import`: other people's pipelines as models."""

from typing import Annotated

import typer

from zoetrope.commands._options import Json, Quiet
from zoetrope.commands._talk import Talk

Source = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE",
        help="A folder of diffusers with model_index.json, or its id on the Hugging Face hub, which is downloaded.",
    ),
]
ControlNets = Annotated[
    list[str] | None,
    typer.Option(
        "--controlnet",
        metavar="NAME=FOLDER",
        help="A ControlNet for it, a folder or an id on the hub; NAME is that of generate --control. Repeatable.",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", metavar="MODEL", help="The folder of the model.")]


def import_(source: Source, out: Out, controlnet: ControlNets = None, json: Json = False, quiet: Quiet = False) -> None:
    """Make a model of a pipeline of Stable (Video) Diffusion.

    Reads safetensors alone, and runs no code of the pipeline. An older model in the folder is replaced; a folder
    that also holds something else is refused.
    """
    from zoetrope.interop.pipelines import import_pipeline
    from zoetrope.wording import one_line

    talk = Talk(json, quiet)
    made = import_pipeline(source, out, controlnets=_named(controlnet or []))
    for note in made.notes:
        talk.say(note)
    [stage] = made.spec.stages
    grid = stage.made
    value = {"path": str(made.folder), "notes": list(made.notes), "cascade": made.spec.to_json()}
    size = f"{grid.width}x{grid.height}, {stage.sampling.steps} steps"
    what = "text to pictures of" if made.spec.text else f"a picture to a video of {grid.frames} frames of"
    line = one_line(f"{made.folder}: {what} {size}")
    talk.result(value, "" if quiet else line)


def _named(values: list[str]) -> dict[str, str]:
    """The folder or id of each name. Raises ValueError for a value without a name, and for a name given twice."""
    found = dict[str, str]()
    for value in values:
        name, sign, source = value.partition("=")
        if not sign or not name.isidentifier() or not name.islower() or not source:
            raise ValueError(
                f"--controlnet {value}: expected NAME=FOLDER, such as edges=lllyasviel/sd-controlnet-canny"
            )
        if name in found:
            raise ValueError(f"--controlnet {value}: expected another name, {name} is there already")
        found[name] = source
    return found
