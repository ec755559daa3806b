import hashlib, random, sys, os
from pathlib import Path
import numpy as np, torch, pytest
from zoetrope.video import *
from zoetrope.models.opening import open_model

def test_flake(model, cli, tmp_path):
    seen, frames, junk = {}, {}, []
    for k in range(int(os.environ.get("N", 60))):
        junk = [np.zeros(random.randrange(1, 200000), np.uint8) for _ in range(random.randrange(0, 60))]
        tj = [torch.zeros(random.randrange(1, 50000)) for _ in range(random.randrange(0, 60))]
        assert cli("generate", "a red star", "--model", model, "--seed", "7", "--negative", "a ball", "--sample", "1", "-o", f"{k}.mp4", "--save-stages", f"st{k}").code == 0
        h = hashlib.md5(Path(f"{k}.mp4").read_bytes()).hexdigest()
        seen[h] = seen.get(h, 0) + 1
    print(seen)
    assert len(seen) == 1, seen
