"""Make-A-Video: an image model that learns motion from clips without captions [Singer et al. 2022, arXiv:2209.14792].

From the paper: 16 frames of 64x64, enlarged to 256x256 in space and time and to 768x768 frame by frame, with the same
noise in all frames; pseudo-3D convolutions, whose temporal part starts as the identity, and temporal attention from
zero; all weights are fine-tuned; captions only with pictures, clips without; clips at random rates from 1 to 30 frames
per second, high ones first; interpolation by masked frames, where a skip of 5 makes 76 frames of 16.

Our choices, where the paper is silent: widths and depths in space, those of unCLIP's decoder and upsamplers
[arXiv:2204.06125, App. C]; in the stage for 256x256, temporal convolutions as residual branches of blocks, which run
on part of a video at a time; the decoder reads tokens of CLIP's text encoder, and attention knows from the times of
frames how far they are apart; known frames by their noise level instead of a channel that marks them; rates, batches,
the share of pictures and the rates of frames; steps and guidance.

    zoetrope plan make_a_video --device h100
    zoetrope train make_a_video --stage base --init IMAGE_MODEL --out runs/mav/base

make_a_video@mini begins as mini_image and learns on toybox: 16 frames of 24x40, enlarged to 48x80. A prior imagines the
embedding of a picture from the text, and `--picture` gives that of another one. The base is told captions with pictures
alone; with a picture its own embedding, with a clip that of one of its frames, for all of them; and the rate. So text
and an embedding are learnt together from pictures, and motion with an embedding from clips.

    zoetrope train make_a_video@mini --init mini_image --out runs/mav
    zoetrope generate "a red star" --model runs/mav
    zoetrope generate "a red star" --model runs/mav --fps 15 --seconds 5.0666667 --scheme interpolation
"""

from typing import Any

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.data import Source
from zoetrope.data.folder import Folder
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.picture import PictureGuidance
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.known.learnt import Learnt
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.recipes._mini_image import BASE, SSR, inflated
from zoetrope.recipes._prior import prior_stage, prior_training
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.text.clip import CLIPText
from zoetrope.text.minilm import MiniLM
from zoetrope.training.known.every import EveryNth
from zoetrope.training.known.mixture import KnownMixture, KnownPart
from zoetrope.training.known.none import NoKnown
from zoetrope.training.spec import Phase, Recipe, TrainSpec

DECODED = VideoShape(frames=16, height=64, width=64, fps=6)  # a skip of 5 makes 30 frames per second of them
LARGER = VideoShape(frames=16, height=256, width=256, fps=6)
LARGEST = VideoShape(frames=16, height=768, width=768, fps=6)
SMALL = VideoShape(frames=16, height=24, width=40, fps=3)
SMALL_LARGER = VideoShape(frames=16, height=48, width=80, fps=3)
CONVOLUTION: dict[str, Any] = {"temporal": ("convolution",)}
PSEUDO_3D: dict[str, Any] = {"temporal": ("pseudo_3d",)}
BOTH: dict[str, Any] = {"temporal": ("pseudo_3d", "attention")}
BATCH = 512


def recipe(size: str | None = None) -> Recipe:
    """Make-A-Video at the paper's size, or "mini", which a CPU trains.

    Raises ValueError, with the nearest name, for another size.
    """
    if size not in (None, "mini"):
        raise ValueError(unknown("size", str(size), ["mini"]))
    return _mini() if size else _published()


def _published() -> Recipe:
    stages = (_decoder(), _space_time(), _frames_alone())
    data = unpaired(Folder(path="pictures"), Folder(path="clips", captions=False))
    return Recipe(
        name="make_a_video",
        cascade=CascadeSpec(name="make_a_video", text=CLIPText(), stages=stages),
        training={
            "base": _train_decoder(data),
            "sr_l": _train(data, span=8, phases=(Phase(examples=100_000 * BATCH, batch=BATCH, peak=1e-4),)),
            "sr_h": _train(data, span=1, crop=(384, 384), phases=(Phase(examples=10**8, batch=BATCH, peak=1e-4),)),
        },
    )


def unpaired(pictures: Source, clips: Source) -> Mixture:
    """Pictures with their captions and clips without: no text is ever seen with its video."""
    parts = (Part(source=pictures, only="pictures"), Part(source=clips, only="clips", captions=False))
    return Mixture(parts=parts)


def known_frames() -> KnownMixture:
    """Most clips whole, some to interpolate, at any skip."""
    return KnownMixture(
        parts=(KnownPart(known=NoKnown(), weight=3), KnownPart(known=EveryNth(skips=(2, 3, 4, 5)), weight=1))
    )


def _decoder() -> StageSpec:
    levels = tuple(
        Level(width=512 * factor, blocks=3, spatial_attention=attends, text_attention=attends, **BOTH)
        for factor, attends in ((1, False), (2, True), (3, True), (4, True))
    )
    network = VideoUNetConfig(
        text_width=CLIPText().width, embedding=2048, head=64, fps=DECODED.fps, levels=levels, checkpointing=True
    )
    sampling = SamplingSpec(sampler=DDIM(), steps=100, guidance=TextGuidance(weight=6.0), known=Learnt())
    return StageSpec(name="base", shape=DECODED, network=network, sampling=sampling)


