"""The command line, one verb per file: each reads its options, calls the library, and prints."""

import typer

from zoetrope import __version__
from zoetrope.commands._provenance import recorded
from zoetrope.commands._verb import Verb
from zoetrope.commands.data import data
from zoetrope.commands.distill import distill
from zoetrope.commands.doctor import doctor
from zoetrope.commands.edit import edit
from zoetrope.commands.evaluate import evaluate
from zoetrope.commands.extend import extend
from zoetrope.commands.generate import generate
from zoetrope.commands.importing import import_
from zoetrope.commands.plan import plan
from zoetrope.commands.serve import serve
from zoetrope.commands.show import show
from zoetrope.commands.status import status
from zoetrope.commands.train import train
from zoetrope.commands.upscale import upscale


def application() -> typer.Typer:
    """The typer application of all verbs."""
    app = typer.Typer(name="zoetrope", rich_markup_mode=None, invoke_without_command=True)
    app.callback()(_root)
    for verb in (recorded(generate), recorded(extend), recorded(upscale), recorded(edit)):
        app.command(cls=Verb)(verb)
    for verb in (train, status, distill, evaluate, plan, show, serve, doctor):
        app.command(cls=Verb)(verb)
    app.command("import", cls=Verb)(import_)
    app.add_typer(data, name="data")
    return app


def _root(context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Text to video with cascaded diffusion models, after Imagen Video."""
    if version:
        typer.echo(f"zoetrope {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
