import pytest
import torch
from torch import nn

from quickstep.training.config import TrainConfig
from quickstep.training.optimisation import (
    build_optimizer,
    gradient_norm,
    optimizer_step,
    step_rate,
    trained_parameters,
)


def test_rate_rises_stays_and_falls():
    config = TrainConfig(num_steps=100, learning_rate=2.0, warmup_steps=4, decay_fraction=0.1)
    rates = [step_rate(step, config=config) for step in range(100)]
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[89:] == pytest.approx([2.0, 2.0, *(2.0 * k / 10 for k in range(9, 0, -1))])


def test_rate_before_the_fall_is_the_same_in_a_longer_run():
    short, long = (TrainConfig(num_steps=n, learning_rate=1.0, warmup_steps=5) for n in (50, 500))
    for step in range(40):
        assert step_rate(step, config=short) == step_rate(step, config=long)


def test_rate_stays_constant_without_a_fall():
    config = TrainConfig(num_steps=10, learning_rate=1.0, decay_fraction=0.0)
    assert {step_rate(step, config=config) for step in range(10)} == {1.0}


def test_clips_the_whole_gradient():
    weights = [nn.Parameter(torch.zeros(2, 1)), nn.Parameter(torch.zeros(1))]
    config = TrainConfig(num_steps=1, learning_rate=1.0)
    optimizer = torch.optim.SGD(weights, lr=9.0)
    weights[0].grad, weights[1].grad = torch.tensor([[0.0], [3.0]]), torch.tensor([4.0])
    norm = gradient_norm(weights)
    assert norm == 5.0
    optimizer_step(optimizer, weights, norm=norm, clip=config.clip_norm, rate=0.5)
    moved = torch.cat([weight.detach().reshape(-1) for weight in weights])
    torch.testing.assert_close(moved, torch.tensor([0.0, -0.3, -0.4]))
    assert weights[0].grad is None


def test_decays_matrices_only():
    network = nn.Linear(2, 2)
    config = TrainConfig(num_steps=1, learning_rate=0.1, weight_decay=0.5)
    optimizer = build_optimizer(trained_parameters(network), config=config)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.detach(), 0.95 * before["weight"])
    assert torch.equal(network.bias, before["bias"])


def test_refuses_half_precision_weights_frozen_networks_and_lost_gradients():
    with pytest.raises(ValueError, match=r"weight is torch\.bfloat16"):
        trained_parameters(nn.Linear(2, 2).bfloat16())
    with pytest.raises(ValueError, match="frozen"):
        trained_parameters(nn.Linear(2, 2).requires_grad_(False))
    with pytest.raises(ValueError, match="no parameter got a gradient"):
        gradient_norm(trained_parameters(nn.Linear(2, 2)))
