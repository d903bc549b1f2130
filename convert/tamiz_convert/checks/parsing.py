"""A mapping, as YAML gives it, becomes a dataclass; an error names the place of what does not fit."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from tamiz_convert.errors import SpecificationError, did_you_mean

Parsed = TypeVar("Parsed")

KEY: Final = "key"
"""In a field's metadata: its key in the specification; None for a field without a key."""

_YAML_BOOLEANS: Final = "; YAML takes yes, no, on and off for booleans: quote them"
_TYPE_NAMES: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def parse(cls: type[Parsed], value: Any, where: str) -> Parsed:
    """Return a dataclass made of a mapping.

    Args:
        cls: the dataclass; the types of its fields say what is allowed.
        value: the mapping.
        where: the place in the specification, such as "slices[0]"; empty at the top.

    Raises:
        SpecificationError: for an unknown or a missing key, or a value of the wrong type, with its place.
    """
    if value is None and not where:
        raise SpecificationError(
            "the specification is empty; expected sections with checks, after version: 1"
        )
    if not isinstance(value, Mapping):
        raise SpecificationError(f"{where or 'the specification'}: expected keys with values, got {value!r}")
    fields = _fields(cls)
    for key in value:
        if key not in fields:
            raise SpecificationError(
                f"{_at(where)}unknown key {key!r}{did_you_mean(str(key), list(fields))}; known keys are"
                f" {', '.join(fields)}"
            )
    hints = get_type_hints(cls)
    given = {
        fields[key].name: _converted(hints[fields[key].name], each, f"{where}.{key}".lstrip("."))
        for key, each in value.items()
    }
    missing = [key for key, field in fields.items() if _is_required(field) and field.name not in given]
    if missing:
        raise SpecificationError(f"{_at(where)}the key {missing[0]!r} is missing")
    try:
        return cls(**given)
    except SpecificationError as error:
        raise SpecificationError(f"{_at(where)}{error}") from None


def _fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    named = {field.metadata.get(KEY, field.name): field for field in dataclasses.fields(cls)}
    return {key: field for key, field in named.items() if key is not None}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _converted(hint: Any, value: Any, where: str) -> Any:
    """Return a value in the type of its field."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _of_union(hint, value, where)
    if origin is Literal:
        return _of_literal(get_args(hint), value, where)
    if origin is Mapping:
        return _of_mapping(get_args(hint)[1], value, where)
    if origin is tuple:
        return _of_tuple(get_args(hint)[0], value, where)
    if hasattr(hint, "from_yaml"):
        return hint.from_yaml(value, where)
    return _of_dataclass_or_scalar(hint, value, where)


def _of_dataclass_or_scalar(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return parse(cast("type[Any]", hint), value, where)
    return _of_scalar(hint, value, where)


def _of_union(hint: Any, value: Any, where: str) -> Any:
    alternatives = [each for each in get_args(hint) if each is not types.NoneType]
    if value is None and len(alternatives) < len(get_args(hint)):
        if dataclasses.is_dataclass(alternatives[0]):
            raise SpecificationError(f"{where} is empty: expected keys with values, or {{}} for the defaults")
        return None
    if len(alternatives) == 1:
        return _converted(alternatives[0], value, where)
    if type(value) in alternatives:
        return value
    raise _wrong_type(value, " or ".join(_TYPE_NAMES[each] for each in alternatives), where)


def _of_literal(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in allowed and type(value) in map(type, allowed):
        return value
    names = [str(each) for each in allowed]
    raise SpecificationError(
        f"{where}: got {value!r}{did_you_mean(str(value), names)}; expected {' or '.join(names)}"
    )


def _of_mapping(item: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SpecificationError(f"{where}: expected names with values, got {value!r}")
    odd = [name for name in value if not isinstance(name, str)]
    if odd:
        raise _wrong_type(odd[0], "text for a name", where)
    return {name: _converted(item, each, f"{where}.{name}") for name, each in value.items()}


def _of_tuple(item: Any, value: Any, where: str) -> tuple[Any, ...]:
    if dataclasses.is_dataclass(item) and not isinstance(value, list):
        raise SpecificationError(f"{where}: expected a list (each entry begins with a dash), got {value!r}")
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_converted(item, each, f"{where}[{index}]") for index, each in enumerate(values))


def _of_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-6, without a dot, as text
        except ValueError:
            raise _wrong_type(value, _TYPE_NAMES[float], where) from None
    if type(value) is hint:
        return value
    raise _wrong_type(value, _TYPE_NAMES[hint], where)


def _wrong_type(value: Any, expected: str, where: str) -> SpecificationError:
    hint = _YAML_BOOLEANS if isinstance(value, bool) else ""
    return SpecificationError(f"{where}: expected {expected}, got {value!r}{hint}")
