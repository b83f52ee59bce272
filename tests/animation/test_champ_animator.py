"""Champ's family from a folder of maps, a clip folder or a body to a video."""

import dataclasses
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from quickstep.animation.animator import Animator
from quickstep.animation.map_driving import MapDriving, read_map_driving
from quickstep.animation.pictures import Fit
from quickstep.animation.shown_maps import PICTURES_FPS, HeldMaps
from quickstep.apps.cli import main
from quickstep.conditions.body import read_body
from quickstep.data.body_maps import write_body_maps
from quickstep.data.image import write_image
from quickstep.diffusion.noise import draw_noise
from quickstep.evaluation.makers import ModelMaker
from quickstep.evaluation.sample import SampleError
from quickstep.evaluation.samples import open_samples
from quickstep.networks.champ import POSE_MAPS, ChampConditions
from quickstep.networks.clip import image_embedding
from quickstep.networks.folder import load_model

FRAMES = 6


def maps_of(source, names=POSE_MAPS):
    """All pictures of a dance's maps by name."""
    maps = read_map_driving(source, names=names).maps
    return maps.at(list(range(maps.num_frames)), names)


@pytest.fixture(scope="module")
def maps_folder(clip, tmp_path_factory):
    """The clip's maps as Champ has them: a folder of pictures for each."""
    home = tmp_path_factory.mktemp("maps") / "dance"
    write_body_maps(read_body(clip / "body.npz"), home, layout="pictures", with_skeleton=False)
    skeletons = maps_of(clip, ["dwpose"])["dwpose"]
    (home / "dwpose").mkdir()
    for number, frame in enumerate(skeletons):
        write_image(home / "dwpose" / f"{number}.png", frame)
    return home


def test_a_clip_folder_dances_over_windows_with_one_look_at_the_picture(champ, clip):
    animator = Animator.from_pretrained(champ)
    looks = []
    animator.model.network.reference_unet.register_forward_hook(lambda *_: looks.append(1))
    animation = animator(clip / "reference.png", clip)
    assert animation.frames.shape == (FRAMES, 64, 64, 3)
    assert animation.num_evaluations == 3 * 2 * 2  # steps, windows, branches of guidance
    assert looks == [1]
    again = animator(clip / "reference.png", clip)
    assert np.array_equal(again.frames, animation.frames)
    assert np.array_equal(animation.skeletons, maps_of(clip)["dwpose"])
    unguided = animator(clip / "reference.png", clip, guidance_scale=1.0, num_inference_steps=1)
    assert unguided.num_evaluations == 2


def test_two_animations_at_once_are_what_each_is_alone(champ, clip):
    """Two threads on one model, which meet after every step, beside a model for each alone."""
    shared = Animator.from_pretrained(champ)
    pictures = [np.random.default_rng(seed).integers(0, 255, (64, 64, 3)) for seed in (0, 1)]

    def animated(animator, picture, seed, meet=None):
        return animator(
            picture.astype(np.uint8),
            clip,
            num_inference_steps=3,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=meet,
        ).frames

    alone = [
        animated(Animator.from_pretrained(champ), picture, seed)
        for seed, picture in enumerate(pictures)
    ]
    barrier = threading.Barrier(2, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(animated, shared, picture, seed, lambda *_: barrier.wait())
            for seed, picture in enumerate(pictures)
        ]
        together = [run.result() for run in runs]
    assert not np.array_equal(alone[0], alone[1])
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


@torch.no_grad()
def upstream_loop(animator, scene, noise, *, num_steps):
    """Champ's procedure written out: linear betas, windows round the end, means, DDIM."""
    model, frames = animator.model, scene.num_frames
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)
    root = (1 - betas).cumprod(0).sqrt()
    alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
    picture = torch.from_numpy(scene.reference).permute(2, 0, 1)[None] / 127.5 - 1
    factor = model.vae.config["scaling_factor"]
    latents = model.vae.encode(picture).latent_dist.mean * factor
    maps = torch.from_numpy(scene.pose_maps())[None].permute(0, 1, 2, 5, 3, 4) / 255
    image = image_embedding(model.image_encoder, picture)
    x, stride = noise, 1000 // num_steps
    for t in range(999, -1, -stride):
        total, cover = torch.zeros_like(x), torch.zeros(frames)
        for start in range(0, frames, 3):
            part = [frame % frames for frame in range(start, start + 4)]
            told = ChampConditions(image=image, reference=latents, pose_maps=maps[:, part])
            known, at = model.network.encode(told), torch.tensor([t])
            c, u = (model.network(x[:, part], at, each) for each in (known, known.dropped()))
            total[:, part] += u + 2.0 * (c - u)
            cover[part] += 1
        v = total / cover[:, None, None, None]
        now = alpha_bar[t].float()
        then = (alpha_bar[t - stride] if t >= stride else torch.ones(())).float()
        clean = now.sqrt() * x - (1 - now).sqrt() * v
        eps = now.sqrt() * v + (1 - now).sqrt() * x
        x = then.sqrt() * clean + (1 - then).sqrt() * eps
    return x


