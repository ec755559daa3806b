"""Videos of minutes from networks of seconds, with frames on disk: memory does not grow with the length.

`blocks` makes the first stage's video in the blocks of a `zoetrope.schemes.SamplingScheme`, `overlap` runs the later
stages over it in overlapping windows, and `film` does both. It goes on where a killed process stopped.
"""
