"""What the shipped model makes of prompts that training never saw, judged by the analytic recogniser.

    python benchmarks/score_mini.py --model mini --out runs/scores --until ssr2

Prompts that combine what training never combines, and prompts in words that training never used, of which only what
these words tell is judged; then, reported as they are, familiar prompts, letters, 3-D objects, two objects and
styles. Of letters the shape is not judged. Of two objects both have to be right, each in its place: the left or upper
one of the video is compared with that of the prompt, and the relation is right if they stand side by side, or one
above the other, as the prompt says.

Every video has noise of its own: noise k of prompt n is that of seed k and sample n. Videos of different prompts are
then independent, those of one prompt are not, and those of one unseen word or combination have in common what is asked
here: intervals are clustered by word or combination, else by prompt (`zoetrope.metrics.intervals`), and say where the
share of endlessly many further ones lies. An aim counts as reached if all of its interval does.

Every video is judged after every stage: what super-resolution adds must not cost what the base has got right. Videos
larger or longer than 32 x 192 x 320 are judged and kept with frames skipped and reduced to that size.

Prints a row of a table for each set and stage, and writes table.md (with each class and each unseen word), scores.json
and contact sheets; sets and stages that scores.json has of the same weights stay in it. Videos are kept under a name
made of the weights, the settings and the prompts, and not made again, so an interrupted measurement goes on where it
stopped, those of the first stage as they were passed on: where only later stages have changed, it goes on from there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from _judging import summary, verdicts
from _making import key, videos_of
from _options import positive
from _scores import table, write_scores, write_whole

from zoetrope.data.toybox.prompts import SETS
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.video import contact_sheet, save_image

NUMBERS = {"combinations": 128, "wordings": 192, "familiar": 128, "hues": 32, "pairs": 32,
           "letters": 32, "solids": 32, "styles": 32}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", help="last stage to run; the default is the whole cascade")
    parser.add_argument("--sets", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--noises", type=positive, default=4, help="videos of each prompt")
    parser.add_argument("--limit", type=positive, help="prompts of each set, for a quick look")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = open_model([options.model])
    cascade = Cascade.of(model, device=device, dtype=compute_dtype(device))
    stages = model.spec.until(options.until)
    judged = {stage.name: key(model, cascade, stage.name) for stage in stages}
    options.out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, dict[str, dict[str, object]]] = {}
    for name in options.sets:
        prompts = SETS[name](min(NUMBERS[name], options.limit or NUMBERS[name]))
        names = {stage: f"{name}-{own}" for stage, own in judged.items()}
        videos = videos_of(cascade, [prompt.text for prompt in prompts], options, names)
        scores[name] = {stage: summary(verdicts(name, prompts, made)) for stage, made in videos.items()}
        print(table({name: scores[name]}), flush=True)
        last = videos[stages[-1].name]
        save_image(options.out / f"{name}.png", contact_sheet([one[0] for one in last[:12]], 1))
    every = write_scores(options.out, model, cascade.dtype, scores)
    write_whole(options.out / "table.md", table(every) + "\n")


if __name__ == "__main__":
    main()
