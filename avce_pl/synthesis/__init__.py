"""Procedural faces with exact valence, arousal, class, landmarks and box; numpy and OpenCV only."""

from avce_pl.synthesis.contact_sheet import contact_sheet
from avce_pl.synthesis.face import Face, FaceStyle, sample_face
from avce_pl.synthesis.renderer import Rendered, draw, render
from avce_pl.synthesis.video import Video, sample_video

__all__ = ["Face", "FaceStyle", "Rendered", "Video", "contact_sheet", "draw", "render", "sample_face", "sample_video"]
