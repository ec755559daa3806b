"""ControlNet: a trained model whose videos follow edges [Zhang et al. 2023, arXiv:2302.05543].

From the paper: copies of the descending half and the middle of a trained, frozen network; maps that begin at zero
before and after each copy; the same error as in the training of that network; text dropped from half of the examples,
so that a copy learns to see in the edges what they show; a rate of 1e-5 for networks of the paper's size.

Our choices: edges by Sobel's operator at the stage's own size, instead of Canny's at 512x512; a moving average of the
weights of the copies, as of all of our networks; batches and lengths.

    zoetrope plan controlnet --device h100
    zoetrope train controlnet --init runs/imagen --data PICTURES --out runs/control

controlnet is for the base of imagen, controlnet@mini_image for that of mini_image, and controlnet@mini for the shipped
model, whose clips follow a clip of edges. Only the base is controlled: what enlarges its videos follows them.

    zoetrope train controlnet@mini_image --init mini_image --out runs/control
    zoetrope generate "a red star" --model runs/control/base --model mini_image --control edges.png

Other models, and other controls, by a recipe of your own:

    from zoetrope.recipes.controlnet import controlled
    from zoetrope.recipes.lumiere import recipe as lumiere

    def recipe():
        return controlled(lumiere("mini"), "base", (Edges(dropout=0.3), Luma(dropout=0.3)))
"""

from collections.abc import Sequence
from typing import Any

from zoetrope.config import unknown
from zoetrope.inputs import Input
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.text import Text
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.recipes import imagen, mini, mini_image
from zoetrope.training.spec import Phase, Recipe

SIZES = ("mini", "mini_image")
LEARN = ("controls.*",)
"""The only weights that learn."""
TEXT_DROPOUT = 0.5
BATCH = 256


def recipe(size: str | None = None) -> Recipe:
    """The controlled base of imagen, or of a model that a CPU trains: "mini_image" or "mini".

    Raises ValueError, with the nearest name, for another size.
    """
    if size not in (None, *SIZES):
        raise ValueError(unknown("size", str(size), SIZES))
    if size == "mini_image":
        made = controlled(mini_image.recipe(), "base", (Edges(),), **_briefly(64_000, 32, 2e-3))
    elif size == "mini":
        made = controlled(mini.recipe(), "base", (Edges(),), **_briefly(8_000, 4, 1.2e-3), known=None)
    else:
        phases = (Phase(examples=BATCH * 50_000, batch=BATCH, peak=1e-5),)
        more: dict[str, Any] = {"warm_up": BATCH * 1000, "half_life": BATCH * 2000, "accumulate": 16}
        made = controlled(imagen.recipe(), "base", (Edges(),), phases=phases, **more)
    return made.with_(name="controlnet" if size is None else f"controlnet-{size}")


def controlled(recipe: Recipe, stage: str, controls: Sequence[Input], **fields: Any) -> Recipe:
    """A recipe whose stage of that name begins as trained, see `--init`, and alone learns to follow these controls.

    `fields` are those of its `zoetrope.training.spec.TrainSpec` that differ. Several controls are learnt together: with
    a dropout of their own, each is also learnt alone. Raises ValueError for a stage that has no U-Net, or that is
    distilled, and for inputs that are no controls.
    """
    own, spec = recipe.cascade.stage(stage), recipe.train_spec(stage)
    if not isinstance(own.network, VideoUNetConfig) or own.distilled is not None:
        raise ValueError(f"{stage}: expected a video_unet that is not distilled, got {own.network.kind()!r}")
    if wrong := [each.name for each in controls if not each.aligned]:
        raise ValueError(f"controls: expected inputs such as edges, got {wrong[0]!r}")
    network = ControlledConfig(network=own.network, controls=tuple(Control(name=each.name) for each in controls))
    inputs = (*own.inputs, *controls)
    made = own.with_(network=network, inputs=inputs).with_input(Text(dropout=TEXT_DROPOUT))
    stages = tuple(made if each.name == stage else each for each in recipe.cascade.stages)
    training = spec.with_(**{"init_missing": "fresh", "learn": LEARN, "freeze": (), **fields})
    return recipe.with_(
        cascade=recipe.cascade.with_(stages=stages, name=f"{recipe.cascade.name}-controlled"),
        training={stage: training},
        distillation={},
    )


def _briefly(examples: int, batch: int, peak: float) -> dict[str, Any]:
    """The training of copies of a small network, at the rate that it learnt with itself."""
    return {
        "phases": (Phase(examples=examples, batch=batch, peak=peak),),
        "warm_up": examples // 20,
        "cool_down": examples // 2,
        "half_life": examples // 40,
        "checkpoint_every": examples // 8,
        "sample_every": examples // 4,
        "log_every": batch * 10,
    }
