from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from quickstep.evaluation.features import (
    EXTRACTORS,
    PAIR_DISTANCES,
    FrameFeatures,
    LpipsDistance,
    WindowFeatures,
    load_extractor,
    load_pair_distance,
)
from quickstep.evaluation.frechet import frechet_distance
from quickstep.networks.features import InceptionI3d, InceptionV3, Lpips, ResNet3d
from quickstep.networks.features.i3d import fvd_frames
from quickstep.networks.features.resnet3d import MEAN_COLOUR, fid_vid_frames

PUBLISHED = {
    "inception-fid": (InceptionV3, "pt_inception-2015-12-05-6726825d.pth", "fid", 2048),
    "resnet3d-fid-vid": (ResNet3d, "resnet-50-kinetics.pth", "fid_vid", 2048),
    "i3d-fvd": (InceptionI3d, "i3d_pretrained_400.pt", "fvd", 400),
}


def random_frames(num, height=40, width=32, seed=0):
    return np.random.default_rng(seed).integers(256, size=(num, height, width, 3), dtype=np.uint8)


def save_empty(path, build, **values):
    """A file of zeros, small because each weight is one number repeated; `values` replace some."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in build().state_dict().items()}
    state = {
        key: torch.zeros(1).expand(shape) if shape else torch.tensor(0)
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save({**state, **values}, path)
    return path


class Colours(nn.Module):
    """Mean colour of each frame, in place of a network."""

    verified = False

    def forward(self, pictures):
        return pictures.mean(dim=(-1, -2)).flatten(1)


def colours_of(frames):
    return torch.from_numpy(frames.mean(axis=(1, 2))).float()


@pytest.fixture
def frame_features():
    return FrameFeatures(
        name="frames",
        metric="toy",
        sha256="",
        network=Colours(),
        device=torch.device("cpu"),
        batch=4,
        prepare=lambda frames: frames.float(),
    )


@pytest.fixture
def window_features():
    return WindowFeatures(
        name="windows",
        metric="toy",
        sha256="",
        network=Colours(),
        device=torch.device("cpu"),
        batch=3,
        prepare=lambda frames: frames.float(),
        window=5,
    )


def test_features_of_frames_come_in_order(frame_features):
    frames = random_frames(10)
    torch.testing.assert_close(frame_features(frames), colours_of(frames))
    assert not frame_features.verified
    with pytest.raises(ValueError, match="frames needs clips of 1 frames or more: got 0"):
        frame_features(frames[:0])


@pytest.mark.parametrize("stride", [1, 2, 5, 7])
def test_every_window_that_fits(window_features, stride):
    frames = random_frames(19)
    features = replace(window_features, window_stride=stride)(frames)
    colours = colours_of(frames)
    expected = [colours[start : start + 5].T.flatten() for start in range(0, 15, stride)]
    torch.testing.assert_close(features, torch.stack(expected))


def test_a_clip_of_one_window_and_one_too_short(window_features):
    assert window_features(random_frames(5)).shape == (1, 15)
    with pytest.raises(ValueError, match="windows needs clips of 5 frames or more: got 4"):
        window_features(random_frames(4))
    for field in ("window", "window_stride"):
        with pytest.raises(ValueError, match="must be at least 1: got"):
            replace(window_features, **{field: 0})


def test_a_frame_is_prepared_once(window_features):
    seen = []

    def prepare(frames):
        seen.extend(frames[:, 0, 0, 0].tolist())
        return frames.float()

    frames = (
        np.zeros((12, 4, 4, 3), dtype=np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None]
    )
    replace(window_features, prepare=prepare)(frames)
    assert seen == list(range(12))


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_what_is_held_at_once_changes_nothing(frame_features, window_features, batch):
    frames = random_frames(13)
    for extract in (frame_features, window_features):
        torch.testing.assert_close(replace(extract, batch=batch)(frames), extract(frames))


def test_whole_clips_are_one_row(window_features):
    frames = random_frames(12)
    colours = colours_of(frames)
    whole = replace(window_features, whole_clips=True)
    torch.testing.assert_close(whole(frames), colours.T.reshape(1, -1))
    cut = replace(whole, cuts_whole_clips=True)
    filled = torch.cat([colours, colours[-1:].expand(3, -1)])
    expected = filled.unflatten(0, (3, 5)).mean(dim=0).T.reshape(1, -1)
    torch.testing.assert_close(cut(frames), expected)
    assert cut.spans(3) == [[0, 1, 2, 2, 2]]


def test_views_of_arrays_are_read_as_they_look(frame_features):
    frames = random_frames(6)
    swapped = frames[::-1, :, ::-1, ::-1]
    assert torch.equal(frame_features(swapped), frame_features(swapped.copy()))


@pytest.mark.parametrize("size", [(256, 256), (96, 64), (60, 300), (224, 224)])
def test_videos_are_squashed_by_the_bicubic_filter_of_pil(size):
    frame = random_frames(1, *size)[0]

    def resized(side):
        planes = [Image.fromarray(frame[..., colour].astype(np.float32)) for colour in range(3)]
        squares = [plane.resize((side, side), Image.Resampling.BICUBIC) for plane in planes]
        return np.stack([np.asarray(square) for square in squares])

    frames = torch.from_numpy(frame).movedim(-1, 0)[None]
    for prepared, expected in (
        (fvd_frames(frames), resized(224) / 127.5 - 1),
        (fid_vid_frames(frames), resized(112) - np.array(MEAN_COLOUR)[:, None, None]),
    ):
        np.testing.assert_allclose(prepared[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_extractors_from_their_files(tmp_path, name):
    build, file, metric, width = PUBLISHED[name]
    last = {
        "inception-fid": ("Mixed_7c.branch1x1.bn.bias", 320),
        "resnet3d-fid-vid": ("layer4.2.bn3.bias", 2048),
        "i3d-fvd": ("logits.conv3d.bias", 400),
    }[name]
    values = torch.arange(last[1]).float()
    # The first digits in the public name are of another file than this one.
    path = tmp_path / file.replace("-6726825d", "")
    save_empty(path, build, **{last[0]: values})
    extract = load_extractor(name, path)
    assert (extract.name, extract.metric, len(extract.sha256)) == (name, metric, 64)
    assert extract.verified
    features = extract(random_frames(2 if name == "inception-fid" else 17))
    assert features.shape == (2, width)
    torch.testing.assert_close(features[0, : last[1]], values)
    torch.testing.assert_close(features, features[:1].expand_as(features))
    assert frechet_distance(features, features) == 0
    if name != "inception-fid":
        with pytest.raises(ValueError, match=f"{name} needs clips of 16 frames or more: got 15"):
            extract(random_frames(15))


def test_every_published_network_is_marked_verified():
    """Their own tests hold each of them to recorded outputs."""
    assert all(network.verified for network in (InceptionI3d, InceptionV3, Lpips, ResNet3d))


def test_no_number_of_wrong_weights(tmp_path):
    path = save_empty(tmp_path / "i3d_pretrained_400.pt", InceptionI3d)
    digest = load_extractor("i3d-fvd", tmp_path).sha256
    assert load_extractor("i3d-fvd", path, sha256=digest).sha256 == digest
    with pytest.raises(ValueError, match=r"i3d_pretrained_400\.pt: its sha256 is .* 1234567890"):
        load_extractor("i3d-fvd", path, sha256="1234567890")
    with pytest.raises(ValueError, match=r"missing weights \(conv1\.weight, .* unknown weights"):
        load_extractor("resnet3d-fid-vid", path)
    with pytest.raises(ValueError, match=r"the folder has no resnet-50-kinetics\.pth"):
        load_extractor("resnet3d-fid-vid", tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_extractors_need_weights(name):
    with pytest.raises(ValueError, match=f"{name} needs weights: the file {PUBLISHED[name][1]}"):
        load_extractor(name)


def test_names_that_there_are_not():
    with pytest.raises(ValueError, match="no extractor 'fvd': there are inception-fid, "):
        load_extractor("fvd", "a.pt")
    with pytest.raises(ValueError, match="no distance of pairs 'lpips': there are lpips_vgg, "):
        load_pair_distance("lpips", "a.pt")
    assert {"dancer-frame", "dancer-video", *PUBLISHED} == set(EXTRACTORS)
    assert set(PAIR_DISTANCES) == {"lpips_vgg", "lpips_alex", "lpips_disco", "dancer_perceptual"}


def test_options_without_effect_are_refused():
    with pytest.raises(ValueError, match="inception-fid takes no whole_clips"):
        load_extractor("inception-fid", "a.pt", whole_clips=True)
    for name in ("dancer-frame", "dancer-video"):
        with pytest.raises(ValueError, match=f"{name} brings its own weights"):
            load_extractor(name, "a.pt")
    with pytest.raises(ValueError, match="dancer_perceptual brings its own weights"):
        load_pair_distance("dancer_perceptual", sha256="1234567890")


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    """A file of AlexNet and heads with weights that mean nothing."""
    torch.manual_seed(0)
    state = Lpips("alex").state_dict()
    state |= {key: value.abs() for key, value in state.items() if key.startswith("lin")}
    path = tmp_path_factory.mktemp("lpips") / "both.pth"
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


def test_distances_of_frames(alex):
    distance = load_pair_distance("lpips_alex", alex)
    assert isinstance(distance, LpipsDistance)
    made, truth = random_frames(7, 48, 40), random_frames(7, 48, 40, seed=1)
    made[3] = truth[3]
    found = distance(made, truth)
    assert found.shape == (7,)
    assert found[3] == 0
    assert (found[:3] > 0).all()
    with torch.no_grad():
        first, second = (
            torch.from_numpy(clip[5:6]).movedim(-1, 1).float() / 127.5 - 1 for clip in (made, truth)
        )
        torch.testing.assert_close(found[5:6], distance.network(first, second))
    unnormalised = replace(distance, in_unit_range=True)(made, truth)
    assert (unnormalised - found).abs().max() > 1e-3


def test_pairs_that_cannot_be_compared(alex):
    distance = load_pair_distance("lpips_alex", alex)
    frames = random_frames(3)
    for other in (frames[:2], frames[:, :36]):
        with pytest.raises(ValueError, match="lpips_alex needs clips of one shape: "):
            distance(frames, other)
    with pytest.raises(ValueError, match="lpips_alex needs sides of 31 pixels: got 32 x 30"):
        distance(frames[:, :30], frames[:, :30])
    with pytest.raises(ValueError, match="1 frames or more"):
        distance(frames[:0], frames[:0])


def test_disco_feeds_vgg_the_unit_range(tmp_path):
    path = save_empty(tmp_path / "both.pth", lambda: Lpips("vgg"))
    for name in ("lpips_disco", "lpips_vgg"):
        distance = load_pair_distance(name, path)
        assert isinstance(distance, LpipsDistance)
        assert distance.in_unit_range == (name == "lpips_disco")


def test_heads_beside_the_classifier(tmp_path, shared, alex):
    state = torch.load(alex, weights_only=True)
    trunk = {key: value for key, value in state.items() if not key.startswith("lin")}
    path = tmp_path / "alexnet.pth"
    torch.save(trunk, path)
    with pytest.raises(ValueError, match=r"5 missing weights \(lin0\.model\.1\.weight"):
        load_pair_distance("lpips_alex", path)
    heads = tmp_path / "alex.pth"
    heads.write_bytes((shared / "weights/lpips_v0.1/alex.pth").read_bytes())
    distance = load_pair_distance("lpips_alex", path)
    own, published = distance.sha256.split("+")
    assert (len(own), published[:8]) == (64, "df73285e")
    assert float(distance(random_frames(1), random_frames(1, seed=1))) > 0
    torch.save({key: value for key, value in state.items() if key.startswith("lin")}, heads)
    with pytest.raises(ValueError, match=r"alex\.pth: its sha256 is .* but must be df73285e"):
        load_pair_distance("lpips_alex", path)
