"""Classes of protobuf's own library for messages that are given as fields, where no package has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

Fields = Mapping[str, tuple[int, str]]
"""Name -> (number, type); `*` in front of a type is repeated, a capital letter first is a message of the package."""
Packages = Mapping[str, Mapping[str, Fields]]
"""Package -> message -> fields."""


def message_classes(packages: Packages, *names: str) -> dict[str, Any]:
    """Full name -> class, of these messages."""
    pool = descriptor_pool.DescriptorPool()
    for package, messages in packages.items():
        file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        for name, members in messages.items():
            message = file.message_type.add(name=name)
            for member, (number, kind) in members.items():
                plain = kind.removeprefix("*")
                of = FieldDescriptorProto.TYPE_MESSAGE if plain[0].isupper() else _scalar(plain)
                label = FieldDescriptorProto.LABEL_REPEATED if kind[0] == "*" else FieldDescriptorProto.LABEL_OPTIONAL
                added = message.field.add(name=member, number=number, type=of, label=label)
                if plain[0].isupper():
                    added.type_name = f".{package}.{plain}"
        pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


def _scalar(kind: str) -> Any:
    return FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
