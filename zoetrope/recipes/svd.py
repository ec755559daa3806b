"""svd: Stable Video Diffusion on toybox's latents, with narrow networks [Blattmann et al. 2023, arXiv:2311.15127].

Three phases, each of which begins as the one before it and trains all weights:

    zoetrope train toybox_codec --out runs/codec
    zoetrope train svd@image --codec runs/codec --out runs/image
    zoetrope train svd@video --codec runs/codec --init runs/image --out runs/pretrained
    zoetrope train svd --codec runs/codec --init runs/pretrained --out runs/svd
    zoetrope generate --picture star.png --model runs/svd

`svd@image` makes pictures of text, `svd@video` short and then whole videos of text, and `svd` videos that begin with a
picture. The published model was fine-tuned on a million chosen clips of high quality; of your own data, choose them by
`zoetrope data curate`, and give them by `--data`.

From the paper: EDM's preconditioning, which is prediction of v on the schedule `karras`, its log-normal noise levels
and its error; the picture's latents with a little noise beside those of each frame, and its embedding; frame rate,
motion strength and the noise of the picture as numbers; guidance that rises over frames, 25 steps of Euler's method,
which in our variables is DDIM.

Our choices: some guidance in the first frame too, which keeps more of the picture; the networks of `video_ldm`, whose
image model also fits (`--init`); noise levels of pictures as of videos so small; motion as the mean change of pixels
instead of optical flow; the embedding is added to that of the noise level and text stays, so that a prompt may say what
the picture does not: it is unknown in half of the last phase's examples.
"""

from typing import Any

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.guidance import Guidance
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs import Input
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.motion_strength import NAME as MOTION
from zoetrope.inputs.motion_strength import MotionStrength
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.networks import NetworkConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.recipes.toybox_codec import CODEC
from zoetrope.recipes.video_ldm import BASE, IMAGE, inflated
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.karras import Karras
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.training.times.log_normal import LogNormal

SIZES = ("image", "video")
SCHEDULE = Karras(sigma_min=0.002, sigma_max=700.0, reaches_least=True)
ENCODER = SmallPictures()
VIDEO = inflated().with_(rate=True, numbers=(MOTION,))
FROM_PICTURE = VIDEO.with_(picture_width=ENCODER.width, first_frame=True)
RATES = (6.0, 3.0)
PICTURES, CLIPS, CHOSEN = 216_000, 40_000, 24_000


def recipe(size: str | None = None) -> Recipe:
    """The model of videos that begin with a picture; "image" and "video" are the phases before it.

    Raises ValueError, with the nearest name, for another.
    """
    if size is None:
        return _from_picture()
    if size not in SIZES:
        raise ValueError(unknown("size", size, SIZES))
    return _image() if size == "image" else _video()


def _image() -> Recipe:
    train = _train(
        Toybox(pictures=True),
        times=LogNormal(mean=0.0, std=1.4),
        phases=(Phase(examples=PICTURES, batch=64, peak=2e-3),),
        warm_up=3_200,
        cool_down=PICTURES // 4,
        half_life=4_000,
        every=16_000,
    )
    return _of("svd-image", IMAGE, (Text(),), TextGuidance(weight=2.0), train, frames=1)


def _video() -> Recipe:
    train = _train(
        Toybox(),
        times=LogNormal(mean=1.0, std=1.6),
        phases=(
            Phase(examples=CLIPS // 2, batch=16, frames=4, images=0.1, rates=RATES, peak=1e-3),
            Phase(examples=CLIPS // 2, batch=8, images=0.1, rates=RATES, peak=7e-4),
        ),
        warm_up=1_600,
        cool_down=CLIPS // 4,
        half_life=800,
        every=4_000,
    )
    inputs = (Text(), FrameRate(), MotionStrength())
    return _of("svd-video", VIDEO, inputs, TextGuidance(weight=2.0), train)


def _from_picture() -> Recipe:
    train = _train(
        Toybox(),
        times=LogNormal(mean=1.0, std=1.6),
        phases=(Phase(examples=CHOSEN, batch=8, rates=RATES, peak=7e-4),),
        warm_up=800,
        cool_down=CHOSEN // 2,
        half_life=800,
        every=4_000,
    )
    # Guidance leads away from no text, no embedding and no first frame, which examples must show together.
    inputs = (
        Text(dropout=0.5),
        Picture(encoder=ENCODER, dropout=0.3),
        FirstFrame(dropout=0.3),
        FrameRate(),
        MotionStrength(),
    )
    return _of("svd", FROM_PICTURE, inputs, OverFrames(first=1.0, last=1.5), train)


def _of(
    name: str,
    network: NetworkConfig,
    inputs: tuple[Input, ...],
    guidance: Guidance,
    train: TrainSpec,
    frames: int = BASE.frames,
) -> Recipe:
    stage = StageSpec(
        name="base",
        shape=CODEC.latents(BASE.with_(frames=frames)),
        schedule=SCHEDULE,
        prediction="v",
        inputs=inputs,
        network=network,
        codec=CODEC,
        sampling=SamplingSpec(sampler=DDIM(), steps=25, guidance=guidance, threshold=None),
    )
    cascade = CascadeSpec(name=name, text=MiniLM(), stages=(stage,))
    return Recipe(name=name, cascade=cascade, training={"base": train})


def _train(source: Toybox, *, every: int, **fields: Any) -> TrainSpec:
    return TrainSpec(
        data=Latents(source=source, codec="codec"),
        weight="v",
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        checkpoint_every=every,
        sample_every=2 * every,
        log_every=320,
        **fields,
    )
