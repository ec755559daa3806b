"""Sizes that a description claims are limited before anything is built of them, for every kind in every folder."""

import time
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from zoetrope.cascade.spec import MOST_PIXELS, CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.config import Config, Kind
from zoetrope.guidance import Guidance
from zoetrope.inputs import Input
from zoetrope.networks import NetworkConfig
from zoetrope.networks.video_unet import LARGEST, Level, VideoUNetConfig
from zoetrope.recipes import imagen_video, mini
from zoetrope.routines import Routine
from zoetrope.samplers import Sampler
from zoetrope.schedules import Schedule
from zoetrope.shapes import VideoShape
from zoetrope.text import TextEncoder

PLAIN: list[type[Config]] = [VideoShape, Level, SamplingSpec, Distilled, StageSpec, CascadeSpec]
FOLDERS: list[type[Kind]] = [Input, NetworkConfig, Schedule, Guidance, Routine, Sampler, TextEncoder]
KINDS = [*PLAIN, *(kind for folder in FOLDERS for kind in folder.every())]


def bounds(metadata: Any) -> set[str]:
    ends = {"gt": "low", "ge": "low", "lt": "high", "le": "high", "max_length": "length"}
    found: set[str] = set()
    for one in metadata:
        if isinstance(one, FieldInfo):
            found |= bounds(one.metadata)
        found |= {end for name, end in ends.items() if hasattr(one, name)}
    return found


def unbounded(annotation: Any, known: set[str], path: str) -> Iterator[str]:
    """The numbers without two ends and the lists without a longest in an annotation."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from unbounded(inner[0], known | bounds(inner[1:]), path)
    elif origin in (Union, UnionType):
        for branch in inner:
            yield from unbounded(branch, known, path)
    elif origin is tuple:
        if Ellipsis in inner and "length" not in known:
            yield f"{path}: a list without a longest"
        for item in inner:
            yield from unbounded(item, set(), f"{path}[]")
    elif annotation in (int, float) and not {"low", "high"} <= known:
        yield f"{path}: a number without two ends"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_number_and_list_has_ends(kind: type[Config]) -> None:
    fields = kind.model_fields.items()
    assert [told for name, f in fields for told in unbounded(f.annotation, bounds(f.metadata), name)] == []


def test_the_test_itself_finds_what_has_no_end() -> None:
    class Loose(BaseModel):
        many: tuple[int, ...]
        half: Annotated[float, "said"] | None = None

    many, half = (field.annotation for field in Loose.model_fields.values())
    assert [*unbounded(many, set(), "m")] == ["m: a list without a longest", "m[]: a number without two ends"]
    assert [*unbounded(half, set(), "h")] == ["h: a number without two ends"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("network.levels.0.blocks", 10**9, "blocks: expected at least 1 and at most 256, got 1000000000"),
        ("network.levels.0.width", 10**12, "width: expected at least 1 and at most 524288, got 1000000000000"),
        ("network.levels.0.width", 2**18, f"levels: expected a sum of blocks x width^2 of at most {LARGEST:,}, got "),
        ("network.levels", [{"width": 64}] * 10_000, "levels: expected at most 12 items"),
        ("network.embedding", 10**12, "embedding: expected at least 1 and at most 524288"),
        ("network.patch", 10**9, "patch: expected at least 1 and at most 256"),
        ("network.channels", 1, "stages.base.network.channels: expected 3, for videos are RGB pictures, got 1"),
        ("sampling.steps", 10**9, "steps: expected at least 1 and at most 100000"),
        ("sampling.guidance", 1e308, "guidance: weight: expected at least 0 and at most 10000"),
        ("sampling.low_res_logsnr", 1e9, "logsnr: expected at least -60 and at most 60"),
        ("schedule.shift", 1e300, "shift: expected at least -60 and at most 60"),
        ("shape.frames", 10**9, "frames: expected at least 1 and at most 10000000"),
        ("shape.frames", 10**10_000, "frames: expected"),
        ("shape", {"frames": 10**7, "height": 24_000, "width": 40_000, "fps": 3}, f"at most {MOST_PIXELS:,} pixels"),
        ("name", "x" * 10_000, "name: expected at most 64 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_bombs_are_told_what_is_legal_at_once(path: str, value: Any, told: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError) as caught:
        mini.recipe().override(f"{'ssr1' if 'low_res' in path else 'base'}.{path}", value)
    message = str(caught.value)
    assert told in message and "\n" not in message and len(message) < 400
    assert time.process_time() - start < 2


def test_the_paper_is_far_from_the_limits() -> None:
    for stage in imagen_video.recipe().cascade.stages:
        network = stage.network
        assert isinstance(network, VideoUNetConfig)
        assert 100 * sum(level.blocks * level.width**2 for level in network.levels) < LARGEST
        wider = [level.with_(width=10 * level.width).to_json() for level in network.levels]
        assert network.model_validate({**network.to_json(), "levels": wider})
