"""What the analytic recogniser makes of videos of toybox prompts."""

from collections import Counter

from zoetrope.data.toybox.prompts import SETS, Prompt
from zoetrope.metrics.recogniser import recognise, recognise_pair
from zoetrope.video import Video

ASPECTS: dict[str, tuple[str, ...]] = {name: ("colour", "shape", "motion") for name in SETS} | {
    "letters": ("colour", "motion"),
    "pairs": ("colour", "shape", "motion", "relation"),
}
ORDER = {"right": "left", "below": "above"}  # the same relation, told of the other object
Seen = dict[str, tuple[str | None, ...]]


def judge(name: str, prompts: list[Prompt], videos: list[list[Video]]) -> dict[str, object]:
    """Share of videos in which each aspect is what the prompt says, with the commonest confusions."""
    right: Counter[str] = Counter()
    confused: Counter[str] = Counter()
    total = 0
    for prompt, seeds in zip(prompts, videos, strict=True):
        truth = truth_of(prompt)
        for video in seeds:
            seen = seen_in(prompt, video)
            total += 1
            hits = {aspect: seen[aspect] == truth[aspect] for aspect in ASPECTS[name]}
            right.update(aspect for aspect, hit in hits.items() if hit)
            right["all"] += all(hits.values())
            pairs = (pair for a, hit in hits.items() if not hit for pair in zip(truth[a], seen[a], strict=True))
            confused.update(f"{said} seen as {found}" for said, found in pairs if said != found)
    shares = {aspect: right[aspect] / total for aspect in (*ASPECTS[name], "all")}
    return {"videos": total, **shares, "confusions": confused.most_common(12)}


def truth_of(prompt: Prompt) -> Seen:
    """What should be seen: a value for each object, the left or upper one first, and the relation of the two."""
    told = prompt.script
    things = told.things[::-1] if told.relation in ORDER else told.things
    return {
        "colour": tuple(thing.colour for thing in things),
        "shape": tuple(thing.shape for thing in things),
        "motion": (told.motion,) * len(things),
        "relation": (ORDER.get(told.relation, told.relation),),
    }


def seen_in(prompt: Prompt, video: Video) -> Seen:
    """What the recogniser sees, in the form of `truth_of`."""
    if prompt.script.relation:
        *found, relation = recognise_pair(video.frames, video.fps)
    else:
        found, relation = [recognise(video.frames, video.fps)], ""
    seen: Seen = {aspect: tuple(getattr(one, aspect) for one in found) for aspect in ("colour", "shape", "motion")}
    return seen | {"relation": (relation,)}
