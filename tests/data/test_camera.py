"""Clips seen by a camera that moves: pans shift and zooms scale what they show, by as much as was asked."""

from typing import Any

import pytest
import torch

from zoetrope.data import Dataset, Example, Source
from zoetrope.data.camera import Camera, CameraDataset
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.shapes import VideoShape, Window

SHAPE = VideoShape(frames=5, height=8, width=16, fps=2)


class Ramps(Dataset):
    """Still pictures whose channels are the place of each pixel, from -1 to 1: along the width, along the height, 0."""

    def example(self, index: int, shape: VideoShape) -> Example:
        y, x = ((torch.arange(size) + 0.5) / size * 2 - 1 for size in (shape.height, shape.width))
        grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None], torch.zeros(())))
        return Example(grid[:, None].repeat(1, shape.frames, 1, 1), "ramps", "ramps", told={"speed": 1.0})

    def captions(self) -> list[str]:
        return ["ramps"]


def seen(move: Any, amount: float = 0.5, shape: VideoShape = SHAPE) -> Example:
    """What a camera sees of ramps."""
    return CameraDataset(Camera(source=Toybox(), move=move, amount=amount), Ramps()).example(0, shape)


@pytest.mark.parametrize(("move", "channel", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_a_pan_shifts_evenly_by_the_amount(move: str, channel: int, sign: int) -> None:
    """The window is 2 / 3 of the larger frame, of which 1 / 3 is left to move in: half of the window's own size."""
    clip = seen(move)
    assert clip.video.shape == (3, *SHAPE.sizes) and clip.text == "ramps" and clip.told == {"speed": 1.0}
    middles = clip.video.mean((2, 3))
    wanted = sign * torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]) / 3
    torch.testing.assert_close(middles[channel], wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(middles[1 - channel], torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(clip.video[0, :, 0, -1] - clip.video[0, :, 0, 0], torch.full((5,), 2 / 3 * 2 * 15 / 16))


def test_a_zoom_scales_by_the_amount() -> None:
    """Along the width the window spans the whole frame at first, and 1 / 1.5 of it at last; the middle stays."""
    for move, sizes in (("in", (1.0, 1 / 1.5)), ("out", (1 / 1.5, 1.0))):
        video = seen(move).video
        spans = video[0, :, 4, -1] - video[0, :, 4, 0]
        for frame, size in ((0, sizes[0]), (4, sizes[1])):
            assert float(spans[frame]) == pytest.approx(2 * size * 15 / 16, abs=1e-4)
        assert float(spans[2]) == pytest.approx(2 * 15 / 16 / 1.5**0.5, abs=1e-4)  # evenly, by the same factor
        torch.testing.assert_close(video[0].mean((1, 2)), torch.zeros(5), rtol=0, atol=1e-5)


def test_parts_are_of_the_whole_and_pictures_of_the_middle() -> None:
    data = Camera(source=Toybox(scripts=3), move="left").open()
    whole = data.example(4, SHAPE)
    torch.testing.assert_close(data.frames(4, SHAPE, [3, 1]).video, whole.video[:, [3, 1]])
    window = Window(range(1, 3), range(2, 6), range(4, 12))
    torch.testing.assert_close(data.part(4, SHAPE, window).video, whole.video[:, 1:3, 2:6, 4:12])
    assert data.captions() == Toybox(scripts=3).open().captions()
    still = seen("left", shape=SHAPE.with_(frames=1)).video
    torch.testing.assert_close(still.mean((2, 3)), torch.zeros(3, 1), rtol=0, atol=1e-5)


def test_it_comes_back_from_json_and_is_of_pixels() -> None:
    camera = Camera(source=Toybox(), move="in", amount=0.3)
    assert Source.from_json(camera.to_json()) == camera and camera.located() == camera
    with pytest.raises(ValueError, match=r"source: expected videos in pixels, got 'latents'"):
        Camera(source=Latents(source=Toybox(), codec="codec"))
    with pytest.raises(ValueError, match="move"):
        Camera(source=Toybox(), move="around")  # type: ignore[arg-type]


class Dotted(Ramps):
    """Ramps with a map beside that is the same, another at half the size, and some values that are missing."""

    def example(self, index: int, shape: VideoShape) -> Example:
        whole = super().example(index, shape)
        half = super().example(index, shape.with_(height=shape.height // 2, width=shape.width // 2))
        present = torch.rand(whole.video.shape, generator=torch.Generator().manual_seed(index)) < 0.8
        beside = {"map": whole.video, "low": half.video, "push": torch.arange(shape.frames)[:, None].float()}
        return whole._replace(video=torch.where(present, whole.video, 0), present=present, beside=beside)


@pytest.mark.parametrize("move", ["left", "down", "in"])
def test_what_lies_beside_moves_with_the_clip(move: Any) -> None:
    camera = Camera(source=Toybox(), move=move, amount=0.5)
    clip, plain = CameraDataset(camera, Dotted()).example(0, SHAPE), seen(move)
    assert torch.equal(clip.beside["map"], plain.video) and clip.beside["push"].shape == (5, 1)
    low = CameraDataset(camera, Ramps()).example(0, SHAPE.with_(height=4, width=8)).video
    torch.testing.assert_close(clip.beside["low"], low)
    assert clip.present is not None and 0.5 < clip.present.float().mean() < 1
    # Ramps are nearly flat within a pixel, so that means over what is present are near the whole; zeros would not be.
    assert (clip.video - plain.video)[clip.present].abs().max() < 0.2
    assert not clip.video[~clip.present].any()
