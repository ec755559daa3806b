"""How much moves in a video, as one number."""

from torch import Tensor


def motion_strength(video: Tensor, fps: float | Tensor) -> Tensor:
    """The mean change of videos (B, C, F, H, W) in [-1, 1] in a second, (B,), in percent of black to white.

    The mean absolute difference of neighbouring frames, times the frames per second, a number or one for each video,
    (B,). 0 of a single frame. Of a shown thing that moves it is about its area times its contrast times its speed.
    """
    if video.shape[2] < 2:
        return video.new_zeros(len(video))
    changes = video.diff(dim=2).abs().flatten(1).mean(1)
    return 50 * fps * changes
