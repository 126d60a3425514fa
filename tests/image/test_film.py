from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avce_pl.errors import AvceError
from avce_pl.image.film import read_film, read_header

FRAMES = 40


def write_film(
    path: Path, pauses: tuple[int, ...] = (), codec: str = "libx264", form: str | None = None
) -> list[float]:
    """Grey frames, number i of brightness 5 i, the upper left quarter red; returns their times in seconds."""
    moments, moment = [], 0
    for number in range(FRAMES):
        moments.append(moment)
        moment += 4000 if number in pauses else 40
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(moments):
            image = np.full((48, 64, 3), 5 * number, np.uint8)
            image[:24, :32] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return [time / 1000 for time in moments]


@pytest.mark.parametrize(
    ("name", "pauses", "codec"),
    [
        ("plain.mp4", (), "libx264"),
        ("variable.mp4", (10, 25), "libx264"),
        ("variable.mkv", (10, 25), "libx264"),
        ("browser.webm", (10,), "libvpx"),
    ],
)
def test_frames_and_times_are_those_of_the_file(tmp_path: Path, name: str, pauses: tuple[int, ...], codec: str) -> None:
    times = write_film(tmp_path / name, pauses, codec)
    frames = list(read_film(tmp_path / name))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=0.002)
    for number, frame in enumerate(frames):
        assert frame.image is not None
        assert frame.image.shape == (48, 64, 3)
        assert abs(int(frame.image[40, 40, 0]) - 5 * number) <= 4
        assert frame.image[5, 5, 0] > 200 > 60 > frame.image[5, 5, 1], "red before green"
    later = list(read_film(tmp_path / name, 30))
    assert [frame.time for frame in later] == [frame.time for frame in frames[30:]]
    assert np.array_equal(later[0].image, frames[30].image)  # type: ignore[arg-type]


def test_a_header_that_promises_nothing(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv")
    assert read_header(tmp_path / "a.mkv").frames is None
    assert len(list(read_film(tmp_path / "a.mkv"))) == FRAMES
    write_film(tmp_path / "a.mp4")
    assert read_header(tmp_path / "a.mp4").frames == FRAMES


def test_damaged_frames_are_rows_and_the_rest_is_read(tmp_path: Path) -> None:
    times = write_film(tmp_path / "a.mp4")
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 100] = bytes(100)
    (tmp_path / "a.mp4").write_bytes(data)
    frames = list(read_film(tmp_path / "a.mp4"))
    lost = [number for number, frame in enumerate(frames) if frame.image is None]
    assert 0 < len(lost) < FRAMES // 2
    assert [frame.time for frame in frames] == pytest.approx(times, abs=0.002)
    assert frames[-1].image is not None


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_films_of_turned_phones_are_upright(tmp_path: Path, turns: int) -> None:
    write_film(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    # the display matrix of the track: a turn by the angle, in 16.16 numbers
    one = (1 << 16).to_bytes(4, "big")
    minus, zero, last = (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(4), (1 << 30).to_bytes(4, "big")
    upright = one + zero + zero + zero + one + zero + zero + zero + last
    rows = {1: (zero, one, minus, zero), 2: (minus, zero, zero, minus), 3: (zero, minus, one, zero)}[turns]
    a, b, c, d = rows
    turned = a + b + zero + c + d + zero + zero + zero + last
    track = data.index(upright, data.index(b"tkhd"))
    (tmp_path / "a.mp4").write_bytes(data[:track] + turned + data[track + 36 :])
    image = next(read_film(tmp_path / "a.mp4")).image
    assert image is not None
    corners = {1: (5, -5), 2: (-5, -5), 3: (-5, 5)}
    assert image.shape == ((48, 64, 3) if turns == 2 else (64, 48, 3))
    assert image[corners[turns]][0] > 200
    assert image[5, 5, 0] < 60


def test_what_is_not_a_film_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(AvceError, match="cannot be opened as a film"):
        list(read_film(tmp_path / "a.mp4"))
    with pytest.raises(AvceError, match="does not exist"):
        read_header(tmp_path / "b.mp4")
    with pytest.raises(AvceError, match="not a file"):
        read_header(tmp_path)
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(AvceError, match="no pictures"):
        read_header(tmp_path / "sound.mkv")
