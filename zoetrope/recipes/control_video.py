"""ControlVideo: a controlled model of pictures that makes videos, without seeing any [Zhang et al. 2023].

arXiv:2305.13077. The base of mini_image follows edges, as by recipe controlnet@mini_image, one picture at a time.
Routine `hierarchical` makes videos of it: all frames look at each other, key frames are made before the clips between
them, and two steps smooth every second frame. The recipe is that model with the routine as its own, and one noise for
all frames.

    zoetrope train control_video --init mini_image --out runs/control_video
    zoetrope generate "a red star" --model runs/control_video/base --model mini_image --frames 16 --fps 3 \\
        --control edges.mp4 --set ssr.sampling.shared_noise=true

What trained as controlnet@mini_image makes the same videos where it is told the routine, as any ControlNet of pictures:

    zoetrope generate "a red star" --model runs/control/base --model mini_image --frames 16 --fps 3 \\
        --control edges.mp4 --routine hierarchical --set base.sampling.shared_noise=true

From the paper: full cross-frame attention in the network and in the copies that read the control, key frames, one
noise, and the smoother in the 20th and 19th step before the last of 50, at the times 0.4 and 0.38. Our choices: the
mean of two neighbours instead of RIFE [arXiv:2011.06294]; at most 8 frames at once.
"""

from zoetrope.cascade.framewise import with_routine
from zoetrope.recipes import controlnet
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.training.spec import Recipe

MOST = 8
ROUTINE = Hierarchical(most=MOST)


def recipe() -> Recipe:
    """The controlled base of mini_image with the routine, and its training on pictures."""
    made = controlnet.recipe("mini_image")
    cascade = with_routine(made.cascade, ROUTINE)
    base = cascade.stage("base")
    own = base.with_(sampling=base.sampling.with_(shared_noise=True))
    stages = tuple(own if stage.name == "base" else stage for stage in cascade.stages)
    return made.with_(name="control_video", cascade=cascade.with_(name="control_video", stages=stages))
