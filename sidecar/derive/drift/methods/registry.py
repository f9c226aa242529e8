"""The methods that there are: the only list of them."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.derive.drift.methods.chi_squared import ChiSquared
from sidecar.derive.drift.methods.jensen_shannon import JensenShannon
from sidecar.derive.drift.methods.ks import KolmogorovSmirnov
from sidecar.derive.drift.methods.method import DriftMethod
from sidecar.derive.drift.methods.psi import Psi
from sidecar.derive.drift.methods.wasserstein import Wasserstein

METHODS: tuple[DriftMethod, ...] = (Psi(), KolmogorovSmirnov(), Wasserstein(), JensenShannon(), ChiSquared())


def method(name: str, methods: Sequence[DriftMethod] = METHODS) -> DriftMethod:
    """The method of this name. Raises ValueError."""
    for one in methods:
        if one.name == name:
            return one
    raise ValueError(f"invalid method: {name!r}; expected one of {', '.join(one.name for one in methods)}")
