from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.video import (
    VideoError,
    iterate_video,
    read_video,
    video_info,
    write_video,
)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    error = float(np.mean((one.astype(float) - other) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1)])
def test_lossless_keeps_every_value_and_any_size(
    tmp_path: Path, frames: np.ndarray, size: tuple[int, int]
):
    frames = frames[:, : size[0], : size[1]]
    write_video(tmp_path / "a.mp4", frames, fps=12, lossless=True)
    np.testing.assert_array_equal(read_video(tmp_path / "a.mp4").frames, frames)


def test_lossy_is_close_in_colour_and_place(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=12, crf=4)
    read = read_video(tmp_path / "a.mp4").frames
    assert decibels(read, frames) > 38
    assert np.abs(read.astype(float) - frames).mean(axis=(0, 1, 2)).max() < 2
    bias = (read.astype(float) - frames).mean(axis=(0, 1, 2))
    assert np.abs(bias).max() < 0.5


def test_full_colour_is_better(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=12, crf=6, full_colour=True)
    assert decibels(read_video(tmp_path / "a.mp4").frames, frames) > 42


def test_odd_sides_are_made_even_by_repeating_the_edge(tmp_path: Path, frames: np.ndarray):
    odd = frames[:, :47, :63]
    write_video(tmp_path / "a.mp4", odd, fps=12, crf=4)
    read = read_video(tmp_path / "a.mp4").frames
    assert read.shape == (6, 48, 64, 3)
    assert decibels(read[:, 47], read[:, 46]) > 30
    assert decibels(read[:, :47, :63], odd) > 38


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(25, 2), Fraction(8)])
def test_frame_rates_are_kept_exactly(tmp_path: Path, frames: np.ndarray, fps: Fraction):
    write_video(tmp_path / "a.mp4", frames, fps=fps)
    assert read_video(tmp_path / "a.mp4").fps == fps
    write_video(tmp_path / "b.mp4", frames, fps=float(fps))
    assert read_video(tmp_path / "b.mp4").fps == pytest.approx(fps, rel=1e-6)


def test_one_frame_makes_a_one_frame_video(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames[:1], fps=8)
    assert len(read_video(tmp_path / "a.mp4").frames) == 1


def test_players_get_what_they_expect(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=8, metadata={"model": "dancer", "seed": "7"})
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    metadata = video_info(tmp_path / "a.mp4").metadata
    assert (metadata["model"], metadata["seed"]) == ("dancer", "7")


def test_info_tells_without_decoding(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=8)
    info = video_info(tmp_path / "a.mp4")
    assert (info.size, info.num_frames, info.fps, info.has_audio) == ((64, 48), 6, 8, False)


def test_an_iterator_is_written_frame_by_frame(tmp_path: Path, frames: np.ndarray):
    taken = []

    def drawn() -> Iterator[np.ndarray]:
        for number, frame in enumerate(frames):
            taken.append(number)
            yield frame

    write_video(tmp_path / "a.mp4", drawn(), fps=8, lossless=True)
    assert taken == list(range(6))
    first_three = read_video(tmp_path / "a.mp4", max_frames=3).frames
    np.testing.assert_array_equal(first_three, frames[:3])
    np.testing.assert_array_equal(np.stack(list(iterate_video(tmp_path / "a.mp4"))), frames)


def test_sound_is_taken_along_and_cut(tmp_path: Path, frames: np.ndarray, sounding: Path):
    write_video(tmp_path / "a.mp4", frames, fps=4, audio_from=sounding)
    assert video_info(tmp_path / "a.mp4").has_audio
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.audio[0]
        seconds = (stream.duration or 0) * (stream.time_base or 0)
        assert float(seconds) == pytest.approx(1.5, abs=0.03)
        heard = np.concatenate([one.to_ndarray() for one in container.decode(audio=0)], axis=1)
    spectrum = np.abs(np.fft.rfft(heard[0]))
    assert np.argmax(spectrum) * 44100 / heard.shape[1] == pytest.approx(440, abs=2)
    assert len(read_video(tmp_path / "a.mp4").frames) == 6


def test_a_silent_source_changes_nothing(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=8)
    write_video(tmp_path / "b.mp4", frames, fps=8, audio_from=tmp_path / "a.mp4")
    assert not video_info(tmp_path / "b.mp4").has_audio


