"""The parts that networks are made of. Tensors are (B, F, H, W, D) here: channels last, contiguous.

In this layout a normalisation or a linear map over channels needs no copy, frames fold into the batch for spatial
convolutions as a `channels_last` view, and pixels stay together for temporal ones: the fastest layout on CPUs.
"""
