"""What the analytic recogniser makes of videos of toybox prompts."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from zoetrope.data.toybox.prompts import SETS, Prompt
from zoetrope.data.toybox.scene import held_out_pairs
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.recogniser import recognise, recognise_pair
from zoetrope.video import Video

ASPECTS: dict[str, tuple[str, ...]] = {name: ("colour", "shape", "motion") for name in SETS} | {
    "letters": ("colour", "motion"),
    "pairs": ("colour", "shape", "motion", "relation"),
}
ORDER = {"right": "left", "below": "above"}  # the same relation, told of the other object
Seen = dict[str, tuple[str | None, ...]]


class Verdict(NamedTuple):
    """One video: the number of its prompt, what should be seen and what is, of each aspect that is judged; the words
    that tell these aspects, where they are ones that training never used, and the pairs of values that it never showed
    together."""

    prompt: int
    truth: Seen
    seen: Seen
    words: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]

    def cluster(self, aspect: str) -> Hashable:
        """What it has in common with others: the word or the pairs that training never had, else the prompt."""
        return self.words.get(aspect) or self.pairs or self.prompt

    @property
    def hits(self) -> dict[str, bool]:
        """Whether each judged aspect is right."""
        return {aspect: self.seen[aspect] == value for aspect, value in self.truth.items()}


def verdicts(name: str, prompts: Sequence[Prompt], videos: Sequence[Sequence[Video]]) -> list[Verdict]:
    """What is seen in each video of each prompt. Of a prompt with unseen words only what these tell is judged."""
    found = []
    for number, (prompt, several) in enumerate(zip(prompts, videos, strict=True)):
        aspects = [aspect for aspect in ASPECTS[name] if not prompt.unseen or aspect in prompt.unseen]
        truth = truth_of(prompt)
        for video in several:
            seen = seen_in(prompt, video)
            told = ({aspect: value[aspect] for aspect in aspects} for value in (truth, seen))
            found.append(Verdict(number, *told, prompt.unseen, held_out_pairs(prompt.script)))
    return found


def judge(name: str, prompts: list[Prompt], videos: list[list[Video]]) -> dict[str, object]:
    """Share of videos in which each aspect is what the prompt says, with the commonest confusions."""
    told = summary(verdicts(name, prompts, videos))
    shares = {aspect: share["right"] / share["samples"] for aspect, share in told["aspects"].items()}
    return {"videos": told["videos"], **shares, "confusions": told["confusions"]}


def summary(found: Sequence[Verdict]) -> dict[str, Any]:
    """Shares with intervals: of each aspect, of all at once, of each class and each unseen word.

    Those of aspects are clustered by what training never had, a word or a combination, so that an interval is that of
    further words or combinations, not of further prompts of these few; others by prompt. Of videos of which different
    aspects are judged there is no share of all at once. Classes and words are told of single objects alone.
    """
    hits: dict[tuple[str, ...], list[tuple[bool, Hashable]]] = defaultdict(list)
    confused: Counter[str] = Counter()
    alike = len({tuple(one.truth) for one in found}) == 1 and not any(one.words for one in found)
    for one in found:
        for aspect, hit in one.hits.items():
            hits["aspects", aspect].append((hit, one.cluster(aspect)))
            if len(one.truth[aspect]) == 1:
                hits["classes", aspect, str(one.truth[aspect][0])].append((hit, one.prompt))
            if aspect in one.words:
                hits["words", aspect, one.words[aspect]].append((hit, one.prompt))
            pairs = zip(one.truth[aspect], one.seen[aspect], strict=True)
            confused.update(f"{said} seen as {seen}" for said, seen in pairs if said != seen)
        if alike:
            hits["aspects", "all"].append((all(one.hits.values()), one.cluster("all")))
    told: dict[str, Any] = {"videos": len(found), "prompts": len({one.prompt for one in found}), "aspects": {}}
    told |= {"classes": {}, "words": {}, "confusions": confused.most_common(12)}
    for (kind, *path), values in sorted(hits.items()):
        share = Proportion.of([hit for hit, _ in values], [cluster for _, cluster in values])
        *above, last = path
        place = told[kind]
        for part in above:
            place = place.setdefault(part, {})
        place[last] = share.to_json()
    return told


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
