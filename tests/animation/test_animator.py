import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from quickstep import Animator
from quickstep.animation.driving import read_driving
from quickstep.animation.telling import encode_picture
from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.video import write_video
from quickstep.networks.clip import image_embedding
from quickstep.networks.extension import extended
from quickstep.networks.unianimate import UniAnimateConditions


@pytest.fixture(scope="module")
def student(model_folders):
    return Animator.from_pretrained(model_folders / "student")


@pytest.fixture(scope="module")
def teacher(model_folders):
    return Animator.from_pretrained(model_folders / "teacher")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_picture_dances(student, picture, dance):
    animation = student(picture, dance(4), generator=seeded(0))
    assert animation.frames.shape == animation.skeletons.shape == (4, 64, 64, 3)
    assert animation.frames.dtype == np.uint8
    assert animation.fps == 12.0
    assert animation.num_evaluations == 2
    assert set(animation.timings) == {"load", "conditions", "denoise", "decode"}
    assert animation.skeletons.any()


def test_a_student_that_is_told_its_edge_takes_one_step(student, picture, dance):
    """One step over two segments, window by window, with no warning of blur."""
    network = extended(copy.deepcopy(student.model.network), told_edge=True)
    for parameter in network.edge_embed.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    settings = replace(student.settings, told_edge=True, steps_allowed=())
    told = Animator(replace(student.model, network=network, settings=settings))
    animation = told(picture, dance(6), num_inference_steps=1)
    with pytest.warns(UserWarning, match="blurs|trained for"):
        plain = student(picture, dance(6), num_inference_steps=1)
    assert animation.num_evaluations == plain.num_evaluations
    assert (animation.frames != plain.frames).any()


def test_one_seed_is_one_video(student, picture, dance):
    first, again, other = (
        student(picture, dance(4), generator=seeded(seed)).frames for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_the_default_seed_is_zero(student, picture, dance):
    frames = student(picture, dance(2)).frames
    assert (frames == student(picture, dance(2), generator=seeded(0)).frames).all()


def test_a_video_does_not_depend_on_what_was_made_before(student, picture, dance):
    alone = student(picture, dance(3)).frames
    student(255 - picture, dance(6))
    assert (student(picture, dance(3)).frames == alone).all()


def test_the_picture_the_dance_and_its_pose_are_heard(student, picture, dance):
    base = student(picture, dance(4)).frames
    moved = replace(dance(4), keypoints=dance(4).keypoints[::-1] + 3)
    assert (student(255 - picture, dance(4)).frames != base).any()
    assert (student(picture, moved).frames != base).any()
    assert (student(picture, dance(4), reference_pose=None).frames != base).any()


def test_one_frame_makes_one_frame(student, picture, dance):
    assert student(picture, dance(1)).frames.shape[0] == 1


def test_a_long_dance_goes_through_windows(student, picture, dance):
    animation = student(picture, dance(11))
    assert animation.frames.shape[0] == 11
    assert animation.num_evaluations == 2 * 4


def test_windows_alike_leave_no_seam(student, picture, dance, monkeypatch):
    """Where every window predicts the same, the blend is that prediction everywhere."""
    constant = torch.full((1, 1, 4, 1, 1), 0.3)
    monkeypatch.setattr(
        student.denoiser.network, "forward", lambda noisy, t, features: -constant + 0 * noisy
    )
    seen = []
    student(
        picture,
        dance(11),
        num_inference_steps=2,
        callback_on_step_end=lambda *given: seen.append(given[3]["clean"]),
    )
    assert seen[0].std() < 1e-6


def test_guidance_evaluates_twice(teacher, picture, dance):
    guided = teacher(picture, dance(2))
    plain = teacher(picture, dance(2), guidance_scale=1.0)
    assert (guided.num_evaluations, plain.num_evaluations) == (6, 3)
    assert (guided.frames != plain.frames).any()
    upstream = teacher(picture, dance(2), times="upstream", num_inference_steps=4)
    assert upstream.num_evaluations == 8


def upstream_loop(animator, scene, *, seed, num_steps, guidance):
    """UniAnimate's procedure written out: one generator, windows, means, DDIM by the noise."""
    model, frames = animator.model, scene.num_frames
    torch.manual_seed(seed)
    picture = torch.from_numpy(scene.reference).permute(2, 0, 1)[None] / 127.5 - 1
    posterior = model.vae.encode(picture).latent_dist
    latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape)
    latents = latents * model.vae.config["scaling_factor"]
    noise = torch.randn(1, latents.shape[1], frames, *latents.shape[2:])
    noise = noise + 0.1 * torch.randn(1, latents.shape[1], frames, 1, 1)
    alpha_bar = model.schedule.alpha_bar
    prior = alpha_bar[939 if frames > 4 else 949]
    reference = latents[:, :, None].expand_as(noise)
    x = prior.sqrt().float() * reference + (1 - prior).sqrt().float() * noise
    drawn = torch.from_numpy(scene.skeletons())[None].permute(0, 1, 4, 2, 3) / 255
    own = torch.from_numpy(scene.reference_skeleton()).permute(2, 0, 1)[None] / 255
    starts = [0] if frames <= 4 else [*range(0, frames - 4, 3), frames - 4]
    stride = 1000 // num_steps
    for t in reversed(range(1, 1001, stride)):
        total, cover = torch.zeros_like(x), torch.zeros(frames)
        for start in starts:
            part = slice(start, start + 4)
            told = UniAnimateConditions(
                image=image_embedding(model.image_encoder, picture),
                reference=latents,
                pose=drawn[:, part],
                reference_pose=own,
            )
            known = model.network.encode(told)
            noisy, at = x[:, :, part].transpose(1, 2), torch.tensor([t])
            v, u = (model.network(noisy, at, each) for each in (known, known.dropped()))
            total[:, :, part] += (u + guidance * (v - u)).transpose(1, 2)
            cover[part] += 1
        v = total / cover[:, None, None]
        now, then = alpha_bar[t], alpha_bar[max(t - stride, 0)]
        clean = now.sqrt().float() * x - (1 - now).sqrt().float() * v
        eps = ((1 / now).sqrt().float() * x - clean) / (1 / now - 1).sqrt().float()
        x = then.float().sqrt() * clean + (1 - then.float()).sqrt() * eps
    return x.transpose(1, 2)


