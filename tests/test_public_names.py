"""What is public is said, and what is said is there and explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import skelaug

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(skelaug.__path__, "skelaug.")
    if not module.name.endswith("__main__")
)


def defined_in(module: ModuleType) -> dict[str, object]:
    """Public functions and classes that a module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_all_lists_every_public_function_and_class(name: str) -> None:
    module = importlib.import_module(name)
    public = defined_in(module)
    listed = getattr(module, "__all__", None)
    if listed is None:
        assert not public, f"{name} has public names and no __all__"
        return
    assert len(set(listed)) == len(listed)
    assert [entry for entry in listed if not hasattr(module, entry)] == []
    assert sorted(set(public) - set(listed)) == [], "missing in __all__"
    assert [entry for entry in listed if entry.startswith("_")] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_explained(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    silent = []
    for entry, value in defined_in(module).items():
        if not inspect.getdoc(value):
            silent.append(entry)
        if inspect.isclass(value):
            silent += [
                f"{entry}.{method}"
                for method, member in vars(value).items()
                if not method.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, property))
                and not inspect.getdoc(member)
            ]
    assert silent == []


@pytest.mark.parametrize("name", MODULES)
def test_a_docstring_does_not_only_repeat_the_name(name: str) -> None:
    module = importlib.import_module(name)
    for entry, value in defined_in(module).items():
        words = (inspect.getdoc(value) or "").rstrip(".").lower().split()
        assert words != entry.replace("_", " ").lower().split(), entry
