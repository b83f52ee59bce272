"""Bfloat16 only where a machine multiplies it."""

import pytest
import torch

from quickstep.networks import precision
from quickstep.networks.precision import autocast, is_bf16

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forget():
    precision._multiplies_bfloat16.cache_clear()
    yield
    precision._multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({}, False),
    ],
)
def test_auto_asks_the_processor(monkeypatch, known, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert is_bf16("auto", CPU) == expected
    with autocast(CPU, "auto"):
        assert torch.is_autocast_enabled("cpu") == expected


@pytest.mark.parametrize("known", [False, True])
def test_auto_asks_an_older_torch_too(monkeypatch, known):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: known, raising=False)
    assert is_bf16("auto", CPU) == known


def test_what_is_asked_for_by_name_is_done(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert is_bf16("bf16", CPU)
    assert not is_bf16("fp32", torch.device("cuda"))
    assert not is_bf16("auto", torch.device("meta"))