def _space_time() -> StageSpec:
    levels = tuple(Level(width=320 * factor, blocks=3, temporal=("convolution",)) for factor in (1, 2, 3, 4))
    network = VideoUNetConfig(
        low_res=True, text_width=CLIPText().width, embedding=1280, head=64, levels=levels, checkpointing=True
    )
    return StageSpec(
        name="sr_l",
        shape=LARGER,
        inputs=usual_inputs(DECODED),
        network=network,
        sampling=SamplingSpec(sampler=DDIM(), steps=27, guidance=TextGuidance(weight=0.0)),
    )


def _frames_alone() -> StageSpec:
    levels = tuple(Level(width=192 * factor, blocks=2) for factor in (1, 1, 2, 2, 4, 4))
    network = VideoUNetConfig(
        low_res=True, text_width=CLIPText().width, embedding=768, head=64, levels=levels, checkpointing=True
    )
    sampling = SamplingSpec(sampler=DDIM(), steps=15, guidance=TextGuidance(weight=0.0), shared_noise=True)
    return StageSpec(name="sr_h", shape=LARGEST, inputs=usual_inputs(LARGER), network=network, sampling=sampling)


def _train_decoder(data: Source) -> TrainSpec:
    steps = 100_000 * BATCH
    return _train(
        data,
        known=known_frames(),
        phases=tuple(
            Phase(examples=steps // 4, batch=BATCH, images=0.2, rates=rates, peak=1e-4)
            for rates in ((30, 24, 16), (16, 12, 8), (8, 6, 4), (6, 4, 2, 1))
        ),
    )


def _train(data: Source, **fields: Any) -> TrainSpec:
    return TrainSpec(
        data=data,
        weight="eps",
        init_missing="fresh",
        warm_up=BATCH * 2000,
        half_life=BATCH * 6_900,
        accumulate=64,
        checkpoint_every=BATCH * 1000,
        sample_every=BATCH * 5000,
        log_every=BATCH * 10,
        **fields,
    )


def _mini() -> Recipe:
    text, encoder = MiniLM(), SmallPictures()
    base = StageSpec(
        name="base",
        shape=SMALL,
        # As in mini: what moves where is decided at much lower logsnr in redundant videos than in pictures.
        schedule=Cosine(shift=-4.5),
        inputs=(Text(), Picture(encoder=encoder, of="prior"), FrameRate()),
        network=inflated(BASE, (PSEUDO_3D, BOTH), fps=SMALL.fps, picture_width=encoder.width, rate=True),
        sampling=SamplingSpec(sampler=DDIM(), steps=32, guidance=PictureGuidance(weight=2.0), known=Learnt()),
    )
    ssr = StageSpec(
        name="ssr",
        shape=SMALL_LARGER,
        inputs=usual_inputs(SMALL, augment=0.2),
        network=inflated(SSR, (CONVOLUTION, CONVOLUTION, CONVOLUTION)),
        sampling=SamplingSpec(sampler=DDIM(), steps=2),
    )
    return Recipe(
        name="make_a_video-mini",
        cascade=CascadeSpec(name="make_a_video-mini", text=text, stages=(prior_stage(encoder, text.width), base, ssr)),
        training={
            # An image model has no such stage to begin with.
            "prior": prior_training(Toybox(pictures=True), encoder).with_(init_missing="fresh"),
            "base": _train_mini(),
            "ssr": _train_mini_ssr(),
        },
    )


def _mini_data() -> Mixture:
    return unpaired(Toybox(pictures=True), Toybox(seed=1))


def _train_mini() -> TrainSpec:
    return TrainSpec(
        data=_mini_data(),
        weight="v",
        balance=True,
        known=known_frames(),
        phases=(
            # Motion at high rates, where little changes; then courses of whole clips, first in four frames of them.
            Phase(examples=9_600, batch=16, frames=4, images=0.3, rates=(15, 7.5), peak=1e-3),
            Phase(examples=28_800, batch=16, frames=4, images=0.3, rates=(6, 3), peak=1e-3),
            Phase(examples=25_600, batch=4, images=0.2, rates=(15, 3), peak=1e-3),
        ),
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        warm_up=800,
        cool_down=16_000,
        half_life=400,
        checkpoint_every=3200,
        sample_every=12_800,
        log_every=320,
    )


def _train_mini_ssr() -> TrainSpec:
    return TrainSpec(
        data=_mini_data(),
        weight="v",
        balance=True,
        phases=(Phase(examples=6_000, batch=4, images=0.25, peak=7e-4),),
        span=8,
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        warm_up=400,
        cool_down=3_000,
        half_life=400,
        checkpoint_every=2000,
        sample_every=0,
        log_every=200,
    )
