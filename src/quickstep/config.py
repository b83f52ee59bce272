"""Frozen dataclass configs: read strictly, changed by ``field=value``, named by a digest."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain nested dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Reads a config of ``kind`` from a dictionary, and refuses what it does not know.

    Args:
        kind: the dataclass to build; its dataclass fields are read recursively.
        values: field names and values; fields left out keep their defaults.

    Raises:
        ValueError: an unknown field, with the nearest known names, or a missing one.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(fields))
    if unknown:
        known = ", ".join(fields)
        raise ValueError(f"{kind.__name__} has no field {unknown[0]!r}: its fields are {known}")
    read: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if isinstance(value, Mapping):
            hint = _fitting(hint, value)
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            value = from_dict(hint, value)  # type: ignore[arg-type]
        elif isinstance(value, list) and _is_tuple(hint):
            value = tuple(value)
        read[name] = value
    try:
        return kind(**read)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


def _fitting(hint: Any, values: Mapping[str, Any]) -> Any:
    """Of several dataclasses the first that has all these fields."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    kinds = [kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)]
    for kind in kinds:
        if set(values) <= {field.name for field in dataclasses.fields(kind)}:
            return kind
    return kinds[0] if kinds else hint


def with_changes(config: Config, changes: Mapping[str, str]) -> Config:
    """A copy of ``config`` with fields set from text, as the command line's ``--set`` gives them.

    Args:
        config: the config to start from.
        changes: dotted field names and values as text, such as ``{"train.num_steps": "200"}``.

    Raises:
        ValueError: no such field, or text that is no value of the field's type.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Run:
        ...     num_steps: int = 10
        >>> with_changes(Run(), {"num_steps": "200"})
        Run(num_steps=200)
    """
    return _with_changes(config, {tuple(path.split(".")): text for path, text in changes.items()})


def digest(config: Any) -> str:
    """Twelve hexadecimal digits that name the config's content (SHA-256 of its sorted JSON)."""
    text = json.dumps(to_dict(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_changes(config: Any, changes: Mapping[tuple[str, ...], str], above: str = "") -> Any:
    """All changes at once: a config is never made with half of them, which it might refuse."""
    hints = typing.get_type_hints(type(config))
    values: dict[str, Any] = {}
    for name in dict.fromkeys(path[0] for path in changes):
        full = f"{above}{name}"
        _expect_field(config, name, full)
        below = {path[1:]: text for path, text in changes.items() if path[0] == name}
        if () in below:
            values[name] = _parse(below.pop(()), hints[name], full)
        if below:
            current = values.get(name, getattr(config, name))
            current = _with_fields(current, hints[name], {path[0] for path in below})
            if not dataclasses.is_dataclass(current):
                raise ValueError(f"{full!r}: {name} of {type(config).__name__} has no fields")
            values[name] = _with_changes(current, below, f"{full}.")
    return dataclasses.replace(config, **values)


def _with_fields(current: Any, hint: Any, names: set[str]) -> Any:
    """Where a field may be of several kinds, one that has these fields: the present if it does."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return current
    fitting = _fitting(hint, dict.fromkeys(names))
    known = {field.name for field in dataclasses.fields(current)} if current is not None else set()
    if names <= known or not dataclasses.is_dataclass(fitting):
        return current
    has_all = names <= {field.name for field in dataclasses.fields(fitting)}
    return fitting() if has_all else current  # type: ignore[operator]


def _expect_field(config: Any, name: str, full: str) -> None:
    fields = {field.name for field in dataclasses.fields(config)}
    if name not in fields:
        known = ", ".join(sorted(fields))
        raise ValueError(f"no field {full!r} in {type(config).__name__}: its fields are {known}")


def _parse(text: str, hint: Any, full: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        allowed = typing.get_args(hint)
        for value in allowed:
            if str(value) == text:
                return value
        raise ValueError(f"{full} must be one of {', '.join(map(str, allowed))}: got {text!r}")
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if text.lower() == "none" and len(options) < len(typing.get_args(hint)):
            return None
        return _parse(text, options[0], full)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_parse(part.strip(), inner, full) for part in text.split(",") if part.strip())
    return _parse_plain(text, hint, full)


def _parse_plain(text: str, hint: Any, full: str) -> Any:
    if hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"{full} must be true or false: got {text!r}")
    if hint in (int, float):
        try:
            return _finite(hint(text))
        except ValueError:
            raise ValueError(f"{full} must be a number ({hint.__name__}): got {text!r}") from None
    if hint is str:
        return text
    raise ValueError(f"{full} cannot be set from text")


def _finite(number: int | float) -> int | float:
    if not math.isfinite(number):
        raise ValueError("neither nan nor inf is a setting")
    return number


def _is_tuple(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple or hint is tuple
