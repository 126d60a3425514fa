"""Whatever a public function of `functional` is given, it answers with a sentence or with finite numbers.

100 cases each; `HYPOTHESIS_PROFILE=deep` tries 10,000.
"""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import avce_pl.functional
from avce_pl.functional.negatives import NegativeWeights

FLOATS = [torch.float32, torch.bfloat16, torch.float64]
OTHERS = [torch.int64, torch.bool, torch.complex64]
LOSSES = ("avce_objective", "infonce_loss", "infonce_cross_loss", "barlow_twins_loss", "pcc_loss", "ccc_loss")


def public() -> dict[str, Callable[..., Tensor]]:
    """Every public function, by name."""
    found = {}
    for module in pkgutil.iter_modules(avce_pl.functional.__path__):
        if not module.name.startswith("_"):
            content = vars(importlib.import_module(f"avce_pl.functional.{module.name}"))
            for name, value in content.items():
                if inspect.isfunction(value) and value.__module__.endswith(module.name) and name[0] != "_":
                    found[name] = value
    return found


FUNCTIONS = public()
POOL = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e-45, 3.4e38, -3.4e38, 1e20, 7.25, -0.3, 0.3]
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)


def tensors(shape: tuple[int, ...], dtype: torch.dtype, draw: st.DrawFn) -> Tensor:
    """A finite tensor, of odd numbers or of ordinary ones; drawing every number by itself takes ten times as long."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    odd = torch.tensor(POOL)[torch.randint(len(POOL), shape, generator=generator)]
    tensor = odd if draw(st.booleans()) else torch.randn(shape, generator=generator)
    return tensor.to(dtype).nan_to_num() if dtype in FLOATS else tensor.clamp(-9, 9).to(dtype)


@st.composite
def arguments(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Arguments of a function: mostly of its shapes, sometimes of any shape, dtype or range."""
    first, dtype = draw(shapes), draw(st.sampled_from(FLOATS))
    first = draw(st.sampled_from([first, (4, 2), (3, 3), (4,)]))
    made: dict[str, Any] = {}
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        hint, kind = parameter.annotation, parameter.name
        if hint in (Tensor, Tensor | None) and kind != "weights":
            other = draw(st.sampled_from([first, first, first, draw(shapes)]))
            mixed = draw(st.sampled_from([dtype, dtype, dtype, *FLOATS, *OTHERS]))
            made[kind] = tensors(other, mixed, draw)
            if "negative_mean" in name:  # expectations of scores that were limited, and of their squares
                made[kind] = made[kind].clamp(-1e19, 1e19) if mixed in FLOATS else made[kind]
        elif hint is NegativeWeights:
            prior = draw(st.sampled_from([0.0, 0.1, 0.9]))
            made[kind] = NegativeWeights(torch.zeros(draw(st.sampled_from([(), first[-1:], (7,)]))), prior)
        elif kind == "weights":
            made[kind] = draw(st.sampled_from([None, torch.ones(first[:1]), torch.ones(7)]))
        elif hint is float:
            made[kind] = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, -1.0, math.nan, math.inf]))
        elif hint is bool:
            made[kind] = draw(st.booleans())
    return made


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_a_sentence_or_a_finite_answer(name: str, data: st.DataObject) -> None:
    given = data.draw(arguments(name))
    leaves = [value.requires_grad_() for value in given.values() if isinstance(value, Tensor) and value.dtype in FLOATS]
    try:
        result = FUNCTIONS[name](**given)
    except ValueError as error:
        assert len(str(error)) > 30  # noqa: PT017 - not raising is as good
        assert str(error).endswith((".", "has none."))  # noqa: PT017
        return
    for part in result if isinstance(result, tuple) else (result,):
        # log-weights of a pair that was dropped are -inf, and weigh 0
        finite = part.exp() if name.startswith("keep") or name == "draw_hard" else part
        assert finite.isfinite().all(), given
        if part.requires_grad and part.numel():
            for gradient in torch.autograd.grad(part.sum(), leaves, allow_unused=True, retain_graph=True):
                assert gradient is None or gradient.isfinite().all(), given


@pytest.mark.parametrize("name", LOSSES)
@given(data=st.data())
def test_a_loss_in_single_precision_is_that_in_double_precision(name: str, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    count = data.draw(st.integers(2, 6))
    shape = (count, 2) if name in ("barlow_twins_loss", "pcc_loss", "ccc_loss") else (count,)

    def tensor(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    given = [tensor(*shape), tensor(*(shape if name != "infonce_cross_loss" else (count, 3)))]
    if name == "barlow_twins_loss":
        given.append(tensor(*shape))
    if len(shape) == 2 and any(t.std(0).min() < 1e-2 for t in given):
        return  # next to a constant batch a correlation is rounding error, in any precision
    exact = FUNCTIONS[name](*(value.double() for value in given))
    torch.testing.assert_close(FUNCTIONS[name](*given).double(), exact, rtol=1e-3, atol=1e-4)
