"""Training on single pictures and asking the recogniser: what several studies do."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _judge import Columns, hits, put_together
from _measured import Json, Kept
from _recipes import STILL
from _sampler import Sampler, sampled_with

from zoetrope.data.toybox.captions import image_caption
from zoetrope.data.toybox.prompts import Prompt, combinations, familiar, wordings

PROMPTS = 128
SETS: dict[str, Callable[[int], list[Prompt]]] = {
    "familiar": familiar,
    "combinations": combinations,
    "wordings": wordings,
}
TOLD = {"familiar": "as in training", "combinations": "held-out combinations", "wordings": "held-out words"}


def judged(folders: Sequence[Path], name: str, kept: Kept, sets: Sequence[str]) -> Json:
    """Whether colours and shapes of the pictures of every seed are right, for each set of prompts: tables (S, P)."""
    return {
        key: put_together([kept(f"{name}-{key}-{folder.name}", partial(_judge, folder, key)) for folder in folders])
        for key in sets
    }


def _judge(folder: Path, key: str) -> Columns:
    prompts = SETS[key](PROMPTS)
    told = [image_caption(prompt.script, held_out_words=key == "wordings") for prompt in prompts]
    sampler = Sampler.of_run(folder)
    made = sampler(told, batch=64, stage=sampled_with(sampler.stage, guidance=2.0))
    return hits(made, prompts, STILL.fps)