def test_writing_again_replaces_the_file(tmp_path: Path, frames: np.ndarray):
    for part in (frames, frames[:2]):
        write_video(tmp_path / "a.mp4", part, fps=8)
    assert len(read_video(tmp_path / "a.mp4").frames) == 2
    assert names(tmp_path) == ["a.mp4"]


def broken(frames: np.ndarray) -> Iterator[np.ndarray]:
    yield frames[0]
    raise RuntimeError("the network failed")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, frames: np.ndarray):
    write_video(tmp_path / "a.mp4", frames, fps=8, lossless=True)
    with pytest.raises(RuntimeError, match="the network failed"):
        write_video(tmp_path / "a.mp4", broken(frames), fps=8)
    with pytest.raises(RuntimeError, match="the network failed"):
        write_video(tmp_path / "b.mp4", broken(frames), fps=8)
    assert names(tmp_path) == ["a.mp4"]
    np.testing.assert_array_equal(read_video(tmp_path / "a.mp4").frames, frames)


def test_wrong_frames_are_refused(tmp_path: Path, frames: np.ndarray):
    path = tmp_path / "a.mp4"
    with pytest.raises(VideoError, match=r"a\.mp4: there is no frame to write"):
        write_video(path, iter(()), fps=8)
    with pytest.raises(VideoError, match=r"frame 1 must be uint8 \(48, 64, 3\).*\(48, 63, 3\)"):
        write_video(path, iter([frames[0], frames[1][:, :63]]), fps=8)
    with pytest.raises(VideoError, match="frame 0 must be uint8.*float64"):
        write_video(path, iter([frames[0] / 255]), fps=8)
    with pytest.raises(VideoError, match="fps must be positive: got 0"):
        write_video(path, frames, fps=0)
    with pytest.raises(VideoError, match="crf must be between 0 and 51: got 60"):
        write_video(path, frames, fps=8, crf=60)
    with pytest.raises(VideoError, match=r"none\.mp4: no such file"):
        write_video(path, frames, fps=8, audio_from=tmp_path / "none.mp4")
    with pytest.raises(OSError, match=r"cannot write .*nowhere/a\.mp4"):
        write_video(tmp_path / "nowhere" / "a.mp4", frames, fps=8)
    assert names(tmp_path) == []


def test_what_is_no_video_is_named_in_one_line(tmp_path: Path, frames: np.ndarray):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    for name, message in (
        ("none.mp4", "no such file"),
        ("text.mp4", "not a video that can be read"),
        ("empty.mp4", "the file is empty"),
    ):
        with pytest.raises(VideoError) as caught:
            read_video(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"
    with pytest.raises(VideoError, match="max_frames must be at least 1: got 0"):
        read_video(tmp_path / "text.mp4", max_frames=0)


def test_a_video_without_frames_is_named(tmp_path: Path, sounding: Path):
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as out, av.open(str(sounding)) as one:
        audio = out.add_stream_from_template(one.streams.audio[0])
        for packet in one.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                out.mux(packet)
    with pytest.raises(VideoError, match=r"a\.m4a: there is no video in it"):
        read_video(tmp_path / "a.m4a")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_short_is_not_taken_for_a_shorter_one(
    tmp_path: Path, frames: np.ndarray, share: float
):
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", noise, fps=8)
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VideoError, match=r"cut\.mp4: (cut short|damaged|not a video)"):
        read_video(tmp_path / "cut.mp4")


def test_a_real_clip_is_read_whole(shared: Path):
    path = shared / "media" / "skeleton-1.mp4"
    assert video_info(path).num_frames == sum(1 for _ in iterate_video(path)) == 200


def test_data_of_the_same_frames_has_the_same_bytes(tmp_path):
    """Wherever in memory they lie: x264 does not promise it by itself."""
    rng = np.random.default_rng(0)
    frames = render_clip(DancerSeeds.of(7), num_frames=12, size=64).rgb.numpy()
    found, held = set[bytes](), list[bytearray]()
    for _ in range(60):
        held.append(bytearray(int(rng.integers(1, 200_000))))
        del held[: len(held) % 7]
        write_video(tmp_path / "v.mp4", frames.copy(), fps=12, crf=6, full_colour=True)
        found.add((tmp_path / "v.mp4").read_bytes())
    assert len(found) == 1
