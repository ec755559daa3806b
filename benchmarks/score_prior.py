"""How often embeddings that a prior makes of unseen captions find the right picture of 64.

    python benchmarks/score_prior.py runs/mini_prior --count 512

Captions and pictures are of a toybox world of another seed.
"""

import argparse

import torch

from zoetrope.data.toybox import Toybox
from zoetrope.metrics.retrieval import retrieved, vectors_of
from zoetrope.models.cascade import Cascade
from zoetrope.pictures import embed
from zoetrope.recipes.mini_prior import PICTURE
from zoetrope.recipes.mini_prior import recipe as mini_prior

SEED = 1


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--stage", default="prior")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--guidance", type=float)
    asked = parser.parse_args()
    data = Toybox(seed=SEED, pictures=True).open()
    examples = [data.example(number, PICTURE) for number in range(asked.count)]
    encoder = mini_prior().training["prior"].data.encoder  # type: ignore[attr-defined]
    pictures = embed(encoder, torch.stack([example.video[:, 0] for example in examples]))
    cascade = Cascade.from_pretrained(asked.model).tuned(guidance=asked.guidance)
    made = vectors_of(cascade, asked.stage, [example.text for example in examples])
    print(f"{retrieved(made, pictures):.1%} of {asked.count} captions find their picture among 64")


if __name__ == "__main__":
    main()
