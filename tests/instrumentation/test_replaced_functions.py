"""Functions that are replaced do in an app what the originals do: as members of its classes, and in other processes."""

from __future__ import annotations

import copy
import functools
import inspect
import io
import math
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_sidecar_instrumentation.patching import is_ours, wrap_function


def _loader(*args: Any) -> Any:
    return args


@pytest.fixture
def package() -> Iterator[types.ModuleType]:
    """A package with functions that it has from elsewhere: of Python, builtin, and its own."""
    module = types.ModuleType("a_package")
    sys.modules["a_package"] = module
    module.load = _loader  # type: ignore[attr-defined]
    module.of_pickle = pickle.load  # type: ignore[attr-defined]
    module.gcd = math.gcd  # type: ignore[attr-defined]
    for name in ("load", "of_pickle", "gcd"):
        wrap_function(module, name, lambda original, args, kwargs: original(*args, **kwargs))
    yield module
    del sys.modules["a_package"]


FUNCTIONS = ("load", "of_pickle", "gcd")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replaced_function_goes_to_other_processes(package: Any, name: str, protocol: int) -> None:
    """`pool.map(joblib.load, paths)` pickles the function by its name."""
    function = getattr(package, name)
    assert pickle.loads(pickle.dumps(function, protocol)) is function
    assert pickle.loads(pickle.dumps(functools.partial(function, 1), protocol)).func is function
    assert copy.deepcopy(function) is function


def test_a_builtin_function_gets_no_self(package: Any) -> None:
    class Serializer:
        load = package.of_pickle
        gcd = package.gcd

    assert Serializer().load(io.BytesIO(pickle.dumps({"a": 1}))) == {"a": 1}
    assert Serializer().gcd(12, 18) == 6


def test_a_python_function_gets_self_as_before(package: Any) -> None:
    class Store:
        load = package.load

    store = Store()
    assert store.load(1) == (store, 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_replaced_function_looks_like_the_original(package: Any, name: str) -> None:
    originals: dict[str, Callable[..., Any]] = {"load": _loader, "of_pickle": pickle.load, "gcd": math.gcd}
    function, original = getattr(package, name), originals[name]
    assert (function.__doc__, function.__name__) == (original.__doc__, original.__name__)
    assert inspect.signature(function) == inspect.signature(original)
    assert is_ours(function)
    wrap_function(package, name, lambda *_: None)
    assert getattr(package, name) is function  # once
