"""Models of other libraries as ours: pipelines of diffusers, read without running what they bring along.

`zoetrope.interop.pipelines` makes a model of a pipeline of Stable Diffusion. Descriptions are JSON of bounded size,
weights are safetensors that are checked against the sizes described, and pickles are refused. Whatever we cannot read
is named, so that an imported model never samples as another one would.
"""
