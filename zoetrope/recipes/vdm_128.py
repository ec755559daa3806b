"""Video Diffusion Models at 128x128: nine frames from text, or from a video of 64x64 too [arXiv:2204.03458].

The paper's model for spatial super-resolution has never seen a low-resolution video in training: it is a model of
text and video alone, and reconstruction guidance makes it agree with the pixels of a smaller video, and with the last
frame of the block before. Its network has 128 channels times 1, 2, 4, 8 and 16, attention at 32x32, 16x16 and 8x8 with
heads of 128 channels, and 800,000 training steps. The rest is as in `zoetrope.recipes.vdm`.

    zoetrope plan vdm_128 --device h100
    zoetrope train vdm_128 --data CLIPS --out runs/vdm_128
    zoetrope train vdm_128@0.125 --data toybox --out runs/small --size 64x64 \\
        --set 'base.training.phases=[{"examples": 200000, "batch": 4, "appended": 4, "peak": 5e-4}]' \\
        --set base.training.warm_up=5000 --set base.training.accumulate=1 --set base.sampling.steps=64
"""

from zoetrope.recipes import vdm
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe

SHAPE = VideoShape(frames=9, height=128, width=128, fps=vdm.SHAPE.fps)


def recipe(width: float = 1.0) -> Recipe:
    """The single stage, its network's widths multiplied by `width` (heads of 128 channels set the step).

    Raises ValueError for a factor that is not above 0 and at most 1.
    """
    return vdm.made("vdm_128", SHAPE, (128, 256, 512, 1024, 2048), head=128, steps=800_000, width=width)
