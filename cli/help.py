"""Help without the types of flags, which take no value."""

from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.models import Context


def hide_types(command: TyperCommand | TyperGroup, above: Context | None = None) -> None:
    """Leave the type of every flag out of the help of a command and of those in it."""
    context = Context(command, parent=above, **command.context_settings)
    for parameter in command.get_params(context):
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        hide_types(inner, context)
