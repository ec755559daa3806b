"""toybox_codec: a small KL autoencoder of toybox, for stages of latents [Rombach et al. 2022, arXiv:2112.10752].

    zoetrope train toybox_codec --out runs/codec
    zoetrope train toybox_codec@video --init runs/codec --out runs/video_codec
    zoetrope train video_ldm@image --codec runs/video_codec --out runs/image

Latents have 4 channels on a grid of a quarter of the height and width. At the end of its training the run's folder
holds `codec/`, which `--codec` names.

toybox_codec@video begins as the image codec and tunes its decoder on clips, with new layers along time and a critic
that sees neighbouring frames; the encoder is frozen [Blattmann et al. 2023, arXiv:2304.08818, Sec. 3.1.1].
"""

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.config import unknown
from zoetrope.data.toybox import Toybox
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.shapes import VideoShape
from zoetrope.training.objectives.reconstruct import Reconstruct
from zoetrope.training.spec import Phase, Recipe, TrainSpec

PICTURE = VideoShape(frames=1, height=24, width=40, fps=3)
CLIP = PICTURE.with_(frames=8)
CODEC = Autoencoder(f=4, channels=4, width=32, blocks=2)
CRITIC = PatchCriticConfig(width=24)
PICTURES, BEFORE_CRITIC, CLIPS = 400_000, 250_000, 12_000


def recipe(size: str | None = None) -> Recipe:
    """The codec of pictures, or "video", the one with a decoder of videos.

    Raises ValueError, with the nearest name, for another.
    """
    if size not in (None, "video"):
        raise ValueError(unknown("size", str(size), ["video"]))
    video = size == "video"
    name, shape = ("toybox_codec-video", CLIP) if video else ("toybox_codec", PICTURE)
    stage = StageSpec(
        name="autoencoder",
        shape=shape,
        inputs=(),
        network=ReconstructionConfig(codec=CODEC.with_(temporal=video)),
        sampling=SamplingSpec(steps=1),
    )
    training = _of_clips() if video else _of_pictures()
    return Recipe(name=name, cascade=CascadeSpec(name=name, stages=(stage,)), training={"autoencoder": training})


def _of_pictures() -> TrainSpec:
    return TrainSpec(
        data=Toybox(pictures=True),
        phases=(Phase(examples=PICTURES, batch=16, peak=1e-3),),
        objective=Reconstruct(critic=CRITIC, strength=0.1, warm_up=BEFORE_CRITIC),
        warm_up=5_000,
        cool_down=PICTURES // 2,
        half_life=10_000,
        checkpoint_every=25_000,
        sample_every=0,
        log_every=2_000,
    )


def _of_clips() -> TrainSpec:
    """The decoder alone; its critic sees clips."""
    return TrainSpec(
        data=Toybox(),
        phases=(Phase(examples=CLIPS, batch=4, peak=3e-4),),
        objective=Reconstruct(critic=CRITIC.with_(temporal=True), strength=0.1, warm_up=CLIPS // 4),
        init_missing="fresh",
        freeze=("coder.encoder*",),
        warm_up=400,
        cool_down=CLIPS // 2,
        half_life=1_000,
        checkpoint_every=2_000,
        sample_every=0,
        log_every=200,
    )
