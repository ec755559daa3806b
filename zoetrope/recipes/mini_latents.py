"""mini_latents: `mini` with a base of latents, which begins as that of `video_ldm` and trains all weights.

    zoetrope train toybox_codec --out runs/codec
    zoetrope train video_ldm@image --codec runs/codec --out runs/image
    zoetrope train video_ldm --stage base --codec runs/codec --init runs/image --out runs/video
    zoetrope train mini_latents --stage base --codec runs/codec --init runs/video --out runs/base
    zoetrope generate "a red star moving down" --model mini_latents

The base learns known frames as mini's does. The stages after it are mini's.
"""

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.latents import Latents
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.known.learnt import Learnt
from zoetrope.recipes import mini, video_ldm
from zoetrope.text.minilm import MiniLM
from zoetrope.training.spec import Phase, Recipe, TrainSpec

SHORT, CLIPS = 24_000, 72_000


def recipe() -> Recipe:
    """mini's recipe with another base."""
    small, latent = mini.recipe(), video_ldm.recipe().cascade.stages[0]
    base = latent.with_(sampling=latent.sampling.with_(known=Learnt()))
    stages: tuple[StageSpec, ...] = (base, *small.cascade.stages[1:])
    cascade = CascadeSpec(name="mini_latents", text=MiniLM(), stages=stages, default_until="ssr2")
    training = {**small.training, "base": _train_base(small.training["base"])}
    return Recipe(name=cascade.name, cascade=cascade, training=training, distillation=small.distillation)


def _train_base(own: TrainSpec) -> TrainSpec:
    """On mini's known frames. Things that turn are slow to learn: they are shown more often, and in pictures too."""
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
        optimizer="muon",
        clip=10.0,
        warm_up=1_600,
        cool_down=CLIPS // 2,
        half_life=800,
        checkpoint_every=4_000,
        sample_every=8_000,
        log_every=320,
    )
