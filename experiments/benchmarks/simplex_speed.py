"""S1 and S2: SparseMax and SoftMax, forward and backward, 256 latents of 32 entries in float32.

The three transforms of this package against the package entmax (its two sparsemaxes; the faster one counts), against
cvxpylayers, and against two peers written here: a sort-based `autograd.Function` as textbooks have it, and a layer in
the style of the released one, which for each row runs a solver, takes the Jacobian of the KKT conditions with autograd
and solves a linear system. Times are CPU seconds with one torch thread, medians of interleaved rounds; errors are the
largest against float64.

    python experiments/benchmarks/simplex_speed.py --json simplex_speed.json
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cvxpy as cp
import entmax
import torch
from common import Row, at_least, at_most, finish, note
from torch import Tensor

from avce_pl.feature_transform import problems
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.cvxpylayers import CvxpyLayers
from avce_pl.feature_transform.opt_layer import OptLayerTransform

ROWS, SIZE = 256, 32


class TextbookSparseMax(torch.autograd.Function):
    """Sort, count the support, gather the threshold."""

    @staticmethod
    def forward(ctx, z):  # noqa: D102
        ordered, _ = torch.sort(z, dim=-1, descending=True)
        cumulative = ordered.cumsum(-1)
        k = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
        size = (1 + k * ordered > cumulative).sum(-1, keepdim=True)
        sparse = torch.clamp(z - (cumulative.gather(-1, size - 1) - 1) / size, min=0)
        ctx.save_for_backward(sparse)
        return sparse

    @staticmethod
    def backward(ctx, grad):  # noqa: D102
        support = ctx.saved_tensors[0] > 0
        mean = (grad * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
        return support * (grad - mean)


def textbook(latent: Tensor) -> tuple[Tensor, Tensor]:
    """The first peer."""
    return TextbookSparseMax.apply(latent), torch.softmax(latent, -1)


def entmax_sort(latent: Tensor) -> tuple[Tensor, Tensor]:
    """The package entmax, by sorting."""
    return entmax.sparsemax(latent, dim=-1), torch.softmax(latent, -1)


def entmax_bisect(latent: Tensor) -> tuple[Tensor, Tensor]:
    """The package entmax, by bisection."""
    return entmax.sparsemax_bisect(latent, dim=-1), torch.softmax(latent, -1)


def released_style(latent: Tensor) -> tuple[Tensor, Tensor]:
    """The second peer: everything row by row."""
    return solve_rows(latent, *SPARSE, lambda p, x: (p - x).square().sum(), True), solve_rows(
        latent, *SOFT, lambda p, x: -(p * x).sum() + (p * p.log()).sum(), False
    )


def solve_rows(
    latent: Tensor,
    problem: cp.Problem,
    parameter: cp.Parameter,
    variable: cp.Variable,
    objective: Callable[[Tensor, Tensor], Tensor],
    bounded: bool,
) -> Tensor:
    """Solve each row; its gradient is that of one Newton step on its KKT conditions."""
    solutions = []
    for row in latent.double():
        parameter.value = row.detach().numpy()
        problem.solve(solver=cp.CLARABEL)
        p, *duals = (torch.as_tensor(value) for value in (variable.value, *(c.dual_value for c in problem.constraints)))
        nu = duals[-1].reshape(1)
        dual = duals[0] if bounded else torch.zeros(0, dtype=torch.float64)

        def conditions(p: Tensor, dual: Tensor, nu: Tensor, row: Tensor = row) -> Tensor:
            p = p if p.requires_grad else p.clone().requires_grad_()
            slope = torch.autograd.grad(objective(p, row), p, create_graph=True)[0] + nu
            if bounded:
                slope = slope - dual
            return torch.cat((slope, -dual * p[: len(dual)], (p.sum() - 1).reshape(1)))

        parts = torch.autograd.functional.jacobian(lambda *u: conditions(*u), (p, dual, nu))
        step = torch.linalg.solve(torch.cat(parts, 1), conditions(p, dual, nu))
        solutions.append(p - step[: len(p)])
    return torch.stack(solutions).to(latent)


def problem_of(objective: Callable, bounded: bool) -> tuple[cp.Problem, cp.Parameter, cp.Variable]:
    """A problem over the simplex, the bounds first and the equality last."""
    x, p = cp.Parameter(SIZE), cp.Variable(SIZE)
    return cp.Problem(cp.Minimize(objective(p, x)), [p >= 0] * bounded + [cp.sum(p) - 1 == 0]), x, p


SPARSE = problem_of(lambda p, x: cp.sum_squares(p - x), True)
SOFT = problem_of(lambda p, x: -x @ p - cp.sum(cp.entr(p)), False)


def run(transform: Callable[[Tensor], tuple[Tensor, Tensor]], latent: Tensor, grads: tuple[Tensor, Tensor]) -> Tensor:
    """One forward and one backward pass: the gradient of both outputs together."""
    return torch.autograd.grad(transform(latent), latent, grads)[0]


def errors(transform: Callable, latent: Tensor, grads: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Largest errors of outputs and gradient against the textbook in float64."""
    exact = latent.detach().double().requires_grad_()
    outputs = zip(transform(latent), textbook(exact), strict=True)
    output = max(float((ours - wanted).detach().abs().max()) for ours, wanted in outputs)
    wanted = run(textbook, exact, tuple(grad.double() for grad in grads))
    return output, float((run(transform, latent, grads) - wanted).abs().max())


