"""What the shipped model makes of prompts that training never saw, judged by the analytic recogniser.

    python benchmarks/score_mini.py --model mini --out runs/scores

128 held-out combinations and 64 held-out wordings, four seeds each, at the model's default settings; then letters, 3-D
objects, two objects and styles, which are reported as they are. Writes scores.json, a table and contact sheets.
Videos that are already there are not made again, so an interrupted measurement goes on where it stopped.
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from zoetrope.data.toybox.prompts import SETS, Prompt
from zoetrope.metrics.recogniser import recognise
from zoetrope.models.cascade import Cascade
from zoetrope.training.precision import compute_dtype
from zoetrope.video import Video, contact_sheet, save_image

NUMBERS = {"combinations": 128, "wordings": 64, "familiar": 64, "pairs": 32, "letters": 32, "solids": 32, "styles": 32}
ASPECTS = {name: ("colour", "shape", "motion") for name in NUMBERS} | {"letters": ("colour", "motion")}
BATCH = 8


def main() -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", help="last stage to run; the default is the whole cascade")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--limit", type=int, help="prompts of each set, for a quick look")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cascade = Cascade.from_pretrained(options.model, device=device, dtype=compute_dtype(device))
    options.out.mkdir(parents=True, exist_ok=True)
    scores = {}
    for name in options.sets:
        prompts = SETS[name](min(NUMBERS[name], options.limit or NUMBERS[name]))
        videos = _videos(cascade, prompts, options, name)
        scores[name] = _judge(name, prompts, videos)
        print(_row(name, scores[name]), flush=True)
        save_image(options.out / f"{name}.png", contact_sheet([videos[i][0] for i in range(min(12, len(videos)))], 1))
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1))


def _videos(cascade: Cascade, prompts: list[Prompt], options: argparse.Namespace, name: str) -> list[list[Video]]:
    """options.seeds videos of each prompt."""
    todo = [(i, seed) for i in range(len(prompts)) for seed in range(options.seeds)]
    made: dict[tuple[int, int], Video] = {}
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        kept = options.out / f"{name}-{options.seeds}-{start:04d}.npz"
        if kept.exists():
            stored = np.load(kept)
            videos = [Video(frames, float(stored["fps"])) for frames in stored["frames"]]
        else:
            texts, seeds = [prompts[i].text for i, _ in part], [seed for _, seed in part]
            for progress in cascade.stream(texts, samples=seeds, until=options.until):
                last = progress
            videos = last.videos()
            np.savez_compressed(kept, frames=np.stack([v.frames for v in videos]), fps=videos[0].fps)
        made.update(zip(part, videos, strict=True))
    return [[made[i, seed] for seed in range(options.seeds)] for i in range(len(prompts))]


def _judge(name: str, prompts: list[Prompt], videos: list[list[Video]]) -> dict[str, object]:
    """Share of videos in which each aspect is what the prompt says, with the commonest confusions."""
    right: Counter[str] = Counter()
    confused: Counter[str] = Counter()
    total = 0
    for prompt, seeds in zip(prompts, videos, strict=True):
        told = prompt.script
        truth = {"colour": told.things[0].colour, "shape": told.things[0].shape, "motion": told.motion}
        for video in seeds:
            seen = recognise(video.frames, video.fps)
            total += 1
            hits = {aspect: getattr(seen, aspect) == truth[aspect] for aspect in ASPECTS[name]}
            right.update(aspect for aspect, hit in hits.items() if hit)
            right["all"] += all(hits.values())
            confused.update(f"{truth[a]} seen as {getattr(seen, a)}" for a, hit in hits.items() if not hit)
    shares = {aspect: right[aspect] / total for aspect in (*ASPECTS[name], "all")}
    return {"videos": total, **shares, "confusions": confused.most_common(12)}


def _row(name: str, score: dict[str, object]) -> str:
    cells = [f"{score[a]:.1%}" if a in score else "-" for a in ("colour", "shape", "motion", "all")]
    error = 1.96 * math.sqrt(0.25 / int(str(score["videos"])))
    return f"| {name} | {score['videos']} | " + " | ".join(cells) + f" | (within {error:.1%})"


if __name__ == "__main__":
    main()
