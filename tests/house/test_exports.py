"""What a user can import is declared, exists, and says what it does."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import chanlog

CLASSES = [value for name in chanlog.__all__ if inspect.isclass(value := getattr(chanlog, name))]


def test_names_are_unique_and_exist() -> None:
    assert len(set(chanlog.__all__)) == len(chanlog.__all__)
    assert [name for name in chanlog.__all__ if not hasattr(chanlog, name)] == []


def test_nothing_public_is_undeclared() -> None:
    undeclared = [
        name
        for name, value in vars(chanlog).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in chanlog.__all__
    ]
    assert undeclared == []


@pytest.mark.parametrize("name", chanlog.__all__)
def test_a_name_has_a_docstring(name: str) -> None:
    value = getattr(chanlog, name)
    text = inspect.getdoc(value)
    assert text and text.strip()
    # A dataclass without one gets its signature for a docstring, which says nothing.
    assert not text.startswith(f"{name}(")


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_a_public_method_has_a_docstring(owner: type) -> None:
    # What a class has from Python's own (tuple, exceptions) is documented there.
    silent = [
        name
        for name in dir(owner)
        if not name.startswith("_")
        and any(name in vars(base) for base in owner.__mro__ if _is_ours(base))
        and (callable(value := inspect.getattr_static(owner, name)) or isinstance(value, property))
        and not inspect.getdoc(value)
    ]
    assert silent == []


def _is_ours(base: type) -> bool:
    return base.__module__.partition(".")[0] == "chanlog"


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_a_coroutine_twin_takes_what_its_original_takes(owner: type) -> None:
    for name in dir(owner):
        twin = inspect.getattr_static(owner, f"a{name}", None)
        method = inspect.getattr_static(owner, name)
        if name.startswith("_") or not inspect.isfunction(method) or not inspect.isfunction(twin):
            continue
        assert inspect.signature(method).parameters == inspect.signature(twin).parameters, name
        assert (
            inspect.iscoroutinefunction(twin)
            or inspect.isasyncgenfunction(twin)
            or ("Async" in str(inspect.signature(twin).return_annotation))
        ), name


def test_a_star_import_gives_what_is_declared() -> None:
    names: dict[str, object] = {}
    exec("from chanlog import *", names)
    assert {name for name in names if not name.startswith("_")} == set(chanlog.__all__)
