"""Training of one stage: its plan as data, its state, and the loop."""
