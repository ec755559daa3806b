"""How a stage's network processes its videos: at once, a few frames at a time, in tiles, or one video at a time.

All layouts give the same result, up to rounding. `layout` chooses one that fits in memory, which dry runs measure.
"""
