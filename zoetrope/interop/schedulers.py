"""What the configuration of a pipeline's scheduler says, as our schedule, prediction and sampler."""

import inspect
from typing import NamedTuple, get_args

from zoetrope.config.errors import shown
from zoetrope.config.extras import of_diffusers
from zoetrope.diffusion.prediction import Prediction
from zoetrope.interop.components import Settings
from zoetrope.interop.folder import MENDED, Component, Pipeline
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.discrete import Betas, Discrete, Spacing

SCHEDULERS = (
    "DDIMScheduler",
    "PNDMScheduler",
    "DDPMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
)
"""Those of one schedule, which differ in the solver."""
RULES = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "prediction_type",
    "timestep_spacing",
    "set_alpha_to_one",
    "final_sigmas_type",
    "steps_offset",
    "clip_sample",
}
"""What is read of a scheduler."""
LEVELS = {
    "use_karras_sigmas": "Karras's noise levels",
    "use_exponential_sigmas": "exponential noise levels",
    "use_beta_sigmas": "noise levels by a beta distribution",
    "use_lu_lambdas": "Lu's noise levels",
}
"""Noise levels beside the timesteps, which are replaced by theirs."""
SOLVING = {
    "skip_prk_steps",
    "solver_order",
    "solver_type",
    "algorithm_type",
    "predict_x0",
    "disable_corrector",
    "solver_p",
    "lower_order_final",
    "euler_at_final",
    "lambda_min_clipped",
    "variance_type",
    "sigma_min",
    "sigma_max",
    "clip_sample_range",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "flow_shift",
    "time_shift_type",
}
"""What says how a solver steps, or matters only with settings that are refused: it is replaced with the solver."""
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v", "sample": "x"}


class Rules(NamedTuple):
    """What a pipeline's scheduler says, and what of it is replaced, in words."""

    schedule: Discrete
    prediction: Prediction
    sampler: Sampler
    replaced: tuple[str, ...]


def rules_of(pipeline: Pipeline) -> Rules:
    """What the scheduler says. Its solver is replaced by DDIM, and evenly spaced timesteps (linspace) by leading ones.

    Raises ValueError for a schedule that we do not have.
    """
    told, solver, replaced = _scheduler(pipeline)
    told.expect("beta_schedule", *get_args(Betas))
    told.expect("prediction_type", *PREDICTIONS)
    told.expect("timestep_spacing", *get_args(Spacing), "linspace")
    told.expect("final_sigmas_type", "zero", "sigma_min")
    even = told.values["timestep_spacing"] == "linspace"
    if pipeline.kind not in MENDED:
        told.expect("clip_sample", False)
        if told.values["timestep_spacing"] == "leading":
            told.expect("steps_offset", 1)
    schedule: Discrete = told.made(
        Discrete,
        betas=told.values["beta_schedule"],
        first=told.values["beta_start"],
        last=told.values["beta_end"],
        count=told.values["num_train_timesteps"],
        spacing="leading" if even else told.values["timestep_spacing"],
    )
    clean = told.values["set_alpha_to_one"] and told.values["final_sigmas_type"] == "zero"
    if even:
        replaced.append("timesteps spaced evenly (linspace) are replaced by leading ones")
    if solver != "DDIMScheduler":
        replaced.insert(0, f"{solver} is replaced by DDIM, on the same schedule")
    prediction = PREDICTIONS[told.values["prediction_type"]]
    return Rules(schedule, prediction, DDIM(sample="x_hat" if clean else "z"), tuple(replaced))


def _scheduler(pipeline: Pipeline) -> tuple[Settings, str, list[str]]:
    """The scheduler's settings and class, and what of the settings is replaced or not read, in words.

    Of another class's settings, which stay where a configuration was made from one, none counts, as in diffusers.
    Raises ValueError for a class or a setting that cannot be read.
    """
    part, solver = pipeline.part("scheduler", "scheduler_config.json"), pipeline.classes.get("scheduler", "none")
    if solver not in SCHEDULERS:
        raise ValueError(f"{part.path}: scheduler: expected one of {', '.join(SCHEDULERS)}, got {solver}")
    known = {*RULES, *LEVELS, *SOLVING}
    named = inspect.signature(of_diffusers(solver, "import").__init__).parameters
    own = part._replace(config={name: value for name, value in part.config.items() if name in named})
    told = Settings.of(own, solver, known)
    spaced = ((name, what) for name, what in LEVELS.items() if told.values.get(name))
    replaced = [f"{what} ({name}) are replaced by those of the timesteps" for name, what in spaced]
    replaced += unread(part)
    absent = {"timestep_spacing": "linspace", "set_alpha_to_one": True, "final_sigmas_type": "zero"}
    return Settings(part, {**absent, "steps_offset": 1, "clip_sample": False, **told.values}), solver, replaced


def unread(part: Component) -> list[str]:
    """The settings of a scheduler that no class has, which diffusers does not read either, in words."""
    known = {
        name for kind in SCHEDULERS for name in inspect.signature(of_diffusers(kind, "import").__init__).parameters
    }
    strange = sorted(name for name in part.config if name not in known and not name.startswith("_"))
    return [f"{shown(name)} of the scheduler is not read" for name in strange]
