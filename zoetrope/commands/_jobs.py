"""The videos that `zoetrope generate` is asked for."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer

from zoetrope.commands._options import MOST_MADE, at_least, prompts_in
from zoetrope.commands._sampling import expect_text

Text = Annotated[
    list[str] | None, typer.Argument(metavar="PROMPT...", help="What the videos show.", show_default=False)
]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What guidance leads away from.")]
Count = Annotated[int, typer.Option(help="Videos of each prompt.")]
Samples = Annotated[
    list[int] | None,
    typer.Option("--sample", metavar="N", help="Only this one of the videos that --count makes, from 0. Repeatable."),
]
Members = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="An ensemble of so many videos, apart in chance alone: one file with an axis of members of .npz, .zarr or "
        ".nc, and else a file for each. They are the first of --count.",
    ),
]
Prompts = Annotated[
    str | None, typer.Option("--prompts", metavar="FILE", help="More prompts, one a line; # begins a comment.")
]


class Job(NamedTuple):
    """One video to make: a prompt, its sample number, and the negative prompt."""

    prompt: str | None
    sample: int
    negative: str | None


def jobs_of(
    prompts: Sequence[str] | None, file: str | None, negative: str | None, which: tuple[int, list[int] | None]
) -> list[Job]:
    """The videos of these prompts, and of those in a file: `which` are how many of each, or which ones of them.

    Raises ValueError for a blank prompt, or a number out of range.
    """
    texts = [*(prompts or []), *(prompts_in(file) if file else [])]
    numbers = _numbers(*which)
    for text in texts:
        expect_text("prompt", text)
    if negative is not None:
        expect_text("--negative", negative)
    return [Job(text, number, negative) for text in (texts or (None,)) for number in numbers]


def jobs_asked(
    prompts: Sequence[str] | None,
    file: str | None,
    negative: str | None,
    which: tuple[int, list[int] | None],
    members: int | None,
) -> list[Job]:
    """The videos that are asked for, see `jobs_of`; of an ensemble all members of one prompt.

    Raises ValueError for an ensemble beside --count, --sample or several prompts.
    """
    if members is None:
        return jobs_of(prompts, file, negative, which)
    at_least("--members", members, 1, MOST_MADE)
    if which[0] != 1 or which[1]:
        name = "--count" if which[0] != 1 else "--sample"
        raise ValueError(f"{name}: expected without --members, which are so many videos of one prompt")
    jobs = jobs_of(prompts, file, negative, (members, None))
    if len(jobs) != members:
        raise ValueError(f"--members: expected one prompt, whose ensemble they are, got {len(jobs) // members}")
    return jobs


def _numbers(count: int, samples: list[int] | None) -> Sequence[int]:
    """The sample numbers of each prompt's videos."""
    at_least("--count", count, 1, MOST_MADE)
    if not samples:
        return range(count)
    if count != 1:
        raise ValueError("--sample: expected without --count, of whose videos it makes one")
    for number in samples:
        at_least("--sample", number, 0)
    return list(dict.fromkeys(samples))
