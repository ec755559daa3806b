"""I3D, the network of the Fréchet video distance [Unterthiner et al. 2018, arXiv:1812.01717].

The weights are not part of this package. They are read from the TorchScript file that the StyleGAN-V project published
(i3d_torchscript.pt), which resizes to 224 x 224 and rescales by itself. The file is a program and is run: name one that
you trust.
"""

from typing import Self

import torch
from torch import Tensor

from zoetrope.metrics.features import ClipNetwork, Extractor
from zoetrope.metrics.features._script import find_program, run

LEAST = 10  # shorter clips do not survive its pooling over time
_OPTIONS = {"rescale": True, "resize": True, "return_features": True}


class I3D(Extractor):
    """What the file gives for return_features, of all frames of a clip, in 8-bit levels.

    Attributes:
        path: the TorchScript file, or with a sha256 "owner/name/file" on the hub; sha256: what it has to have.
    """

    path: str
    sha256: str | None = None

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(path=where)

    def open(self, device: torch.device | str = "cpu") -> ClipNetwork:
        """See `Extractor`."""
        remedy = "fetch i3d_torchscript.pt, for example that of StyleGAN-V, and name the file"
        network, checksum = find_program(self.path, self.sha256, remedy, device)

        def of_clips(clips: Tensor) -> Tensor:
            return run(network, clips, "0..255", _OPTIONS, device)

        width = of_clips(torch.zeros(1, 3, 16, 64, 64)).shape[1]
        layer = "return_features of the TorchScript module, rescaled and resized by it"
        return ClipNetwork(self.kind(), checksum, layer, width, LEAST, None, of_clips, "224x224 by the network")