def test_everything_as_upstream_is_upstreams_video(champ, clip):
    """Betas, windows and means as Champ's code has them, through the animator."""
    animator = Animator.from_pretrained(champ)
    scene = animator.scene(clip / "reference.png", clip)
    plan = animator.plan(num_steps=4, blend="loop", betas="linear")
    latents = animator.denoise(scene, plan=plan, generator=torch.Generator().manual_seed(3))
    noise = draw_noise((1, FRAMES, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    expected = upstream_loop(animator, scene, noise, num_steps=4)
    torch.testing.assert_close(latents.clean, expected, atol=2e-4, rtol=1e-4)
    assert latents.num_evaluations == 4 * 2 * 2


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_student_needs_no_guidance(champ, clip, steps):
    teacher = load_model(champ)
    settings = dataclasses.replace(
        teacher.settings,
        role="student",
        sampler="segment",
        segments=4,
        steps_allowed=(1, 2, 4),
        guidance=1.0,
    )
    animator = Animator(dataclasses.replace(teacher, settings=settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer steps than segments are wanted here
        animation = animator(clip / "reference.png", clip, num_inference_steps=steps)
    assert animation.frames.shape == (FRAMES, 64, 64, 3)
    assert animation.num_evaluations == 2 * steps


def test_a_champ_in_half_precision_runs(champ, clip):
    animator = Animator.from_pretrained(champ, dtype=torch.bfloat16)
    animation = animator(clip / "reference.png", clip, num_inference_steps=1)
    exact = Animator.from_pretrained(champ)(clip / "reference.png", clip, num_inference_steps=1)
    apart = np.abs(animation.frames.astype(int) - exact.frames).mean()
    assert 0 < apart < 8


def test_every_map_and_the_picture_are_heard(champ, clip):
    animator = Animator.from_pretrained(champ)
    dance = read_map_driving(clip, names=POSE_MAPS)
    held = dance.maps
    assert isinstance(held, HeldMaps), "a clip folder's"
    reference = np.zeros((64, 64, 3), np.uint8)
    reference[20:] = 60

    def shown(image, dance):
        return animator(image, dance, num_inference_steps=1).frames

    plain = shown(reference, dance)
    for name in POSE_MAPS:
        pictures = {**held.pictures, name: 255 - held.pictures[name]}
        other = dataclasses.replace(dance, maps=HeldMaps(pictures))
        assert not np.array_equal(shown(reference, other), plain), name
    assert not np.array_equal(shown(255 - reference, dance), plain)


def test_maps_in_a_folder_are_read_as_champ_stores_them(clip, maps_folder):
    fps = [read_map_driving(source, names=POSE_MAPS).fps for source in (maps_folder, clip)]
    assert fps == [PICTURES_FPS, 12.0]
    stored, truth = maps_of(maps_folder), maps_of(clip)
    assert list(stored) == list(POSE_MAPS)
    assert np.array_equal(stored["dwpose"], truth["dwpose"])
    body, known = stored["semantic_map"].any(-1), truth["semantic_map"].any(-1)
    assert (body & known).sum() > 0.9 * (body | known).sum()
    mask = maps_folder / "mask" / "0000.png"
    write_image(mask, np.zeros((64, 64, 3), np.uint8))
    assert not maps_of(maps_folder)["semantic_map"][0].any()


def test_maps_may_be_transparent_where_nobody_is(clip, maps_folder, tmp_path):
    stored = maps_of(maps_folder, ["normal"])["normal"]
    (tmp_path / "normal").mkdir()
    for number, frame in enumerate(stored):
        opaque = 255 * frame.any(axis=-1, keepdims=True).astype(np.uint8)
        picture = Image.fromarray(np.concatenate([frame, opaque], axis=-1))
        picture.save(tmp_path / "normal" / f"{number}.png")
    np.testing.assert_array_equal(maps_of(tmp_path, ["normal"])["normal"], stored)


def test_a_body_dances_too(champ, clip):
    animator = Animator.from_pretrained(champ)
    animation = animator(clip / "reference.png", clip / "body.npz", num_inference_steps=1)
    assert animation.frames.shape == (FRAMES, 64, 64, 3)
    shown, known = (maps_of(one)["normal"].any(-1) for one in (clip / "body.npz", clip))
    assert (shown & known).sum() > 0.9 * (shown | known).sum()


def test_maps_keep_their_proportions_in_another_picture():
    maps = {"depth": np.full((1, 20, 10, 3), 200, np.uint8)}
    fit = Fit.centred((10, 20), outer=(40, 40))
    placed = MapDriving(HeldMaps(maps), fps=8.0).placed(["depth"], fit)
    assert placed.shape == (1, 1, 40, 40, 3)
    assert (placed[0, 0, :, 10:30] == 200).all()
    assert not placed[0, 0, :, :10].any() and not placed[0, 0, :, 30:].any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda home: shutil.rmtree(home / "normal"), "lacks normal: a folder of maps has depth"),
        (lambda home: shutil.rmtree(home / "mask"), "lacks mask"),
        (lambda home: (home / "depth" / "0005.png").unlink(), "same frames: got depth 5, normal 6"),
        (lambda home: (home / "depth" / "0003.png").unlink(), "between 0002.png and 0004.png"),
        (lambda home: _clear(home / "dwpose"), "there is no picture in it"),
        (
            lambda home: [_picture(path, 32) for path in (home / "normal").iterdir()],
            r"same pixels: got depth \(64, 64\), normal \(32, 32\)",
        ),
        (lambda home: _picture(home / "normal" / "0002.png", 32), "normal: its pictures differ"),
    ],
)
def test_maps_that_do_not_go_together_are_named(maps_folder, tmp_path, spoil, message):
    home = shutil.copytree(maps_folder, tmp_path / "dance")
    spoil(home)
    with pytest.raises(ValueError, match=message):
        read_map_driving(home, names=POSE_MAPS)


def _clear(folder):
    for path in folder.iterdir():
        path.unlink()


def _picture(path, side):
    write_image(path, np.zeros((side, side, 3), np.uint8))


def test_what_a_champ_cannot_be_told_is_refused(champ, clip, dance, tmp_path, capsys):
    animator = Animator.from_pretrained(champ)
    with pytest.raises(ValueError, match="keypoints alone do not have"):
        animator(clip / "reference.png", dance(3))
    with pytest.raises(ValueError, match="reference_pose has no effect"):
        animator(clip / "reference.png", clip, reference_pose=None)
    with pytest.raises(ValueError, match="first_frame is for a model of the family"):
        animator(clip / "reference.png", clip, first_frame=True)
    dance(3).write(tmp_path / "dance.npz")
    with pytest.raises(ValueError, match="give a folder of depth, normal, semantic_map, dwpose"):
        animator(clip / "reference.png", tmp_path / "dance.npz")
    (clip.parent / "bad").mkdir()
    out = tmp_path / "out.mp4"
    code = main(
        ["animate", str(clip / "reference.png"), str(clip.parent / "bad"), "-o", str(out)]
        + ["--model", str(champ), "--device", "cpu"]
    )
    assert code == 2 and not out.exists()
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "lacks depth, normal" in lines[0]


def test_the_command_makes_a_video_from_maps(champ, clip, maps_folder, tmp_path):
    out, compare = tmp_path / "out.mp4", tmp_path / "compare.mp4"
    code = main(
        ["animate", str(clip / "reference.png"), str(maps_folder), "-o", str(out)]
        + ["--compare", str(compare), "--model", str(champ), "--steps", "2", "--device", "cpu"]
        + ["--blend", "loop", "--betas", "linear"]
    )
    assert code == 0 and out.is_file() and compare.is_file()


def test_a_champ_is_judged_as_other_models_are(champ, clip):
    maker = ModelMaker(Animator.from_pretrained(champ), "digest", steps=1)
    sample = open_samples(clip).read(clip.name).every(2)
    made = maker.make(sample)
    assert made.frames.shape == (FRAMES // 2, 64, 64, 3)
    with pytest.raises(SampleError, match="needs pose maps: none are given"):
        maker.make(dataclasses.replace(sample, pose_maps=None))
