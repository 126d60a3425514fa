"""What the packages of the mathematics offer by name, with an example that the suite runs (``--doctest-modules``)."""

import inspect
import pkgutil
from importlib import import_module

import pytest

import avce_pl.feature_transform
import avce_pl.functional
import avce_pl.metrics

PACKAGES = (avce_pl.feature_transform, avce_pl.functional, avce_pl.metrics)
OFFERED = [getattr(package, name) for package in PACKAGES for name in package.__all__]


def test_every_public_function_is_offered() -> None:
    defined = {
        name
        for module in pkgutil.iter_modules(avce_pl.functional.__path__)
        if module.name[0] != "_"
        for name, value in vars(import_module(f"avce_pl.functional.{module.name}")).items()
        if name[0] != "_"
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == f"avce_pl.functional.{module.name}"
    }
    assert set(avce_pl.functional.__all__) == defined
    assert len(avce_pl.functional.__all__) == len(defined)


@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: offered.__name__)
def test_each_has_a_documented_example(offered: object) -> None:
    text = inspect.getdoc(offered)
    assert text is not None
    assert ">>> " in text
    if inspect.isfunction(offered):
        assert {"Args:", "Returns:", "Raises:"} <= set(text.split())
