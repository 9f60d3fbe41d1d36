"""How values of the options' own types are written on the command line; read by `magicpose.cli.arguments`."""

from __future__ import annotations

from typing import Any

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from magicpose.animation.options import PersonChoice, Size

VALUES = ConstructorRegistry()

# type -> (what the help shows, function of `arguments` that reads it)
_WRITTEN: dict[Any, tuple[str, str]] = {
    int | Size | None: ("SIDE|WIDTHxHEIGHT", "parse_size"),
    Size | None: ("WIDTHxHEIGHT", "parse_canvas"),
    PersonChoice: ("{largest,center}|INT", "parse_person"),
}


@VALUES.primitive_rule
def _written(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    if info.type not in _WRITTEN:
        return None
    metavar, reader = _WRITTEN[info.type]

    def read(texts: list[str]) -> Any:
        from magicpose.cli import arguments  # not for the help: it takes numpy and Pillow along

        return getattr(arguments, reader)(texts[0])

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: not isinstance(value, bool),
        str_from_instance=lambda value: ["x".join(map(str, value)) if isinstance(value, tuple) else str(value)],
    )
