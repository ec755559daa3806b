"""A training on an array of 20 GB takes hardly more memory than one on a small array."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TRAIN = """
import json, sys
import torch
from zoetrope.__main__ import main
from zoetrope.training.meters import peak_memory

def peak(data, out):
    words = ["train", "recipe.json", "--out", out, "--data", json.dumps(json.loads(sys.argv[1]) | {"path": data})]
    assert main([*words, "--device", "cpu", "--quiet"]) == 0
    return peak_memory(torch.device("cpu")) // 1024

print(json.dumps([peak("small.npy", "small"), peak("large.npy", "large")]))
"""
SHAPE = {"frames": 4, "height": 64, "width": 64, "fps": 1}


def sparse(path: Path, frames: int) -> None:
    """An array (frames, 64, 64) of zeros that takes no room on the disk; the test is skipped where it would."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (frames, 64, 64)}
        )  # fmt: skip
        file.truncate(file.tell() + frames * 64 * 64 * 4)
    if path.stat().st_blocks * 512 > 10**8:
        pytest.skip("this file system has no sparse files")


def test_twenty_gigabytes_train_in_little_memory(tmp_path: Path) -> None:
    frames = 20 * 10**9 // (64 * 64 * 4)
    sparse(tmp_path / "small.npy", 40)
    sparse(tmp_path / "large.npy", frames)
    channel = {"name": "u", "scale": {"type": "deviation", "deviation": 2}}
    data = {"type": "arrays", "path": "small.npy", "variables": {"u": channel}, "rate": 1}
    network = {"type": "video_unet", "channels": 1, "text_width": None, "embedding": 8, "head": 8, "patch": 8}
    stage = {
        "name": "base", "shape": SHAPE, "inputs": [], "sampling": {"steps": 2, "threshold": None},
        "network": network | {"levels": [{"width": 8, "temporal": ["convolution"]}]},
    }  # fmt: skip
    training = {
        "data": data, "phases": [{"examples": 120, "batch": 4}], "warm_up": 0, "precision": "fp32",
        "checkpoint_every": 60, "sample_every": 0, "log_every": 60,
    }  # fmt: skip
    cascade = {"name": "long", "channels": [channel], "text": None, "stages": [stage]}
    recipe = {"name": "long", "cascade": cascade, "training": {"base": training}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(data)], cwd=tmp_path, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert after - before < 60_000  # kilobytes; the clips that were read are 8 MB
    stored = json.loads((tmp_path / "large/base/recipe.json").read_text())["training"]["base"]["data"]
    assert stored["path"] == str(tmp_path / "large.npy")
