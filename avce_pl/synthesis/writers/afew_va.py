"""AFEW-VA: short clips from films as PNG frames, with a JSON file of labels and landmarks for each clip."""

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.writers.base import IMAGE_FAULTS, Injected, damage, save_image, take
from avce_pl.synthesis.writers.film import RATE, VIDEO_FAULTS, plan, record, shoot

AFEW_VA = FaceStyle(labels="afew_va", label_noise=0.0)
"""Films, annotated frame by frame in tenths."""

FAULTS = (
    {kind: text for kind, text in IMAGE_FAULTS.items() if kind not in ("wrong_case", "other_ending")}
    | {kind: VIDEO_FAULTS[kind] for kind in ("label_out_of_range", "bad_label", "overlap")}
    | {
        "nested": "folders of clips are doubled, as unpacking leaves them: 01/01",
        "label_rows": "there are frames that the JSON file does not know",
        "missing_annotation": "a frame has valence but no arousal",
        "broken_json": "a JSON file ends in the middle",
        "no_face": "some frames have labels but no landmarks",
        "missing_video": "there are labels of a clip but no frames",
    }
)

CLIPS_PER_ACTOR = 3

_GRID = (720, 576)  # what landmarks are measured in, whatever the size of the frames


def write(
    folder: Path,
    train: int = 24,
    val: int = 6,
    test: int = 0,
    size: int = 128,
    seed: int = 0,
    style: FaceStyle = AFEW_VA,
    faults: Collection[str] = (),
    frames: int = 16,
) -> list[Injected]:
    """Writes clips, three of each actor, as the layout of AFEW-VA.

    ``01..12/NNN/00000.png`` and ``NNN/NNN.json`` with ``actor``, ``video_id`` and, for each frame, 68 landmarks
    on a grid of 720 by 576 and integers from -10 to 10 for valence and arousal.

    Args:
        folder: Where to; made if it is not there.
        train: Number of clips.
        val: Number of further clips: AFEW-VA has no official splits.
        test: The same.
        size: Height of the frames in pixels.
        seed: Which population of people.
        style: What the people look like; the pictures show head and shoulders.
        faults: Names from `FAULTS`.
        frames: About how many frames each clip has.

    Returns:
        The faults put in.
    """
    clips = train + val + test
    homes = []
    for number, length in plan(seed, clips, frames):
        actor, part = divmod(number, CLIPS_PER_ACTOR)
        # Clips of an actor are parts of one film, seconds apart.
        start = part * (2 * frames + int(3 * RATE))
        video = record(seed, actor, start + length, style)
        name = f"{number + 1:03d}"
        archive = f"{number * 12 // clips + 1:02d}"
        home = folder / (f"{archive}/{archive}" if "nested" in faults else archive) / name
        annotation: dict[str, Any] = {"actor": f"Actor {actor:02d}", "video_id": name, "frames": {}}
        labels = (10 * video.labels[start:]).round().astype(int).tolist()
        shots = shoot(video, size, range(start, start + length))
        for frame, (shot, (valence, arousal)) in enumerate(zip(shots, labels, strict=True)):
            height, width = shot.image.shape[:2]
            points = [
                [round(x * _GRID[0] / width, 2), round(y * _GRID[1] / height, 2)] for x, y in shot.landmarks.tolist()
            ]
            annotation["frames"][f"{frame:05d}"] = {"landmarks": points, "valence": valence, "arousal": arousal}
            save_image(home / f"{frame:05d}.png", shot.image)
        (home / f"{name}.json").write_text(json.dumps(annotation))
        homes.append(home)
    return _spoil(folder, homes, faults)


def _spoil(folder: Path, homes: list[Path], faults: Collection[str]) -> list[Injected]:
    """Puts the faults in, each into a clip of its own."""
    left = iter(homes)
    injected = []

    def next_clip() -> Path:
        return folder / take(str(home.relative_to(folder)) for home in left)

    def inject(kind: str, path: Path, detail: str) -> None:
        injected.append(Injected(kind, path.relative_to(folder).as_posix(), detail))

    def edit(kind: str, change: Callable[[dict[str, dict[str, Any]]], object], detail: str) -> None:
        home = next_clip()
        path = home / f"{home.name}.json"
        annotation = json.loads(path.read_text())
        change(annotation["frames"])
        path.write_text(json.dumps(annotation))
        inject(kind, path, detail)

    if "label_out_of_range" in faults:
        edit("label_out_of_range", lambda frames: frames["00003"].update(valence=70), "frame 00003 has valence 70")
    if "bad_label" in faults:
        edit("bad_label", lambda frames: frames["00002"].update(arousal="calm"), "frame 00002 has arousal calm")
    if "missing_annotation" in faults:
        edit("missing_annotation", lambda frames: frames["00004"].pop("arousal"), "frame 00004 has no arousal")
    if "no_face" in faults:
        edit("no_face", lambda frames: frames["00001"].update(landmarks=[]), "frame 00001 has no landmarks")
    if "label_rows" in faults:
        edit("label_rows", lambda frames: (frames.popitem(), frames.popitem()), "the last two frames have no labels")
    if "broken_json" in faults:
        home = next_clip()
        path = home / f"{home.name}.json"
        path.write_text(path.read_text()[:200])
        inject("broken_json", path, "ends after 200 characters")
    if "missing_video" in faults:
        home = next_clip()
        for path in home.glob("*.png"):
            path.unlink()
        inject("missing_video", home, FAULTS["missing_video"])
    if "overlap" in faults:
        home = next_clip()
        copy = folder / "more" / home.name
        shutil.copytree(home, copy)
        inject("overlap", copy, f"the same clip as {home.relative_to(folder).as_posix()}")
    if "nested" in faults:
        inject("nested", homes[0].parent, FAULTS["nested"])
    images = (path.relative_to(folder).as_posix() for home in left for path in sorted(home.glob("*.png")))
    return injected + damage(folder, images, faults)
