import pytest
import torch
from torch import nn

from quickstep.training.ema import Ema


def walk(module, generator):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def test_follows_the_closed_form_after_n_steps(generator):
    network = nn.Linear(3, 2)
    ema = Ema(network, decay=0.9, warmup=False)
    expected = 0.9**5 * network.weight.detach().double()
    for step in range(5):
        walk(network, generator)
        expected = expected + 0.1 * 0.9 ** (4 - step) * network.weight.detach().double()
        ema.update(network)
    torch.testing.assert_close(ema.average["weight"].double(), expected, atol=1e-6, rtol=0)


def test_warms_up_from_a_short_memory():
    network = nn.Linear(1, 1)
    ema = Ema(network, decay=0.5)
    decays = []
    for _ in range(12):
        decays.append(ema.next_decay)
        ema.update(network)
    assert decays[:3] == [1 / 10, 2 / 11, 3 / 12]
    assert decays[-1] == 0.5


def test_decay_zero_is_the_student_bit_for_bit(generator):
    network = nn.Linear(3, 2)
    ema = Ema(network, decay=0.0)
    walk(network, generator)
    ema.update(network)
    assert all(torch.equal(ema.average[name], value) for name, value in network.named_parameters())


def test_stands_in_the_module_only_inside_the_with(generator):
    network = nn.BatchNorm1d(4)
    ema = Ema(network, decay=0.9)
    walk(network, generator)
    network(torch.randn(5, 4, generator=generator))
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(KeyError), ema.applied(network):
        assert torch.equal(network.weight, torch.ones(4))
        assert network.num_batches_tracked == 0
        raise KeyError
    assert all(torch.equal(own[name], value) for name, value in network.state_dict().items())


def test_keeps_no_frozen_parameters():
    network = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    assert set(Ema(network, decay=0.9).average) == {"1.weight", "1.bias"}


def test_refuses_another_network_and_a_decay_of_one():
    ema = Ema(nn.Linear(2, 2), decay=0.9)
    with pytest.raises(ValueError, match="bias"):
        ema.load({"weight": torch.zeros(2, 2)}, num_updates=1)
    with pytest.raises(ValueError, match=r"1\.0"):
        Ema(nn.Linear(2, 2), decay=1.0)
