"""The recogniser on true clips of the grids that recipe `dit` is trained on and asked for, framed whole."""

import pytest

from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.prompts import familiar
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.metrics.recogniser import recognise
from zoetrope.shapes import VideoShape


@pytest.mark.parametrize("frames", [8, 16])
@pytest.mark.parametrize("size", [(24, 40), (40, 24), (32, 32)])
def test_true_clips_are_recognised_on_every_grid(size: tuple[int, int], frames: int) -> None:
    shape = VideoShape(frames=frames, height=size[0], width=size[1], fps=3)
    wrong = []
    for number, prompt in enumerate(familiar(64)):
        seen = recognise(render(scene(prompt.script, number), shape, framing=Framing.whole(shape)), shape.fps)
        thing = prompt.script.things[0]
        if (seen.colour, seen.shape, seen.motion) != (thing.colour, thing.shape, prompt.script.motion):
            wrong.append((prompt.text, seen))
    assert len(wrong) <= 1, wrong  # 97 %
