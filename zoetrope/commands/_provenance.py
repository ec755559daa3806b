"""What made a file, in the file; and `--again`, which makes it again.

`recorded` gives a verb the options for both. What a file names is untrusted: it fills in options, never `--trust`, an
output, and what it lets the command open is printed first.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope import __version__
from zoetrope.commands._options import device_named, values_named
from zoetrope.commands._signing import Certificate, Sign, signer_of
from zoetrope.commands._talk import Talk
from zoetrope.wording import one_line

if TYPE_CHECKING:
    from zoetrope.models.provenance import Provenance
    from zoetrope.models.signing import Signer

UNRECORDED = {
    "again", "accept_changes", "no_prompt_in_file", "out", "save_stages", "resume", "json", "quiet", "trust", "device",
    "dtype", "seed", "prompts", "prompts_file", "count", "sample", "tuned", "members", "sign", "certificate",
}  # fmt: skip
"""Parameters that are of an output or a machine, or that a record says in fields of their own."""
OVER_AGAIN = {
    "again", "accept_changes", "no_prompt_in_file", "out", "save_stages", "resume", "json", "quiet", "trust", "device",
    "dtype", "memory", "model", "style", "sets", "tuned", "sign", "certificate",
}  # fmt: skip
"""Parameters that may be given beside --again; so may files, which have to be the same, and texts left out."""
FILES = ("FILE", "VIDEO", "IN", "CLIP")
"""How metavars of options that name a file end."""
MODELS = ("model", "style")
USUAL_MODELS = {"edit": "mini_image"}
"""The model of a verb where none is given, if it is not mini."""
HARMLESS = re.compile(r"(stages\.)?[^.=]+\.(sampling|shape|inputs\.(low_res|structure))(\.[^=]*)?=")
"""The fields that a file may set: others may name encoders and so what is downloaded."""
DTYPES = {"float32": "fp32", "bfloat16": "bf16"}


def _again(context: typer.Context, path: str | None) -> str | None:
    """Let what a file says fill in the options."""
    if path is not None and not context.resilient_parsing:
        from zoetrope.models.provenance import read_record

        record = read_record(os.path.expanduser(path))
        context.obj, context.default_map = record, _filled(record, context)
    return path


Again = Annotated[
    str | None,
    typer.Option(
        "--again",
        metavar="FILE",
        is_eager=True,
        callback=_again,
        help="Make the video of this file again: what made it is in its tags. Weights and files that it was made from "
        "have to be the same.",
    ),
]
Accept = Annotated[
    bool, typer.Option("--accept-changes", help="With --again, go on although weights, files or settings differ.")
]
NoPrompt = Annotated[
    bool, typer.Option("--no-prompt-in-file", help="Leave what you wrote out of the tags of the files.")
]


class RecordedCommand:
    """A command that runs: the options that it was given, and the file that it makes again, if any."""

    def __init__(self, context: typer.Context, accept: bool, private: bool) -> None:
        self.context, self.accept, self.private = context, accept, private
        self.record: Provenance | None = context.obj
        self.signer: Signer | None = None

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The sha256 of each file that the options name, if it is there."""
        from zoetrope.models.provenance import of_input

        return {name: found for name, path in self._files() if (found := of_input(path)) is not None}

    @property
    def sources(self) -> list[str]:
        """The files that the options name."""
        return [path for _, path in self._files()]

    def options(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The options that were given, for a record; `settings` are those of the stages that ran."""
        found: dict[str, Any] = {}
        for param in self.context.command.params:
            name, value = str(param.name), self.context.params.get(str(param.name))
            if name == "model":
                value = value or [USUAL_MODELS.get(str(self.context.command.name), "mini")]
            elif name in UNRECORDED or not _given(self.context, name):
                continue
            found[_spelt(param)] = list(value) if isinstance(value, list | tuple) else value
        if len(sizes := found.get("size") or []) > 1 and isinstance(sizes, list):
            found["size"] = [size for size in sizes if _is_size(size, settings)]
        return found

    def told(self, own: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a file: `own` fields, and `about` all files of the command."""
        import torch

        from zoetrope.models.provenance import FORMAT

        value = {"format": FORMAT, "zoetrope": __version__, "command": self.context.command.name, **own, **about}
        value |= {"torch": torch.__version__, "options": self.options(about["settings"]), "inputs": self.inputs}
        return _without_texts(value) if self.private else value

    def prepare(self, key: str | None = None, chain: str | None = None) -> None:
        """Raise ValueError, before a model is opened, where the file cannot be made again, or not be signed."""
        self._expect_repeatable()
        self.signer = signer_of(key, chain, (path for _, path in self._files()))

    def _expect_repeatable(self) -> None:
        if self.record is None:
            if self.accept:
                raise ValueError("--accept-changes: expected with --again FILE, got it alone")
            if self.private and self.context.params.get("resume"):
                raise ValueError("--no-prompt-in-file: expected without --resume, which knows files by their prompts")
            return
        self._expect_alone(self.record)
        self._expect_texts(self.record)
        self._expect_device(self.record)
        names = [f"{option} {name}" for option, name in self._models()]
        names += [f"{option}={path}" if " " in option else f"{option} {path}" for option, path in self._files()]
        said = f"{self.record.path}: `zoetrope {self.record.command}` again, with {', '.join(names)}"
        Talk(json=False, quiet=False).say(one_line(said))
        self._expect_here(self.record)
        self._expect_files(self.record)

    def expect(self, now: Mapping[str, Any]) -> None:
        """Raise ValueError if what is about to run is not what made the file, or with --accept-changes warn."""
        import torch

        if self.record is None:
            return
        self._refuse(self.record.changes(now))
        ours = {"torch": torch.__version__, "device": now["device"]}
        other = [f"{name} {self.record.value[name]}" for name in ours if self.record.value[name] != ours[name]]
        if other:
            Talk(json=False, quiet=True).warn(
                one_line(f"{self.record.path}: was made with {' and '.join(other)}; equal bits are not certain")
            )

    def _refuse(self, problems: list[str]) -> None:
        if not problems or self.record is None:
            return
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        said = one_line(f"{self.record.path}: {'; '.join(problems[:3])}{more}")
        if not self.accept:
            raise ValueError(f"{said}. --accept-changes makes another video with what is here")
        Talk(json=False, quiet=True).warn(f"{said}; the video will be another one")

    def _expect_alone(self, record: "Provenance") -> None:
        """Raise ValueError for options that the file says."""
        left = {"prompts" if name == "prompt" else name for name in record.left_out} | set(record.left_out)
        for param in self.context.command.params:
            name = str(param.name)
            if name in OVER_AGAIN | left or _is_file(param) or not _given(self.context, name, "COMMANDLINE"):
                continue
            spelt = "PROMPT" if name == "prompts" else f"--{_spelt(param)}"
            raise ValueError(f"{spelt}: expected without --again, which takes it from {record.path}")

    def _expect_texts(self, record: "Provenance") -> None:
        """Raise ValueError for texts that the file does not tell, and the user neither; and for too many."""
        names = {str(param.name) for param in self.context.command.params}
        for text in record.left_out:
            name = "prompts" if text == "prompt" and "prompts" in names else text
            if not self.context.params.get(name):
                where = 'as `zoetrope generate "PROMPT" --again FILE`' if name == "prompts" else f"as --{name} TEXT"
                raise ValueError(f"{record.path}: its {text} was left out of it; give it {where}")
            if name == "prompts" and len(self.context.params[name]) > 1:
                raise ValueError(f"PROMPT: expected the one of {record.path}, got {len(self.context.params[name])}")

    def _expect_device(self, record: "Provenance") -> None:
        """Raise ValueError if the device in the file is none of this machine's."""
        if not _given(self.context, "device", "COMMANDLINE"):
            try:
                device_named(self.context.params["device"])
            except ValueError:
                name = one_line(record.value["device"])[:40]
                more = "--device NAME makes the video on another, perhaps with other bits"
                raise ValueError(f"{record.path}: was made on device '{name}', which is not here; {more}") from None

    def _expect_here(self, record: "Provenance") -> None:
        """Raise ValueError for names in the file that only another machine can answer."""
        from zoetrope.models.provenance import is_here, is_remote

        for option, name in self._models():
            if not _given(self.context, option, "COMMANDLINE") and not is_here(name):
                raise ValueError(
                    f"{record.path}: names {option} {name!r}, which is not here; --{option} says where it is, and "
                    "only a hub id that you give yourself is downloaded"
                )
        for item in () if _given(self.context, "sets", "COMMANDLINE") else self.context.params.get("sets") or ():
            if not HARMLESS.match(item):
                said = f"'{one_line(item)[:60]}'"
                raise ValueError(f"{record.path}: was made with --set {said}; give every --set yourself if you agree")
        for option, path in self._files():
            if is_remote(path):
                raise ValueError(f"{record.path}: {option} {path!r}: expected a file on this machine")

    def _expect_files(self, record: "Provenance") -> None:
        here, problems = self.inputs, list[str]()
        for name, path in self._files():
            if name not in here:
                raise ValueError(
                    f"{record.path}: was made with {name} {path!r}, which is not here; give it beside --again"
                )
        for name, told in record.inputs.items():
            if here.get(name) != told:
                problems.append(f"{name} is another file than it was made from" if name in here else f"{name} is gone")
        problems += [f"of {name} no sha256 is told" for name in here if name not in record.inputs]
        self._refuse(problems)

    def _models(self) -> Iterator[tuple[str, str]]:
        """The models that the options name."""
        for option in MODELS:
            value = self.context.params.get(option)
            for name in value if isinstance(value, list | tuple) else [value] if value else []:
                yield option, name

    def _files(self) -> Iterator[tuple[str, str]]:
        """The files that the options name: the option, with a place if there are several, and the path."""
        for param in self.context.command.params:
            value = self.context.params.get(str(param.name))
            if value and _is_file(param):
                for number, text in enumerate(value if _many(param) else [value], start=1):
                    place, path = _parted(param, text)
                    which = place or (str(number) if number > 1 else "")
                    yield f"{_spelt(param)} {which}".rstrip(), os.path.expanduser(path)
        for name, value in values_named("--given", self.context.params.get("given")).items():
            if isinstance(value, str) and (name == "picture" or os.path.isfile(os.path.expanduser(value))):
                yield f"given {name}", os.path.expanduser(value)


_active: ContextVar[RecordedCommand | None] = ContextVar("recording", default=None)


def recording() -> RecordedCommand | None:
    """The command that runs; None for one that does not record what it makes."""
    return _active.get()


def sealing() -> "Signer | None":
    """What signs the files of the command that runs; None if they are not signed."""
    running = recording()
    return None if running is None else running.signer


def expect_unread(paths: Iterable[str]) -> None:
    """Raise ValueError for the name of a file that the command that runs reads, and would replace."""
    running = recording()
    sources = [] if running is None else [one for one in running.sources if os.path.isfile(one)]
    for path in paths:
        if os.path.isfile(path) and any(os.path.samefile(path, one) for one in sources):
            raise ValueError(f"{path}: expected another name than that of what is read, which stays what it is")


def record_of(own: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a file, see `RecordedCommand.told`."""
    running = recording()
    return {"zoetrope": __version__, **own, **about} if running is None else running.told(own, about)


def is_same(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of the same video, whatever machine and version made it."""
    left = {"format", "zoetrope", "command", "torch", "device", "options", "inputs"}
    left |= {name for name in ("text", "beside") if name not in own or name not in other}  # earlier versions told less

    def kept(value: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: part for name, part in value.items() if name not in left}
        weights = found.get("weights", {})
        return {**found, "weights": {stage: (one["from"], one["id"]) for stage, one in weights.items()}}

    sums = [{stage: one.get("sha256") for stage, one in value["weights"].items()} for value in (own, other)]
    told = all(None not in each.values() for each in sums)
    return kept(own) == kept(other) and (not told or sums[0] == sums[1])


def recorded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, whose files say what made them, with --again, --no-prompt-in-file, --sign and what belongs to them."""

    def command(
        context: typer.Context,
        again: str | None,
        accept_changes: bool,
        no_prompt_in_file: bool,
        sign: str | None,
        certificate: str | None,
        **options: Any,
    ) -> None:
        running = RecordedCommand(context, accept_changes, no_prompt_in_file)
        running.prepare(sign, certificate)
        token = _active.set(running)
        try:
            verb(**options)
        finally:
            _active.reset(token)

    keyword, signature = inspect.Parameter.KEYWORD_ONLY, inspect.signature(verb)
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    own = [
        inspect.Parameter("again", keyword, default=None, annotation=Again),
        inspect.Parameter("accept_changes", keyword, default=False, annotation=Accept),
        inspect.Parameter("no_prompt_in_file", keyword, default=False, annotation=NoPrompt),
        inspect.Parameter("sign", keyword, default=None, annotation=Sign),
        inspect.Parameter("certificate", keyword, default=None, annotation=Certificate),
    ]
    every = [first, *signature.parameters.values(), *own]
    vars(command)["__signature__"] = signature.replace(parameters=every)
    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    return command


def _filled(record: "Provenance", context: typer.Context) -> dict[str, Any]:
    """The values of parameters that a record says. Raises ValueError for a record of another verb or of odd options."""
    if record.command != context.command.name:
        verb = one_line(record.command)[:40]
        raise ValueError(f"{record.path}: was made by `zoetrope {verb}`; `zoetrope {verb} --again` makes it again")
    if record.stage is not None:
        raise ValueError(f"{record.path}: is what a stage made on the way to a video; expected that video")
    params = {_spelt(param): param for param in context.command.params if str(param.name) not in UNRECORDED}
    found: dict[str, Any] = {"seed": record.value["seed"], "device": record.value["device"]}
    found["dtype"] = DTYPES.get(record.value["dtype"], "auto")
    for name, value in record.options.items():
        if name not in params or (_many(params[name]) or params[name].nargs > 1) != isinstance(value, list):
            raise ValueError(
                f"{record.path}: options: got '{one_line(name)[:40]}', which is no option of `{record.command}`"
            )
        found[str(params[name].name)] = value
    every = {str(param.name): param for param in context.command.params}
    if "sample" in record.value and "sample" in every:
        number = record.value["sample"]
        found["sample"] = [number] if _many(every["sample"]) else number
    if "members" in record.value and "members" in every:
        found["members"] = record.value["members"]
    if record.value.get("prompt") is not None and "prompts" in every:
        found["prompts"] = [record.value["prompt"]]
    return found


def _without_texts(value: dict[str, Any]) -> dict[str, Any]:
    """A record without what the user wrote, which says what it leaves out."""
    from zoetrope.models.provenance import TEXTS

    parts = [value, value["options"], *([value["long"]] if "long" in value else [])]
    left = [name for name in TEXTS if any(part.get(name) is not None for part in parts)]
    clean = [{name: one for name, one in part.items() if name not in TEXTS} for part in parts]
    made = {**clean[0], "options": clean[1], "left_out": left}
    return made | ({"long": clean[2]} if "long" in value else {})


def _given(context: typer.Context, name: str, *sources: str) -> bool:
    """Whether a parameter was given, on the command line or by a file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in (sources or ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP"))


def _spelt(param: Any) -> str:
    """An option as users write it, without its dashes; the name of an argument."""
    if param.param_type_name == "argument":
        return str(param.name)
    return str(next(name for name in param.opts if name.startswith("--"))).removeprefix("--")


def _is_file(param: Any) -> bool:
    """Whether an option names a file to make videos from."""
    return param.name not in UNRECORDED and str(param.metavar or "").rpartition("=")[2] in FILES


def _parted(param: Any, text: str) -> tuple[str, str]:
    """The place, or name, and the path in the value of an option: PLACE=FILE, or FILE that may be NAME=FILE."""
    named = "=" in str(param.metavar) or (_many(param) and not os.path.exists(os.path.expanduser(text)))
    place, sign, path = text.partition("=")
    return (place.strip(), path) if sign and named else ("", text)


def _many(param: Any) -> bool:
    return bool(getattr(param, "multiple", False)) or param.nargs == -1


def _is_size(size: str, settings: Mapping[str, Any]) -> bool:
    """Whether the first stage that makes videos makes this size."""
    shapes = [str(one["shape"]) for one in settings.values() if not str(one["shape"]).startswith("1x1x1")]
    height, _, width = size.replace(" ", "").lower().partition("x")
    return bool(shapes) and f"x{int(height)}x{int(width)}@" in shapes[0]
