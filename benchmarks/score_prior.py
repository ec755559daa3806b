"""How often embeddings that a prior makes of unseen captions find the right picture of 64.

    python benchmarks/score_prior.py runs/mini_prior --count 512

Captions and pictures are of a toybox world of another seed; captions that training has are left out, and so are
repeated ones. Chance is 1 of 64. The interval is Wilson's.
"""

import argparse
from collections.abc import Iterator
from itertools import count, islice

import torch
from _options import least

from zoetrope.data import Example
from zoetrope.data.toybox import Toybox
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.retrieval import retrieved, vectors_of
from zoetrope.models.cascade import Cascade
from zoetrope.pictures import embed
from zoetrope.recipes.mini_prior import PICTURE
from zoetrope.recipes.mini_prior import recipe as mini_prior


def main() -> None:
    """Print the share."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--stage", default="prior")
    parser.add_argument("--count", type=least(64), default=512)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--seed", type=int, default=1, help="of the world that captions and pictures are of")
    asked = parser.parse_args()
    examples = list(islice(unseen(asked.seed), asked.count))
    encoder = mini_prior().training["prior"].data.encoder  # type: ignore[attr-defined]
    pictures = embed(encoder, torch.stack([example.video[:, 0] for example in examples]))
    cascade = Cascade.from_pretrained(asked.model).tuned(guidance=asked.guidance)
    made = vectors_of(cascade, asked.stage, [example.text for example in examples])
    share = Proportion.of(retrieved(made, pictures))
    told = f"{share.right} of {share.samples} captions find their picture among 64: {share.value:.1%}"
    print(f"{told} ({share.low:.1%} to {share.high:.1%})")


def unseen(seed: int) -> Iterator[Example]:
    """Pictures of a world whose captions training does not have, each once."""
    known, world = set(Toybox(pictures=True).open().captions()), Toybox(seed=seed, pictures=True).open()
    for number in count():
        example = world.example(number, PICTURE)
        if example.text not in known:
            known.add(example.text)
            yield example


if __name__ == "__main__":
    main()
