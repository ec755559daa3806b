"""What the small recipes of fields share: a network and a training that two cores finish in less than an hour."""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.channels import Channel, are_bounded
from zoetrope.data.arrays import Arrays
from zoetrope.guidance import Guidance
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs import Input
from zoetrope.known.learnt import Learnt
from zoetrope.networks import SizedInput
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers.heun import Heun
from zoetrope.shapes import VideoShape
from zoetrope.training.known import KnownFrames
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.known.prefix import Prefix
from zoetrope.training.spec import Phase, Recipe, TrainSpec

BATCH = 8


def fields_recipe(
    name: str,
    shape: VideoShape,
    data: Arrays,
    examples: int,
    inputs: tuple[Input, ...] = (),
    guidance: float = 0.0,
    known: KnownFrames | None = None,
) -> Recipe:
    """A single stage that makes clips of a source's channels, from noise alone or from their first frames.

    `inputs` are numbers, labels and actions that the data tell; `guidance` is the weight over them in sampling. `known`
    are the frames that are known in training, instead of the first ones, up to two thirds of the clip.
    """
    usual = (KnownPart(known=Prefix(most=2 * shape.frames // 3), weight=3), KnownPart(known=NoKnown()))
    channels = data.channels
    own: Guidance = InputGuidance(weight=guidance) if inputs else TextGuidance()
    stage = StageSpec(
        name="base",
        shape=shape,
        inputs=inputs,
        network=_network(channels, inputs, shape.fps),
        sampling=SamplingSpec(
            sampler=Heun(),
            steps=16,
            guidance=own,
            known=Learnt(),
            threshold="static" if are_bounded(channels) else None,
        ),
    )
    cascade = CascadeSpec(name=name, channels=channels, text=None, stages=(stage,))
    return Recipe(
        name=name, cascade=cascade, training={"base": _training(data, examples, known or KnownMixture(parts=usual))}
    )


def _network(channels: tuple[Channel, ...], inputs: tuple[Input, ...], fps: float) -> VideoUNetConfig:
    """Patches of 2 x 2 pixels; attention over whole frames, for what leaves on one side and enters on another."""
    fine = Level(width=64, spatial_attention=True, temporal=("attention",))
    return VideoUNetConfig(
        channels=len(channels),
        text_width=None,
        numbers=tuple(each.name for each in inputs if "number" in each.tells.values()),
        labels=_sized(inputs, "label"),
        actions=_sized(inputs, "action"),
        patch=2,
        embedding=128,
        positions=True,
        fps=fps,
        levels=(fine, fine.with_(width=128, blocks=2)),
    )


def _sized(inputs: tuple[Input, ...], kind: str) -> tuple[SizedInput, ...]:
    return tuple(
        SizedInput(name=each.name, size=each.size)
        for each in inputs
        if kind in each.tells.values() and each.size is not None
    )


def _training(data: Arrays, examples: int, known: KnownFrames) -> TrainSpec:
    return TrainSpec(
        data=data,
        weight="v",
        known=known,
        phases=(Phase(examples=examples, batch=BATCH, peak=2e-3),),
        optimizer="muon",
        clip=10.0,
        warm_up=min(1000, examples // 10),
        cool_down=examples // 2,
        half_life=400,
        checkpoint_every=2000,
        sample_every=examples // 4,
        log_every=80,
    )
