"""mini_latents: `mini` with a base of latents, which begins as an image model and learns known frames at any distance.

    zoetrope train toybox_codec --out runs/codec
    zoetrope train video_ldm@image --codec runs/codec --out runs/image
    zoetrope train mini_latents --stage base --codec runs/codec --init runs/image --out runs/base
    zoetrope generate "a red star moving down" --model mini --model runs/base

All weights learn. The network is that of `video_ldm` without convolution over time, which takes the frames that it is
given for neighbours, however far apart they are. The stages after the base are mini's.
"""

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.latents import Latents
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.known.learnt import Learnt
from zoetrope.recipes import mini, video_ldm
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SHORT, CLIPS = 72_000, 104_000


def recipe() -> Recipe:
    """mini's recipe with another base."""
    small = mini.recipe()
    stages: tuple[StageSpec, ...] = (_base(), *small.cascade.stages[1:])
    cascade = CascadeSpec(name="mini_latents", text=MiniLM(), stages=stages, default_until="ssr2")
    training = {**small.training, "base": _train_base(small.training["base"])}
    return Recipe(name=cascade.name, cascade=cascade, training=training, distillation=small.distillation)


def _base() -> StageSpec:
    latent, image = video_ldm.recipe().cascade.stages[0], video_ldm.IMAGE
    levels = tuple(level.with_(temporal=("attention",), join="mix") for level in image.levels)
    network = image.with_(levels=levels, fps=video_ldm.BASE.fps)
    return latent.with_(network=network, sampling=latent.sampling.with_(known=Learnt()))


def _train_base(own: TrainSpec) -> TrainSpec:
    """On mini's known frames. What turns is slow to learn: it is shown more often, also in pictures."""
    videos = Mixture(
        parts=(
            Part(source=Toybox(), weight=3),
            Part(source=Toybox(motions=("spin", "orbit", "bounce")), weight=2, only="clips"),
            Part(source=Toybox(long=True), weight=2),
            Part(source=Toybox(tilted=True), weight=3, only="pictures"),
        )
    )
    return TrainSpec(
        data=Latents(source=videos, codec="codec"),
        weight="v",
        balance=True,
        known=own.known,
        phases=(
            Phase(examples=SHORT, batch=16, frames=4, images=0.2, peak=1e-3),
            Phase(examples=CLIPS, batch=8, images=0.2, peak=1e-3),
        ),
        init_missing="fresh",
        optimizer="muon",
        clip=10.0,
        warm_up=1_600,
        cool_down=CLIPS // 2,
        half_life=800,
        checkpoint_every=4_000,
        sample_every=8_000,
        log_every=320,
    )
