"""Training of one stage: its specification as data, its state, and the loop."""
