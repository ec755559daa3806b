"""What surrounds the learning, and the learning itself, on stages of a few weights."""
