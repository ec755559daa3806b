"""What all verbs refuse alike: options with an empty value."""

from typing import Any

from typer.core import TyperCommand


class Verb(TyperCommand):
    """A verb whose options have values: an empty one, as of a variable that is not set, is refused, not left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command. Raises ValueError that names an option with an empty value."""
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            for param in self.params:
                if param.param_type_name == "option" and _is_empty(given.get(str(param.name))):
                    option = next(name for name in param.opts if name.startswith("--"))
                    raise ValueError(f"{option}: expected a value, got an empty string")
        return super().parse_args(ctx, args)


def _is_empty(value: Any) -> bool:
    return any(_is_empty(one) for one in value) if isinstance(value, list | tuple) else value == ""
