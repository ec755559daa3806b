"""tune_a_video: an image model learns the motion of one clip, and makes it again with other things in it.

    zoetrope edit clip.mp4 "a blue heart moving right" --caption "a red star moving right" --model mini_image

Tune-A-Video [Wu et al. 2022, arXiv:2212.11565]. The image network becomes a video network: spatial attention takes keys
and values from the first and the previous frame, and levels with attention gain attention over time, which begins as
nothing. Of all weights only the queries of attention and the attention over time learn, from one clip and its caption.
Then DDIM inverts the clip, without text, to the noise that an edit begins with.

From the paper: what is added, what learns, batches of one, errors of eps, and inversion as the start. Its learning rate
of 3e-5 and 500 steps are those of Stable Diffusion; ours are of the small networks here [choice]. A video model stays
as it is, and its attention learns in the same way.
"""

from typing import Any

from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data import Source
from zoetrope.data.clip import OneClip
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.text import TEXT, Text
from zoetrope.models.editing import editable
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes import mini_image
from zoetrope.training.spec import Phase, Recipe, TrainSpec

EXAMPLES = 500
PEAK = 1e-3
DROPOUT = 0.3  # of the caption: what no text tells should be the clip too, or guidance adds things


def recipe() -> Recipe:
    """mini_image, tuned to clip.mp4: 16 frames, 3 a second. `zoetrope edit` puts in another clip and its caption."""
    return tuning(mini_image.recipe().cascade, OneClip(path="clip.mp4", text="what the clip shows"), frames=16)


def tuning(cascade: CascadeSpec, data: Source, *, frames: int, fps: float | None = None) -> Recipe:
    """The training of a cascade's first stage on one clip of so many frames, at its own frame rate or another one.

    Stages after it stay as they are, on the grid that follows from the first.
    Raises ValueError for a first stage that makes no videos from noise, is distilled, reads no text, or has no
    attention that learns, and for less than two frames.
    """
    if frames < 2:
        raise ValueError(f"frames: expected two or more, whose motion is learnt, got {frames}")
    if cascade.text is None or TEXT not in cascade.stages[0].network.reads:
        raise ValueError(
            f"{cascade.name}: expected a model whose first stage reads text, which says what an edit shows, got one "
            "without"
        )
    spec = on_grid(cascade.with_(teachers=()), frames=frames, fps=fps)
    first = _looking(editable(spec.stages[0]))
    spec = spec.with_(stages=(first, *spec.stages[1:]))
    train = TrainSpec(
        data=data,
        weight="eps",
        phases=(Phase(examples=EXAMPLES, batch=1, peak=PEAK),),
        learn=_learning(first),
        init_missing="fresh",
        warm_up=20,
        cool_down=EXAMPLES // 2,
        half_life=20,
        checkpoint_every=EXAMPLES,
        sample_every=0,
        log_every=20,
    )
    return Recipe(name=f"{cascade.name}-tuned", cascade=spec, training={first.name: train})


def _looking(stage: StageSpec) -> StageSpec:
    """The stage with an image network made one of videos; a video network stays what it is."""
    network = stage.network
    if not isinstance(network, VideoUNetConfig) or not any(level.spatial_attention for level in network.levels):
        raise ValueError(f"stage {stage.name!r}: expected a video_unet with spatial attention, got {network.kind()}")
    if any(level.temporal for level in network.levels):
        return stage
    levels = tuple(level.with_(**_changes(level)) for level in network.levels)
    inputs = tuple(each.with_(dropout=DROPOUT) if isinstance(each, Text) else each for each in stage.inputs)
    sampling = stage.sampling.with_(guidance=TextGuidance(weight=1.0))
    network = network.with_(levels=levels, fps=stage.shape.fps)
    return stage.with_(network=network, inputs=inputs, sampling=sampling)


def _learning(stage: StageSpec) -> tuple[str, ...]:
    """Patterns over the names of what learns: the queries of attention, and attention over time."""
    levels = getattr(stage.network, "levels", ())
    asks = {
        "*spatial_attention.query*": any(level.spatial_attention for level in levels),
        "*text_attention.query*": any(level.text_attention for level in levels),
        "*temporal_attention*": any("attention" in level.temporal for level in levels),
    }
    return tuple(pattern for pattern, there in asks.items() if there)


def _changes(level: Level) -> dict[str, Any]:
    attends = level.spatial_attention or level.text_attention
    looks = "first_and_previous" if level.spatial_attention else level.looks
    return {"looks": looks, "temporal": ("attention",) if attends else ()}
