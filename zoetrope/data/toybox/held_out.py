"""Toybox clips that training never saw, on any grid: the ground truth for super-resolution."""

import torch

from zoetrope.data import Example
from zoetrope.data.toybox.captions import caption
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import Script, scene, script
from zoetrope.shapes import VideoShape

SEED = 8_000_000  # their scripts and scenes are numbered from here


def held_out_script(number: int) -> Script:
    """Every second one, from 0, combines values that training never shows together; all are scripts of their own."""
    return script(SEED + number, held_out=number % 2 == 0)


def held_out(number: int, shape: VideoShape) -> Example:
    """Clip `number` on the grid `shape`, with its caption. The same clip on every grid."""
    told = held_out_script(number)
    frames = render(scene(told, SEED + number), shape)
    video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1
    return Example(video, caption(told), f"held-out clip {number} of toybox")
