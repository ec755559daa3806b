"""No known frames: all frames of a clip are noised alike, as in a training without known frames."""

import torch

from zoetrope.training.known import KnownFrames, Shown, in_a_row


class NoKnown(KnownFrames):
    """The frames of a whole clip, evenly spaced."""

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`."""
        shown = in_a_row(torch.zeros(room, dtype=torch.bool), whole)
        return shown._replace(frames=shown.frames * whole // room)

    def even(self, room: int, whole: int) -> bool:
        """See `KnownFrames`: where every n-th frame is shown."""
        return whole % room == 0
