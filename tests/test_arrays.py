import pytest
import torch

from quickstep.arrays import expect_shape


def test_sizes_are_returned():
    assert expect_shape("x", torch.zeros(2, 3), "b 3") == {"b": 2}


@pytest.mark.parametrize("shape", [(2, 4), (3,)])
def test_misfit_names_the_array(shape):
    with pytest.raises(ValueError, match=r"pose must have the shape \(b 3\)"):
        expect_shape("pose", torch.zeros(*shape), "b 3")
