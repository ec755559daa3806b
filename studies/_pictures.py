"""Training on single pictures and asking the recogniser: what several studies do."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from _judge import shares
from _recipes import STILL
from _study import Json, Kept, Sampler

from zoetrope.data.toybox.captions import image_caption
from zoetrope.data.toybox.prompts import Prompt, combinations, familiar, wordings

PROMPTS = 128
SETS: dict[str, Callable[[int], list[Prompt]]] = {
    "familiar": familiar,
    "combinations": combinations,
    "wordings": wordings,
}
TOLD = {"familiar": "as in training", "combinations": "held-out combinations", "wordings": "held-out words"}


def judged(folder: Path, name: str, kept: Kept, sets: Sequence[str], weight: float = 2.0) -> Json:
    """Shares of right colours and shapes of a run's pictures, for each set of prompts."""
    return {key: kept(f"{name}-{key}", lambda key=key: _judge(folder, key, weight)) for key in sets}


def _judge(folder: Path, key: str, weight: float) -> Mapping[str, float]:
    from _study import sampled_with

    prompts = SETS[key](PROMPTS)
    told = [image_caption(prompt.script, held_out_words=key == "wordings") for prompt in prompts]
    sampler = Sampler.of_run(folder)
    made = sampler(told, batch=64, stage=sampled_with(sampler.stage, guidance=weight))
    return shares(made, prompts, STILL.fps)
