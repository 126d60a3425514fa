import copy
import pickle

import pytest
import torch

from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.cvxpylayers import CvxpyLayers
from avce_pl.feature_transform.opt_layer import OptLayerTransform

FIVE = torch.tensor([[1.1, 0.9, 0.6, 0.2, 0.0]], dtype=torch.float64)


def test_reference_values_and_gradients():
    latent = FIVE.clone().requires_grad_()
    sparse, soft = ClosedForm()(latent)
    expected = {
        "sparse": [0.5666667, 0.3666667, 0.0666667, 0, 0],
        "soft": [0.3159855, 0.2587071, 0.1916549, 0.1284701, 0.1051824],
        "sparse_grad": [-1, 0, 1, 0, 0],
        "soft_grad": [-0.4575966, -0.1159414, 0.1057634, 0.1993655, 0.2684091],
    }
    grad = torch.arange(1.0, 6.0, dtype=torch.float64).unsqueeze(0)
    actual = {
        "sparse": sparse,
        "soft": soft,
        "sparse_grad": torch.autograd.grad(sparse, latent, grad)[0],
        "soft_grad": torch.autograd.grad(soft, latent, grad)[0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(
            actual[name], torch.tensor([values], dtype=torch.float64), atol=6e-8, rtol=0, msg=name
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
def test_both_outputs_have_the_dtype_of_the_latent(dtype, autocast):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        sparse, soft = ClosedForm()(FIVE.to(dtype))
    assert sparse.dtype == soft.dtype == dtype


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_all_three_transforms_work_without_gradients(mode):
    problems = "avce_pl.feature_transform.problems:"
    exact = ClosedForm()(FIVE)
    with mode():
        for transform in (
            ClosedForm(),
            CvxpyLayers(problems + "sparsemax", problems + "softmax"),
            OptLayerTransform(),
        ):
            for output, expected in zip(transform(FIVE), exact, strict=True):
                torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_it_copies_and_pickles():
    for transform in (copy.deepcopy(ClosedForm()), pickle.loads(pickle.dumps(ClosedForm()))):
        assert torch.equal(transform(FIVE)[0], ClosedForm()(FIVE)[0])