@pytest.mark.parametrize("num_frames", [4, 9])
@torch.no_grad()
def test_everything_as_upstream_is_upstreams_video(teacher, picture, dance, num_frames):
    """Noise, prior, windows, blend and sampler as UniAnimate's code has them."""
    scene = teacher.scene(picture, dance(num_frames))
    plan = teacher.plan(
        num_steps=5, times="upstream", noise_prior=True, upstream_noise=True, blend="mean"
    )
    latents = teacher.denoise(scene, plan=plan, generator=seeded(7))
    expected = upstream_loop(teacher, scene, seed=7, num_steps=5, guidance=2.0)
    torch.testing.assert_close(latents.clean, expected, atol=2e-4, rtol=1e-4)
    ours = teacher.denoise(scene, plan=teacher.plan(num_steps=5), generator=seeded(7))
    assert (ours.clean - expected).abs().mean() > 0.01


def test_the_picture_as_first_frame_is_another_condition(teacher, picture, dance):
    plain, first = (
        teacher(picture, dance(4), first_frame=mode, generator=seeded(0)).frames
        for mode in (False, True)
    )
    assert (plain != first).any()
    everywhere = replace(teacher.settings, reference_everywhere=True)
    with pytest.raises(ValueError, match="first_frame is for a model"):
        Animator(replace(teacher.model, settings=everywhere)).plan(first_frame=True)


@torch.no_grad()
def test_the_first_frame_takes_the_references_place(teacher, picture, dance):
    """UniAnimate's other mode: the network is not told the reference's latents."""
    scene = teacher.scene(picture, dance(4))
    encoded = encode_picture(
        teacher.model, scene, plan=teacher.plan(first_frame=True), generator=seeded(0)
    )
    assert set(encoded.told) == {"image", "first_frame", "reference_pose"}
    assert encoded.told["first_frame"].min() >= 0
    normal = encode_picture(teacher.model, scene, plan=teacher.plan(), generator=seeded(0))
    assert set(normal.told) == {"image", "reference", "reference_pose"}


def test_each_step_calls_back_with_a_preview(student, picture, dance):
    seen = []

    def look(animator, step, t, tensors):
        seen.append((step, t, next(animator.decode(tensors["clean"])).shape))

    student(picture, dance(3), callback_on_step_end=look)
    assert seen == [(0, 999, (3, 64, 64, 3)), (1, 499, (3, 64, 64, 3))]


