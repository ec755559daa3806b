"""How a stage's network goes through its video: at once, a few frames at a time, in tiles, one video after another.

All ways give the same, up to rounding; which one is taken is a question of memory (`layout`), counted by dry runs.
"""
