"""Pictures and files that the data tests share."""

from pathlib import Path

import av
import numpy as np
import pytest

from quickstep.data.video import write_video


@pytest.fixture
def frames() -> np.ndarray:
    """Six smooth coloured frames, 48 high and 64 wide, that move to the right."""
    y, x = np.mgrid[0:48, 0:80].astype(float)
    waves = [np.sin(x / 9 + y / 17), np.cos(x / 13 - y / 11), np.sin(y / 8 + 1)]
    wide = np.stack([127 + 100 * wave for wave in waves], axis=-1).round().astype(np.uint8)
    return np.stack([wide[:, 2 * step : 2 * step + 64] for step in range(6)])


@pytest.fixture
def sounding(tmp_path: Path, frames: np.ndarray) -> Path:
    """A video of 0.6 s with a tone of two seconds."""
    path = tmp_path / "sounding.mp4"
    silent = tmp_path / "silent.mp4"
    write_video(silent, frames, fps=10)
    rate = 44100
    tone = np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate).astype(np.float32)[None]
    with av.open(str(path), "w") as out, av.open(str(silent)) as source:
        video = out.add_stream_from_template(source.streams.video[0])
        audio = out.add_stream("aac", rate=rate)
        audio.layout = "mono"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    silent.unlink()
    return path
