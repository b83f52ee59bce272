"""Memory levers: the video stays, and weights are where they should be.

An accelerator is played by `accelerated`: its tensors are the CPU's, marked as elsewhere by their
storage, say that they are there, and refuse to meet tensors that are not.
"""

import contextlib
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from quickstep import Animator
from quickstep.animation.levers import Memory
from quickstep.animation.stopwatch import Stopwatch
from quickstep.apps.cli import main
from quickstep.networks.folder import load_model

ELSEWHERE = torch.device("meta")
_marked: set[int] = set()


def is_there(tensor):
    return tensor.untyped_storage()._cdata in _marked


def mark(made):
    for each in tree_leaves(made):
        if isinstance(each, torch.Tensor) and not is_there(each):
            storage = each.untyped_storage()
            _marked.add(storage._cdata)
            weakref.finalize(storage, _marked.discard, storage._cdata)
    return made


class _Operations(TorchDispatchMode):
    """What is made of tensors of the accelerator is there too; only numbers may come from afar."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        there = [each for each in given if is_there(each)]
        if there and func is not torch.ops.aten.copy_.default:
            strays = [each for each in given if each.dim() and not is_there(each)]
            assert not strays, f"{func} of tensors in two places"
        made = func(*args, **(kwargs or {}))
        return mark(made) if there and func is not torch.ops.aten.copy_.default else made


class _Calls(TorchFunctionMode):
    """Moves tensors, makes them where they are wanted, and tells where they are."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return ELSEWHERE if is_there(args[0]) else torch.device("cpu")
        if func is torch.Tensor.numpy:
            assert not is_there(args[0]), "numpy of a tensor of the accelerator"
        if func is torch.Tensor.cpu:
            return self._moved(args[0], "cpu")
        if func is torch.Tensor.new_tensor and is_there(args[0]):
            return mark(func(*args, **kwargs))
        if func is torch.Tensor.to:
            return self._to(args, kwargs)
        if torch.device(kwargs.get("device") or "cpu") == ELSEWHERE:
            return mark(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)

    def _to(self, args, kwargs):
        tensor, *rest = args
        place = kwargs.pop("device", None)
        dtype = kwargs.pop("dtype", None)
        for each in rest:
            if isinstance(each, torch.Tensor):
                place, dtype = each.device, each.dtype
            elif isinstance(each, torch.device | str):
                place = each
            elif isinstance(each, torch.dtype):
                dtype = each
        return self._moved(tensor if dtype is None else tensor.type(dtype), place)

    def _moved(self, tensor, place):
        if place is None or (torch.device(place) == ELSEWHERE) == is_there(tensor):
            return tensor
        with torch._C._DisableTorchDispatch():
            moved = tensor.detach().clone()
        return mark(moved) if torch.device(place) == ELSEWHERE else moved


@contextlib.contextmanager
def accelerated():
    with _Calls(), _Operations():
        yield


@pytest.fixture
def accelerator(monkeypatch):
    """A machine with an accelerator, which is called meta here."""
    monkeypatch.setattr(torch, "meta", SimpleNamespace(), raising=False)
    return ELSEWHERE


@pytest.fixture(params=["student", "teacher", "champ"])
def case(request, model_folders, champ, clip, picture, dance):
    """A model's folder, a picture, and a dance of two windows."""
    if request.param == "champ":
        return champ, clip / "reference.png", clip
    return model_folders / request.param, picture, dance(6)


def frames_of(animator, picture, dance):
    with accelerated(), torch.no_grad():
        scene = animator.scene(picture, dance)
        plan = animator.plan(num_steps=2)
        latents = animator.denoise(scene, plan=plan, watch=Stopwatch("cpu"))
        return np.concatenate(list(animator.decode(latents.clean)))


def all_there(folder):
    """The animator with all its weights on the accelerator."""
    animator = Animator(load_model(folder))
    with accelerated():
        for part in animator.model.parts.values():
            part.to(ELSEWHERE)
    return animator


def there_of(part):
    """The names of the weights that are on the accelerator."""
    return {name for name, weight in part.named_parameters() if is_there(weight)}


def convolutions(part):
    return [each for each in part.modules() if isinstance(each, torch.nn.Conv2d)]


def test_a_model_whose_parts_wait_makes_the_same_video(case, accelerator):
    folder, picture, dance = case
    expected = frames_of(all_there(folder), picture, dance)
    animator = Animator(load_model(folder))
    with accelerated():
        animator.enable_model_cpu_offload(accelerator)
    assert animator.device == accelerator
    together = []
    for name, part in animator.model.parts.items():

        def look(*_, name=name):
            at_work = {n for n, other in animator.model.parts.items() if there_of(other)}
            together.append((name, at_work))

        for layer in convolutions(part):
            layer.register_forward_pre_hook(look)
    assert np.array_equal(frames_of(animator, picture, dance), expected)
    assert {name for name, _ in together} == set(animator.model.parts)
    assert all(at_work == {name} for name, at_work in together)


