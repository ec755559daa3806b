"""`zoetrope train` on films made by the test: what a run leaves, exact resume after a kill, and generating with it."""

import json
import math
import signal
import time
from pathlib import Path

import pytest

from .conftest import start
from zoetrope.video import probe, read

WEIGHTS = ("model.safetensors", "average.safetensors", "optimizer.safetensors")
SHORT = ["--set", "base.training.phases=[{\"examples\": 12, \"batch\": 4}]", "--set", "base.training.log_every=4"]


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
