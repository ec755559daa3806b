"""InceptionV3, the network of FID and of the inception score [Heusel et al. 2017, arXiv:1706.08500].

The weights are not part of this package. They are read from the TorchScript file that NVIDIA published for StyleGAN
(inception-2015-12-05.pt), the port of the original TensorFlow graph. The file is a program and is run: name one you
trust.
"""

from typing import Self

import torch
from torch import Tensor

from zoetrope.metrics.features import Classifier, Extractor
from zoetrope.metrics.features._script import find_program, run


class Inception(Extractor):
    """The 2048 pooled features, and class probabilities without the bias of the last layer; resized by the file itself.

    Attributes:
        path: the TorchScript file, or with a sha256 "owner/name/file" on the hub; sha256: what it has to have.
    """

    path: str
    sha256: str | None = None

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(path=where)

    def open(self, device: torch.device | str = "cpu") -> Classifier:
        """See `Extractor`."""
        remedy = "fetch inception-2015-12-05.pt, that of StyleGAN2-ADA, and name the file"
        network, checksum = find_program(self.path, self.sha256, remedy, device)

        def of_pictures(pictures: Tensor) -> Tensor:
            return run(network, pictures, "0..255", {"return_features": True}, device)

        def probabilities(pictures: Tensor) -> Tensor:
            return run(network, pictures, "0..255", {"no_output_bias": True}, device)

        width = of_pictures(torch.zeros(1, 3, 64, 64)).shape[1]
        layer = "return_features of the TorchScript module"
        resize = "299x299 by the network"
        return Classifier(self.kind(), checksum, layer, width, of_pictures, resize, probabilities=probabilities)