def test_progress_is_reported(student, picture, dance):
    seen = []
    student(picture, dance(6), report=lambda *given: seen.append(given))
    assert seen[:4] == [("denoise", n, 4) for n in (1, 2, 3, 4)]
    assert seen[-1] == ("decode", 6, 6)


def test_decoding_in_chunks_changes_nothing(student, picture, dance, monkeypatch):
    whole = student(picture, dance(5)).frames
    monkeypatch.setattr("quickstep.animation.levers.CPU_PIXELS", 2 * 64 * 64)
    np.testing.assert_allclose(student(picture, dance(5)).frames.astype(int), whole, atol=1)


def test_a_saved_model_makes_the_same_video(student, picture, dance, tmp_path):
    student.save_pretrained(tmp_path / "copy")
    copy = Animator.from_pretrained(tmp_path / "copy")
    assert (copy(picture, dance(3)).frames == student(picture, dance(3)).frames).all()


def test_a_network_in_half_precision_runs(model_folders, picture, dance):
    animator = Animator.from_pretrained(model_folders / "student", dtype=torch.bfloat16)
    assert animator(picture, dance(2)).frames.shape == (2, 64, 64, 3)


def test_a_known_pose_aligns_the_dance(student, picture, dance):
    small = dance(1).moved(scale=0.5, offset=(0.0, 4.0), size=(30, 40))
    free = student.scene(picture, dance(3), reference_pose=small, align=False)
    fitted = student.scene(picture, dance(3), reference_pose=small)
    height = [np.ptp(scene.poses.keypoints[0, :17, 1]) for scene in (free, fitted)]
    own = np.ptp(fitted.reference_pose.keypoints[0, :17, 1])
    assert abs(height[1] - own) < 0.3 * abs(height[0] - own)


def test_a_clip_folder_knows_the_pose_of_its_reference(student, picture, dance, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        dance(3).write(tmp_path / name / "skeletons.npz")
        dance(5)[4].write(tmp_path / name / "reference_skeleton.npz")
        Image.fromarray(picture).resize((64, 64)).save(tmp_path / name / "reference.png")
    own = student.scene(tmp_path / "a" / "reference.png", tmp_path / "a")
    np.testing.assert_allclose(own.reference_pose.keypoints, dance(5)[4].keypoints)
    np.testing.assert_allclose(own.poses.keypoints, dance(3).keypoints, atol=1e-4)
    other = student.scene(tmp_path / "a" / "reference.png", tmp_path / "b")
    np.testing.assert_allclose(other.reference_pose.keypoints, dance(5)[4].keypoints)


def test_the_dance_keeps_its_place_in_a_picture_of_its_shape(student, dance):
    scene = student.scene(np.eye(100), dance(3))
    np.testing.assert_allclose(scene.poses.keypoints, dance(3).keypoints, atol=1e-3)
    np.testing.assert_allclose(scene.reference_pose.keypoints, dance(1).keypoints, atol=1e-3)


def test_a_dance_is_read_from_files_of_every_kind(dance, tmp_path):
    big = dance(3).moved(scale=4.0, offset=(0.0, 0.0), size=(256, 256))
    big.write(tmp_path / "dance.npz")
    drawn = draw_skeletons(big, size=(256, 256), style="dwpose")
    write_video(tmp_path / "dance.mp4", drawn, fps=12.0)
    (tmp_path / "pictures").mkdir()
    for number, frame in enumerate(drawn):
        Image.fromarray(frame).save(tmp_path / "pictures" / f"{number:04d}.png")
    for source in ("dance.npz", "dance.mp4", "pictures"):
        poses = read_driving(tmp_path / source).poses
        assert len(poses) == 3
        shoulders = poses.keypoints[:, 5:7]
        np.testing.assert_allclose(shoulders, big.keypoints[:, 5:7], atol=3)


def test_what_is_no_dance_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("one two three")
    (tmp_path / "fake.mp4").write_text("not a video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_driving(tmp_path / "nowhere")
    for name in ("notes.txt", "fake.mp4", "empty"):
        with pytest.raises(ValueError, match=name) as caught:
            read_driving(tmp_path / name)
        assert "\n" not in str(caught.value)
