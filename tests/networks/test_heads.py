"""The auxiliary head: a copy of the output layers that leaves the student alone (invariant 21)."""

import pytest
import torch

from quickstep.networks.heads import WithAuxiliaryHead, without_head
from quickstep.networks.unianimate import UniAnimateConditions


@pytest.fixture
def network(small_unianimate):
    return small_unianimate()


@pytest.fixture
def inputs(network):
    generator = torch.Generator().manual_seed(1)
    features = network.encode(
        UniAnimateConditions(
            image=torch.randn(2, 1, 16, generator=generator),
            reference=torch.randn(2, 4, 8, 8, generator=generator),
            pose=torch.rand(2, 3, 3, 64, 64, generator=generator),
        )
    )
    return torch.randn(2, 3, 4, 8, 8, generator=generator), torch.tensor([999, 20]), features


@torch.no_grad()
def test_at_the_start_both_predictions_are_the_teachers(network, inputs):
    own, auxiliary = WithAuxiliaryHead(network).forward_both(*inputs)
    assert torch.equal(own, network(*inputs))
    assert torch.equal(auxiliary, own)


@torch.no_grad()
def test_the_head_can_go_and_nothing_changes(network, inputs):
    student = WithAuxiliaryHead(network)
    for parameter in student.auxiliary.parameters():
        torch.nn.init.normal_(parameter)
    with_head = student(*inputs)
    assert torch.equal(without_head(student)(*inputs), with_head)
    assert not torch.equal(student.forward_both(*inputs)[1], with_head)
    assert without_head(network) is network


def test_the_heads_loss_teaches_the_trunk_but_not_the_output_layers(network, inputs):
    student = WithAuxiliaryHead(network)
    _, auxiliary = student.forward_both(*inputs)
    auxiliary.square().mean().backward()
    for taught in (network.time_embed, student.auxiliary):
        grads = [parameter.grad for parameter in taught.parameters()]
        assert all(grad is not None and grad.any() for grad in grads)
    assert all(parameter.grad is None for parameter in network.out.parameters())
