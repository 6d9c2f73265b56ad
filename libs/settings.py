"""Settings read once from the environment; a wrong value stops the start with one line that names the variable."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, TypeVar

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

EX_CONFIG = 78  # sysexits.h: configuration error
EX_IOERR = 74  # sysexits.h: something could not be written
EX_TEMPFAIL = 75  # sysexits.h: temporary failure, a supervisor should try again

Kind = TypeVar("Kind", bound="ServiceSettings")


class ServiceSettings(BaseModel):
    """Base of every service's settings: a field reads the variable of its name in capitals, or its aliases."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    # Variables of other systems that mean something else here, and what to do instead.
    foreign: ClassVar[Mapping[str, str]] = MappingProxyType({})


class WrongSetting(Exception):
    """A variable has a value that cannot be used; the text names it and never repeats a value."""


def parts_of(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without spaces around them; nothing between commas is no part."""
    return tuple(part for each in text.split(",") if (part := each.strip()))


def listed(value: object) -> object:
    """Return the parts of a field that is a comma-separated list in the environment."""
    return parts_of(value) if isinstance(value, str) else value


def read_environment(directory: Path) -> dict[str, str]:
    """Return the process's environment over what stands in the directory's `.env`."""
    file = dotenv_values(directory / ".env", interpolate=False)
    return {**{name: value for name, value in file.items() if value is not None}, **os.environ}


def variable_names(name: str, field: FieldInfo) -> list[str]:
    """Return the variables a field is read from, the first one found wins."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else [name.upper()]


def read_variable(variable: str, environ: Mapping[str, str]) -> str | None:
    """Return a variable's value, or the content of the file that NAME_FILE points to; None when neither is set."""
    value = environ.get(variable)
    if value:
        return value
    path = environ.get(f"{variable}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{variable}_FILE cannot be read: {type(error).__name__} at {path}") from error


def parse(kind: type[Kind], environ: Mapping[str, str]) -> Kind:
    """Return the settings, or raise WrongSetting."""
    for name, instead in kind.foreign.items():
        if environ.get(name) or environ.get(f"{name}_FILE"):
            raise WrongSetting(f"{name} is not read: {instead}")
    values: dict[str, str] = {}
    shown: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        variables = variable_names(name, field)
        shown.update(dict.fromkeys([name, *variables], variables[0]))
        found = ((variable, read_variable(variable, environ)) for variable in variables)
        variable, value = next(((one, text) for one, text in found if text), ("", None))
        if value is not None:
            shown[name] = shown[variables[0]] = variable
            values[variables[0] if field.validation_alias else name] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field_name = str(first["loc"][0]) if first["loc"] else kind.__name__
        problem = first["msg"].removeprefix("Value error, ")
        raise WrongSetting(f"{shown.get(field_name, field_name)}: {problem}") from None


def load(kind: type[Kind], environ: Mapping[str, str] | None = None) -> Kind:
    """Return the settings, or end the process with one line on stderr and exit status 78."""
    try:
        return parse(kind, os.environ if environ is None else environ)
    except WrongSetting as error:
        sys.stderr.write(f"tokhub cannot start: {error}\n")
        raise SystemExit(EX_CONFIG) from None
