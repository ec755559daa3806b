"""A recipe all of whose parts are of another package than zoetrope, each named by its module."""

from zoetrope.training.spec import Recipe

STAGE = {
    "name": "base",
    "shape": {"frames": 2, "height": 4, "width": 8, "fps": 3},
    "inputs": [{"type": "text"}, {"type": "my_lab.brightness", "dropout": 0.5}],
    "network": {"type": "my_lab.lamps", "text_width": 8},
    "schedule": {"type": "my_lab.schedules", "low": -9},
    "sampling": {
        "sampler": {"type": "my_lab.samplers", "share": 0.5},
        "guidance": {"type": "my_lab.guidance", "weight": 2},
        "routine": {"type": "my_lab.routines", "times": 2},
        "steps": 3,
    },
}
LEARNING = {
    "data": {"type": "my_lab.data", "shades": 5},
    "objective": {"type": "my_lab.objectives"},
    "phases": [{"examples": 8, "batch": 4}],
    "warm_up": 0,
    "precision": "fp32",
    "sample_every": 4,
    "log_every": 4,
    "checkpoint_every": 4,
}


def recipe() -> Recipe:
    text = {"type": "words", "width": 8, "limit": 16}
    cascade = {"name": "lamp", "text": text, "stages": [STAGE]}
    return Recipe.from_json({"name": "lamp", "cascade": cascade, "training": {"base": LEARNING}})
