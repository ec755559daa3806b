"""Stages as data, the functions that prepare one stage's video for the next, and the loop that samples a stage."""
