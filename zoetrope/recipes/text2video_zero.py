"""Text2Video-Zero: a model of pictures that makes videos without having seen any [Khachatryan et al. 2023].

arXiv:2303.13439. A model of pictures is all that it takes; routine `zero_shot` makes a video of it:

    zoetrope generate "a red star" --model mini_image --frames 8 --fps 4 --routine zero_shot \\
        --set base.sampling.routine.motion=[0,2] --set base.sampling.routine.moved_at=0.4 \\
        --set base.sampling.routine.noised_to=0.44

This recipe is mini_image with that routine as its own: 8 frames of 24x40, enlarged one by one to 48x80 with the same
noise in all of them. It is trained on single pictures, and its weights are those of mini_image.

    zoetrope train text2video_zero --out runs/text2video_zero
    zoetrope generate "a red star" --model runs/text2video_zero

From the paper: z of the first frame moved evenly, noise of its own for each other frame, cross-frame attention to the
first, DDIM. Our choices: the times, for the paper's belong to pictures of 512x512, in which what is where is decided in
more noise, and motion to the right alone.
"""

from zoetrope.cascade.framewise import with_routine
from zoetrope.cascade.grid import on_grid
from zoetrope.recipes import mini_image
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.training.spec import Phase, Recipe, TrainSpec

FRAMES, FPS = 8, 4
ROUTINE = ZeroShot(motion=(0.0, 2.0), moved_at=0.4, noised_to=0.44)


def recipe() -> Recipe:
    """The two stages of mini_image on videos, and their training on pictures."""
    pictures = mini_image.recipe()
    cascade = on_grid(with_routine(pictures.cascade, ROUTINE), frames=FRAMES, fps=FPS)
    return Recipe(
        name="text2video_zero",
        cascade=cascade.with_(name="text2video_zero"),
        training={"base": _one_by_one(pictures.training["base"]), "ssr": _packed(pictures.training["ssr"])},
    )


def _one_by_one(train: TrainSpec) -> TrainSpec:
    """The same pictures as clips of a single frame."""
    return train.with_(phases=tuple(phase.with_(frames=1) for phase in train.phases))


def _packed(train: TrainSpec) -> TrainSpec:
    """As many pictures, independent of each other, in packs: a stage with a source takes clips of its own length."""

    def packs(phase: Phase) -> Phase:
        return phase.with_(examples=phase.examples // FRAMES, batch=phase.batch // FRAMES, images=1.0)

    counted = ("warm_up", "cool_down", "half_life", "checkpoint_every", "log_every")
    fewer = {name: getattr(train, name) // FRAMES for name in counted}
    return train.with_(phases=tuple(map(packs, train.phases)), **fewer)
