"""Whether toybox videos show what their prompts say: colour, shape, motion and relation, by the recogniser."""

from collections import Counter
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from zoetrope.data.toybox.scene import Script
from zoetrope.data.toybox.vocabulary import FLAT_SHAPES
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.intervals import Proportion
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.recogniser import recognise, recognise_pair
from zoetrope.video import Video

ASPECTS = ("colour", "shape", "motion", "relation")
_MIRRORED = {"right": "left", "below": "above"}


class Attributes(Measure):
    """The share of videos, in percent, in which everything that the prompt says is recognised.

    Only prompts of one or two flat shapes in the flat style count; the recogniser is not reliable for letters, solids
    and drawn styles. What it cannot recognise counts as wrong, so `reference`, its share of the real videos, is what a
    perfect model would get. Motion is seen in whole clips alone: frames that were given count, and a note tells so.
    """

    title: ClassVar[str] = "Toybox attributes"
    better: ClassVar[Better] = "higher"
    needs = frozenset({"prompts", "scripts"})
    compares = True

    def expect(self, material: Material) -> None:
        """See `Measure`; a prompt that can be judged has to be among them."""
        super().expect(material)
        if not any(judged(script) for script in material.scripts):
            raise ValueError(f"{self.name}: expected a prompt of flat shapes, got none among {len(material.scripts)}")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        made = _score(material.made.strided(material.stride), material.scripts)
        numbers = [number for number, script in enumerate(material.scripts) if judged(script)]
        groups = material.clusters
        share = Proportion.of(made.whole, None if groups is None else [groups[number] for number in numbers])
        details: dict[str, Any] = {"judged": len(made.whole), "of": len(material.scripts), **made.shares()}
        details["classes"] = made.by_class()
        reference = None
        if (clips := material.own_real) is not None:
            real = _score(clips.strided(material.stride), material.scripts[:: material.members])
            reference = 100 * fmean(real.whole)
            details |= {f"real_{aspect}": share for aspect, share in real.shares().items()}
            details["real_classes"] = real.by_class()
        details["confusions"] = dict(made.confused.most_common(8))
        left_out = len(material.scripts) - len(made.whole)
        notes = (f"{left_out} of {len(material.scripts)} prompts, of other things, are not judged",) if left_out else ()
        return self.result(
            material,
            None,
            100 * share.value,
            unit="%",
            interval=(100 * share.low, 100 * share.high),
            samples=share.samples,
            reference=reference,
            details=details,
            notes=notes,
        )


def judged(script: Script) -> bool:
    """Whether the recogniser knows what such a prompt tells."""
    return script.style == "flat" and all(thing.shape in FLAT_SHAPES for thing in script.things)


class _Score(NamedTuple):
    """Of every judged video whether all is right; right and asked by aspect and value; and what is confused."""

    whole: list[bool]
    right: Counter[tuple[str, str]]
    asked: Counter[tuple[str, str]]
    confused: Counter[str]

    def shares(self) -> dict[str, float]:
        """Videos that are right in each aspect, in percent."""
        right, asked = (Counter[str](), Counter[str]())
        for total, counts in ((right, self.right), (asked, self.asked)):
            for (aspect, _), count in counts.items():
                total[aspect] += count
        return {aspect: 100 * right[aspect] / asked[aspect] for aspect in ASPECTS if asked[aspect]}

    def by_class(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of each aspect and value how many videos show it, and of how many: of two things both have to be right."""
        told: dict[str, dict[str, dict[str, int]]] = {}
        for key, asked in sorted(self.asked.items()):
            told.setdefault(key[0], {})[key[1]] = {"right": self.right[key], "videos": asked}
        return told


def _score(clips: Clips, scripts: tuple[Script, ...]) -> _Score:
    score = _Score([], Counter(), Counter(), Counter())
    for number, script in enumerate(scripts):
        if not judged(script):
            continue
        truth = _truth(script)
        seen = _seen(script, Video.from_tensor(clips.read(number), clips.shape.fps))
        named = {aspect: (aspect, " and ".join(map(str, dict.fromkeys(truth[aspect])))) for aspect in truth}
        score.asked.update(named.values())
        score.right.update(named[aspect] for aspect in truth if truth[aspect] == seen[aspect])
        for aspect in truth:
            pairs = zip(truth[aspect], seen[aspect], strict=True)
            score.confused.update(f"{said} seen as {found or 'nothing'}" for said, found in pairs if said != found)
        score.whole.append(truth == seen)
    return score


def _truth(script: Script) -> dict[str, tuple[str | None, ...]]:
    """What should be seen of each thing, the left or upper one first."""
    things = script.things[::-1] if script.relation in _MIRRORED else script.things
    told: dict[str, tuple[str | None, ...]] = {
        "colour": tuple(thing.colour for thing in things),
        "shape": tuple(thing.shape for thing in things),
        "motion": (script.motion,) * len(things),
    }
    return told | ({"relation": (_MIRRORED.get(script.relation, script.relation),)} if script.relation else {})


def _seen(script: Script, video: Video) -> dict[str, tuple[str | None, ...]]:
    """What is seen, in the form of `_truth`."""
    if script.relation:
        *found, relation = recognise_pair(video.frames, video.fps)
    else:
        found, relation = [recognise(video.frames, video.fps)], None
    seen = {aspect: tuple(getattr(one, aspect) for one in found) for aspect in ("colour", "shape", "motion")}
    return seen | ({"relation": (relation,)} if script.relation else {})
