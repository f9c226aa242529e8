"""Volumes by hand: the node has nothing that makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from support.kubernetes.node import Node

USER = 65532
"""Of the image, whose a volume is as a provisioner would make it."""


def volume(cluster: Node, name: str) -> tuple[Path, dict[str, Any]]:
    """(its folder, a PersistentVolume of a class of that name)"""
    path = cluster.home / "volumes" / name
    path.mkdir(parents=True)
    os.chown(path, USER, USER)
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": name.rstrip("0123456789-"),
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(path)},
        },
    }
    return path, made
