"""A pipeline that several tests import or compare with."""

from pathlib import Path
from typing import Any

import pytest

from tests.interop.pipelines import controlnet, pipeline


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a text-to-image pipeline."""
    made = tmp_path_factory.mktemp("hub") / "pipeline"
    pipeline(made)
    return made


@pytest.fixture(scope="session")
def theirs(folder: Path) -> Any:
    """That pipeline, as diffusers opens it."""
    from diffusers import StableDiffusionPipeline

    made = StableDiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="session")
def controlled(theirs: Any) -> Any:
    """The same with two ControlNets."""
    from diffusers import StableDiffusionControlNetPipeline

    made = StableDiffusionControlNetPipeline(
        **{**theirs.components, "controlnet": [controlnet(1), controlnet(2)]}, requires_safety_checker=False
    )
    made.set_progress_bar_config(disable=True)
    return made
