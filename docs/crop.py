"""Draws crop.png, the picture in prepare.md: ``python docs/crop.py``."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from avce_pl.face.detection import choose
from avce_pl.face.detectors import build_detector
from avce_pl.image.crop import Box, crop_face
from avce_pl.synthesis.face import FaceStyle, sample_face
from avce_pl.synthesis.renderer import render

MARGIN = 0.3

scene = render(replace(sample_face(7, 1, 0, FaceStyle(level=0.3)), crop=0.5), 480).image
face = choose(build_detector("haar")(scene))
assert face is not None
cut = scene[:, int(face.box.x + 0.25 * face.box.width) :]  # the same face at the edge of a picture
beyond = Box(-0.25 * face.box.width, *face.box[1:])

figure, axes = plt.subplots(2, 2, figsize=(6.4, 6.6), layout="constrained")
for row, image, box in ((axes[0], scene, face.box), (axes[1], cut, beyond)):
    edge = max(box.width, box.height) * (1 + MARGIN)
    corner = (box.x + (box.width - edge) / 2, box.y + (box.height - edge) / 2)
    row[0].imshow(image, extent=(0, image.shape[1], image.shape[0], 0))
    row[0].add_patch(Rectangle(box[:2], box.width, box.height, fill=False, color="white", lw=1.5, ls="--"))
    row[0].add_patch(Rectangle(corner, edge, edge, fill=False, color="orange", lw=2, clip_on=False))
    row[1].imshow(crop_face(image, box, 224, MARGIN))
    row[1].set_title("the crop, 224 x 224", fontsize=9)
axes[0, 0].set_title("dashed: the box; orange: 1.3 times as large", fontsize=9)
axes[1, 0].set_title("at the edge of the picture", fontsize=9)
axes[1, 0].set_xlim(left=-0.5 * face.box.width)
axes[1, 1].set_title("black where there is no picture", fontsize=9)
for axis in axes.flat:
    axis.axis("off")
figure.savefig(Path(__file__).with_name("crop.png"), dpi=75)
