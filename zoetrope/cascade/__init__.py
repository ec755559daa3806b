"""Stages as data, the functions that carry a video from one to the next, and the loop that runs them."""
