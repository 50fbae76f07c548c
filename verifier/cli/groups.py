"""Options that several commands share, as one parameter of each command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, cast, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter of `command` that is a dataclass by one option for each of its fields.

    A field is annotated like an option of a command is, and its default is the option's. The command gets
    the dataclass made.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if not is_dataclass(hint):
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(hint, include_extras=True)
        groups[parameter.name] = cast("type[Any]", hint), [field.name for field in fields(hint)]
        for field in fields(hint):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=own[field.name]
                )
            )

    @functools.wraps(command)
    def run(**values: Any) -> None:
        made = {name: group(**{f: values.pop(f) for f in own}) for name, (group, own) in groups.items()}
        command(**values, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
