import pytest
import torch
from torch import nn

from quickstep.networks.averaging import average_tensors, ema_update


def test_follows_the_closed_form_after_n_steps(generator):
    target, source = nn.Linear(3, 2), nn.Linear(3, 2)
    start = target.weight.detach().double()
    decay, num_steps = 0.8, 7
    expected = decay**num_steps * start
    for step in range(num_steps):
        with torch.no_grad():
            source.weight.copy_(torch.randn(2, 3, generator=generator))
        weight = (1 - decay) * decay ** (num_steps - 1 - step)
        expected = expected + weight * source.weight.detach().double()
        ema_update(target, source, decay=decay)
    torch.testing.assert_close(target.weight.detach().double(), expected, atol=1e-6, rtol=0)


def test_decay_zero_is_the_source_bit_for_bit(generator):
    target, source = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    source(torch.randn(5, 4, generator=generator))
    ema_update(target, source, decay=0.0)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_decay_one_keeps_the_target():
    target, source = nn.Linear(3, 2), nn.Linear(3, 2)
    before = target.weight.detach().clone()
    ema_update(target, source, decay=1.0)
    assert torch.equal(target.weight, before)


def test_averages_buffers_and_copies_counters(generator):
    target, source = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    source(torch.randn(5, 4, generator=generator))
    ema_update(target, source, decay=0.5)
    assert source.running_mean is not None
    torch.testing.assert_close(target.running_mean, 0.5 * source.running_mean)
    assert target.num_batches_tracked == 1


def test_moves_tied_weights_once():
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    average_tensors({"a": first, "b": first}, {"a": second, "b": second}, decay=0.5)
    assert torch.equal(first, torch.full((2,), 0.5))


def test_takes_no_gradient_and_gives_none():
    target, source = nn.Linear(3, 2), nn.Linear(3, 2)
    ema_update(target, source, decay=0.5)
    assert target.weight.is_leaf and target.weight.grad is None and source.weight.grad is None


@pytest.mark.parametrize("decay", [-0.1, 1.5])
def test_refuses_a_decay_out_of_range(decay):
    with pytest.raises(ValueError, match=str(decay)):
        ema_update(nn.Linear(1, 1), nn.Linear(1, 1), decay=decay)


def test_refuses_what_does_not_match():
    with pytest.raises(ValueError, match="bias"):
        ema_update(nn.Linear(1, 1), nn.Linear(1, 1, bias=False), decay=0.5)
    with pytest.raises(ValueError, match=r"\(2, 1\).*\(1, 1\)"):
        ema_update(nn.Linear(1, 2), nn.Linear(1, 1), decay=0.5)
    with pytest.raises(ValueError, match="bfloat16"):
        average_tensors({"a": torch.zeros(1)}, {"a": torch.zeros(1).bfloat16()}, decay=0.5)