def test_a_model_whose_layers_wait_makes_the_same_video(case, accelerator, monkeypatch):
    folder, picture, dance = case
    expected = frames_of(all_there(folder), picture, dance)
    animator = Animator(load_model(folder))
    with accelerated():
        animator.enable_group_offload(accelerator)
    network, most = animator.model.parts["unet"], []
    convolve = torch.nn.Conv2d._conv_forward

    def look(layer, *given):
        most.append(len(there_of(network)))
        return convolve(layer, *given)

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", look)
    assert np.array_equal(frames_of(animator, picture, dance), expected)
    assert 0 < max(most) < len(list(network.parameters())) / 4
    assert not any(there_of(part) for part in animator.model.parts.values())


def test_weights_of_a_student_in_half_precision_can_wait(
    model_folders, picture, dance, accelerator
):
    half = Animator(load_model(model_folders / "student", dtype=torch.bfloat16))
    with accelerated():
        half.enable_model_cpu_offload(accelerator)
    assert frames_of(half, picture, dance(3)).shape == (3, 64, 64, 3)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
@pytest.mark.parametrize("offload", ["model", "group"])
def test_offload_without_an_accelerator_is_refused(model_folders, offload, tmp_path, capsys):
    folder = model_folders / "student"
    with pytest.raises(ValueError, match="where it saves nothing"):
        Animator.from_pretrained(folder, memory=Memory(offload=offload))
    animator = Animator.from_pretrained(folder)
    with pytest.raises(ValueError, match="where it saves nothing"):
        animator.enable_model_cpu_offload()
    assert animator.model.place is None
    for name in ("picture.png", "dance.npz"):
        (tmp_path / name).write_bytes(b"")
    words = ["animate", str(tmp_path / "picture.png"), str(tmp_path / "dance.npz")]
    words += ["-o", str(tmp_path / "out.mp4"), "--model", str(folder), "--offload", offload]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "where it saves nothing" in told
    assert told.count("\n") == 1


def test_offload_is_switched_on_once(model_folders, accelerator):
    animator = Animator(load_model(model_folders / "student"))
    with accelerated():
        animator.enable_model_cpu_offload(accelerator)
    with pytest.raises(ValueError, match="offload is on already"):
        animator.enable_group_offload(accelerator)


def test_frames_decoded_one_by_one_are_the_same_but_for_rounding(case):
    folder, picture, dance = case
    animator = Animator.from_pretrained(folder)
    expected = animator(picture, dance).frames
    calls = []
    animator.model.vae.decoder.register_forward_pre_hook(
        lambda _, given: calls.append(len(given[0]))
    )
    animator.enable_vae_slicing()
    sliced = animator(picture, dance).frames
    assert np.abs(sliced.astype(int) - expected).max() <= 1
    assert (sliced != expected).mean() < 1e-3
    assert calls == [1] * 6
    animator.disable_vae_slicing()
    animator(picture, dance)
    assert calls[6:] == [6]


def test_tiles_change_the_built_in_model_s_pictures_a_little(clip):
    """Mean change of a byte on the built-in autoencoder; `docs/results/memory.md` has more."""
    animator = Animator.from_pretrained("dancer")
    expected = animator(clip / "reference.png", clip, num_inference_steps=2).frames
    sizes = []
    animator.model.vae.decoder.register_forward_pre_hook(
        lambda _, given: sizes.append(given[0].shape[-1])
    )
    animator.enable_vae_tiling()
    tiled = animator(clip / "reference.png", clip, num_inference_steps=2).frames
    assert max(sizes) == 8
    apart = np.abs(tiled.astype(int) - expected)
    assert 0 < apart.mean() < 4
    animator.disable_vae_tiling()
    again = animator(clip / "reference.png", clip, num_inference_steps=2).frames
    assert np.array_equal(again, expected)


@pytest.mark.parametrize(("tile", "message"), [(None, "has no effect"), (100, "multiple of 64")])
def test_tiles_without_effect_are_refused(model_folders, tile, message):
    animator = Animator.from_pretrained(model_folders / "student")
    with pytest.raises(ValueError, match=message):
        animator.enable_vae_tiling(tile)


@pytest.mark.gpu
@pytest.mark.parametrize("offload", ["model", "group"])
def test_offload_on_an_accelerator_saves_memory(clip, offload):
    device = torch.accelerator.current_accelerator()
    assert device is not None
    videos, peaks = [], []
    for memory in (Memory(), Memory(offload=offload)):
        animator = Animator.from_pretrained("dancer", device=device, memory=memory)
        torch.accelerator.reset_peak_memory_stats()
        videos.append(animator(clip / "reference.png", clip).frames)
        peaks.append(torch.accelerator.max_memory_allocated())
        del animator
    assert np.array_equal(*videos)
    assert peaks[1] < peaks[0]