def measure(rounds: int, slow_rounds: int) -> dict[str, float]:
    """All figures of the benchmark."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(ROWS, SIZE, generator=generator).requires_grad_()
    grads = torch.randn(ROWS, SIZE, generator=generator), torch.randn(ROWS, SIZE, generator=generator)
    path = problems.__name__
    fast = {
        "closed_form": ClosedForm(),
        "textbook": textbook,
        "entmax_sort": entmax_sort,
        "entmax_bisect": entmax_bisect,
    }
    slow = {
        "cvxpylayers": CvxpyLayers(f"{path}:sparsemax", f"{path}:softmax"),
        "opt_layer": OptLayerTransform(),
        "released_style": released_style,
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*fast, *slow)}
    result = {}
    for name, transform in (*fast.items(), *slow.items()):  # warms up, too
        result[f"{name}_output_error"], result[f"{name}_gradient_error"] = errors(transform, latent, grads)
    for transforms, count, repeats in ((fast, rounds, 200), (slow, slow_rounds, 1)):
        for _ in range(count):
            for name, transform in transforms.items():
                start = time.process_time()
                for _ in range(repeats):
                    run(transform, latent, grads)
                seconds[name].append((time.process_time() - start) / repeats)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result |= {f"{name}_milliseconds": 1e3 * value for name, value in medians.items()}
    best = min(("entmax_sort", "entmax_bisect"), key=medians.__getitem__)
    for name, peer in (("textbook", "textbook"), ("entmax", best)):
        ratios = [ours / other for ours, other in zip(seconds["closed_form"], seconds[peer], strict=True)]
        result[f"closed_form_over_{name}"] = statistics.median(ratios)
    result["cvxpylayers_over_closed_form"] = medians["cvxpylayers"] / medians["closed_form"]
    result["released_style_over_closed_form"] = medians["released_style"] / medians["closed_form"]
    result["released_style_over_opt_layer"] = medians["released_style"] / medians["opt_layer"]
    return result


def rows(result: dict[str, float]) -> list[Row]:
    """The figures with a target, and the milliseconds."""
    return [
        at_least(
            "S1", "times as fast as the layer in the released style", result["released_style_over_closed_form"], 1e4
        ),
        at_least("S1", "times as fast as cvxpylayers", result["cvxpylayers_over_closed_form"], 1500),
        at_most("S1", "time over that of entmax's best", result["closed_form_over_entmax"], 0.7),
        at_most("S1", "largest error of an output", result["closed_form_output_error"], 2e-7),
        at_most("S1", "largest error of a gradient", result["closed_form_gradient_error"], 4e-7),
        at_least("S2", "OptLayer, times as fast as the released style", result["released_style_over_opt_layer"], 5),
        *(
            note("S1", name.replace("_milliseconds", ", milliseconds"), value)
            for name, value in result.items()
            if name.endswith("_milliseconds")
        ),
    ]


def main() -> None:
    """Measure, print the rows, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slow-rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the rows")
    arguments = parser.parse_args()
    finish(rows(measure(arguments.rounds, arguments.slow_rounds)), arguments.json)


if __name__ == "__main__":
    main()
