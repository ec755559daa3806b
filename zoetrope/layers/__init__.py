"""Layers of networks. Tensors are (B, F, H, W, D) here: channels last, contiguous.

In this layout a normalisation or linear map over channels needs no copy, folding frames into the batch for spatial
convolutions gives a `channels_last` view, and pixels stay contiguous for temporal ones: the fastest layout on CPUs.
"""
