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
Out = Annotated[str, typer.Option("--out", "-o", metavar="MODEL", help="The folder of the model.")]


def import_(source: Source, out: Out, json: Json = False, quiet: Quiet = False) -> None:
    """Make a model of a pipeline of Stable Diffusion, from text to pictures.

    Reads safetensors alone, and runs no code of the pipeline. An older model in the folder is replaced.
    """
    from zoetrope.interop.pipelines import import_pipeline
    from zoetrope.wording import one_line

    talk = Talk(json, quiet)
    made = import_pipeline(source, out)
    for note in made.notes:
        talk.say(note)
    [stage] = made.spec.stages
    grid = stage.made
    value = {"path": str(made.folder), "notes": list(made.notes), "cascade": made.spec.to_json()}
    line = one_line(f"{made.folder}: text to pictures of {grid.width}x{grid.height}, {stage.sampling.steps} steps")
    talk.result(value, "" if quiet else line)
