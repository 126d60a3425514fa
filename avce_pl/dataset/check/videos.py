"""Comparisons of video files, labels and frames, for the `findings` of readers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.folders import relative
from avce_pl.dataset.files.video_source import VideoSource
from avce_pl.utils.text import enumerate_names


def inspect_video(path: Path) -> int | None:
    """Number of frames of a video file; None if it cannot be opened or ends before its header says."""
    video = cv2.VideoCapture(str(path))
    try:
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        # Headers of intact files may promise some frames too many.
        video.set(cv2.CAP_PROP_POS_FRAMES, int(0.95 * count))
        return count if video.isOpened() and count > 0 and video.read()[0] else None
    finally:
        video.release()


def inspect_videos(root: Path, sources: Sequence[VideoSource]) -> tuple[dict[str, int], list[Finding]]:
    """Number of frames of each sequence's video, by the sequence's name, and the videos that are truncated."""
    paths = sorted({source.path for source in sources if source.path is not None})
    counts = dict(zip(paths, map(inspect_video, paths), strict=True))
    text = "The video cannot be opened, or ends before its header says."
    broken = [Finding(True, "truncated_video", relative(root, path), text) for path in paths if counts[path] is None]
    return {s.name: count for s in sources if s.path and (count := counts[s.path]) is not None}, broken


def compare_rows(sources: Sequence[VideoSource], counts: Mapping[str, int], what: str) -> list[Finding]:
    """Compares the number of label rows of each sequence with that of its frames or boxes.

    Headers and annotators may be off by a little; more than one and more than one hundredth is a fault.

    Args:
        sources: All sequences.
        counts: Sequence -> number of frames or boxes.
        what: "frames" or "boxes".
    """
    found, near = [], []
    for source in sources:
        rows, count = source.frames or 0, counts.get(source.name)
        if count is not None and abs(rows - count) > max(1, count // 100):
            found.append(Finding(True, "label_rows", source.name, f"{rows} rows of labels for {count} {what}."))
        elif count is not None and rows != count:
            near.append(source.name)
    if near:
        text = f"{len(near)} videos have a row or so more or fewer than {what}: {enumerate_names(near)}."
        found.append(Finding(False, "label_rows", near[0], text))
    return found


def frames_that(kind: str, what: str, where: str, missing: Mapping[str, int]) -> list[Finding]:
    """One finding for all frames that lack something, instead of one per video.

    Args:
        kind: The finding's.
        what: Continues "Labelled frames that", such as "have no box".
        where: Folder that was searched.
        missing: Video -> number of frames.
    """
    having = {video: count for video, count in missing.items() if count}
    if not having:
        return []
    most = max(having, key=lambda video: having[video])
    text = f"Labelled frames that {what}: {sum(having.values()):,}, in {len(having)} of {len(missing)} videos"
    return [Finding(False, kind, where, f"{text}; most, {having[most]:,}, in {most}.")]
