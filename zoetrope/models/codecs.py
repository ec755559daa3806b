"""Finding a codec by name: its own folder, or that of a model or a run which has one."""

import os
from pathlib import Path

from zoetrope.codecs import DESCRIPTION, FOLDER, identity, load_codec
from zoetrope.config.errors import expect_path
from zoetrope.models.finding import shipped
from zoetrope.models.runs import RECIPE


def find_codec(name: str | Path) -> Path:
    """The folder of a codec: itself, or in a folder of a model of latents, or of a run that trained a codec or on one.

    A name of a shipped model works too. Stages of one folder may each keep it. Raises ValueError, with the reason, if
    there is none, and if several differ.
    """
    expect_path("codec", name, "a folder or a shipped name")
    path = Path(os.path.expanduser(name))
    known = [path, path / FOLDER, *(inner / FOLDER for inner in sorted(path.glob("*/")))]
    if (model := shipped().get(str(name).replace("-", "_"))) is not None and not path.exists():
        known = [model / FOLDER]
    found = [folder for folder in known if (folder / DESCRIPTION).is_file()]
    several = found[0] not in known[:2] if found else False
    own = identity(load_codec(found[0])) if several else ""
    if (other := next((one for one in found[1:] if several and identity(load_codec(one)) != own), None)) is not None:
        raise ValueError(f"{name}: expected the folder of one codec, got several, {found[0]} and {other}; name one")
    if found:
        return found[0]
    why = f"no {DESCRIPTION} in it or in its {FOLDER}/" if path.exists() else "nothing of this name"
    run = (path / RECIPE).exists() or any(path.glob(f"*/{RECIPE}"))
    unfinished = "; the training of a codec writes it at its end" if run else ""
    raise ValueError(f"{name}: expected a codec, or a model or run with one, got {why}{unfinished}")
