import multiprocessing
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.csv import CsvDataModule
from avce_pl.dataset.files import datamodule as files
from avce_pl.dataset.files.image_files import examine
from avce_pl.errors import AvceError
from avce_pl.image.crop import crop_face
from avce_pl.synthesis.writers import write_csv


def module(root: Path, **options: object) -> CsvDataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return CsvDataModule(str(root), **options)  # type: ignore[arg-type]


def edit(root: Path, name: str = "training_list.csv", **columns: object) -> None:
    pd.read_csv(root / name).assign(**columns).to_csv(root / name, index=False)


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def image(height: int = 30, width: int = 30) -> NDArray[np.uint8]:
    """A smooth picture, that JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * y], axis=-1).astype(np.uint8)


def test_reads_the_released_layout(root: Path) -> None:
    data = module(root)
    assert data.describe() == {
        "protocol": "csv",
        "fingerprint": data.fingerprint,
        "split_hash": data.faces.split_hash,
        "rows": {"train": 12, "val": 6, "test": 0},
        "test_split": "val",
        "dropped": {},
        "bad_images": {},
        "margin": None,
    }
    written = pd.concat([pd.read_csv(root / "training_list.csv"), pd.read_csv(root / "validation_list.csv")])
    assert data.index["path"].tolist() == written["subDirectory_filePath"].tolist()
    np.testing.assert_array_equal(data.faces.labels, written[["valence", "arousal"]].to_numpy(np.float32))
    assert data.index["bytes"].tolist() == [(root / path).stat().st_size for path in data.index["path"]]
    (first, *_) = data.val_dataloader()
    assert first["image"].shape == (3, 3, 32, 32)  # 6 images in two batches of at most 4
    assert sum(len(batch["row"]) for batch in data.test_dataloader()) == 6


def test_reads_images_under_train_and_val(tmp_path: Path) -> None:
    write_csv(tmp_path / "faces", train=6, val=4, test=2, size=32, layout="fer_zoo")
    data = module(tmp_path / "faces")
    assert data.index["path"].tolist()[0] == "train/000000.png"
    assert data.describe()["rows"] == {"train": 6, "val": 4, "test": 2}
    assert data.test_split == "test"


@pytest.mark.parametrize(
    "header", ["arousal,image,extra,valence", " Arousal , FilePath ,x,VALENCE", "arousal,path,Valence_raw,valence"]
)
def test_columns_are_found_by_name(root: Path, header: str) -> None:
    expected = module(root).faces
    lines = [
        f"{row.arousal},{row.subDirectory_filePath},7,{row.valence}"
        for row in pd.read_csv(root / "training_list.csv").itertuples()
    ]
    text = "\r\n".join([header, *lines, "", ""])
    (root / "training_list.csv").write_text(text, encoding="utf-8-sig")
    assert module(root).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("encoding", "end"),
    [
        ("utf-8", "\r\n"),
        ("utf-8-sig", "\r"),
        ("utf-16", "\n"),
        ("utf-16-le", "\r\n"),
        ("utf-16-be", "\n"),
        ("cp1252", "\r"),
    ],
)
def test_lists_are_read_in_the_encodings_and_line_ends_of_other_programs(root: Path, encoding: str, end: str) -> None:
    (root / "train" / "000001.jpg").rename(root / "train" / "Zo\u00eb.jpg")
    path = root / "training_list.csv"
    path.write_text(path.read_text().replace("000001.jpg", "Zo\u00eb.jpg"), encoding="utf-8")
    expected = module(root).fingerprint
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    path.write_bytes((mark + path.read_text(encoding="utf-8").replace("\n", end)).encode(encoding))
    assert module(root).fingerprint == expected
    kinds = [(finding.kind, finding.where) for finding in module(root).findings()]
    assert kinds == ([("encoding", "training_list.csv")] if encoding == "cp1252" else [])


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_lists_may_be_tables_of_tabs_or_parquet_files(root: Path, suffix: str) -> None:
    expected = module(root).fingerprint
    path = root / "training_list.csv"
    table = pd.read_csv(path)

    def write(table: pd.DataFrame) -> None:
        if suffix == ".tsv":
            table.to_csv(path.with_suffix(suffix), index=False, sep="\t")
        else:
            table.assign(pixels=[[1, 2]] * len(table)).to_parquet(path.with_suffix(suffix))

    write(table)
    assert "holds both" in complaint(root)
    path.unlink()
    assert module(root).fingerprint == expected
    write(table.assign(valence=table["valence"].where(table.index != 1)))
    place = "Line 3" if suffix == ".tsv" else "Row 2"
    assert f"{place}: valence '' is not a number." in complaint(root)
    path.with_suffix(suffix).write_bytes(b"\0\0\0\0")
    assert ("is not a text file" if suffix == ".tsv" else "is not a whole Parquet file") in complaint(root)


def test_scale_divides_the_labels(root: Path) -> None:
    before = module(root).faces.labels
    for name in ("training_list.csv", "validation_list.csv"):
        table = pd.read_csv(root / name)
        edit(root, name, valence=table["valence"] * 10, arousal=table["arousal"] * 10)
    np.testing.assert_allclose(module(root, scale=10.0).faces.labels, before, atol=1e-7)


def test_centre_and_scale_read_scales_whose_neutral_value_is_not_0(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = module(root).faces.labels
    assert not caplog.records
    for name in ("training_list.csv", "validation_list.csv"):
        table = pd.read_csv(root / name)
        edit(root, name, valence=table["valence"] * 4 + 5, arousal=table["arousal"] * 4 + 5)
    assert "set both dataset.centre and dataset.scale: 5 and 4 for labels from 1 to 9" in complaint(root)
    assert "dataset.scale=10" not in complaint(root)
    for _ in range(2):
        _ = module(root, scale=10.0).faces
    said = [record.getMessage().split(": ")[1] for record in caplog.records]
    assert said == ["No valence is negative", "No arousal is negative"], "once"
    np.testing.assert_allclose(module(root, centre=5.0, scale=4.0).faces.labels, before, atol=1e-6)


def test_pictures_of_12_bits_in_16_are_noted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in [*(root / "train").iterdir(), *(root / "val").iterdir()]:
        picture = cv2.imread(str(path))
        assert picture is not None
        path.write_bytes(cv2.imencode(".png", picture.astype(np.uint16) * 16)[1].tobytes())
    _ = module(root).faces
    (record,) = caplog.records
    assert "18 of 18 pictures that were looked at use less than a quarter" in record.getMessage()


@pytest.mark.parametrize(
    ("codes", "cells"),
    [
        ("affectnet", ["Neutral", "happiness", "ANGRY", "3"]),
        ("raf_db", ["7", "4", "6", "1"]),
        ("fer2013", ["6", "3", "0", "5"]),
    ],
)
def test_expressions_are_read_by_name_and_by_number(root: Path, codes: str, cells: list[str]) -> None:
    for name in ("training_list.csv", "validation_list.csv"):
        table = pd.read_csv(root / name)[["subDirectory_filePath"]]
        table.assign(Label=(cells * 3)[: len(table)], subject="a b").to_csv(root / name, index=False)
    data = module(root, protocol="csv_7", codes=codes)
    assert data.index["expression"].tolist()[:4] == [0, 1, 6, 3]
    assert data.index["subject"].unique().tolist() == ["a b"]
    assert data.class_names[:2] == ("Neutral", "Happy")
    assert "Set dataset.protocol=csv_7 or csv_8" in complaint(root)
    edit(root, Label="bored")
    assert "Line 2: Label 'bored' is not one of the 7 expressions" in complaint(root, protocol="csv_7", codes=codes)


def test_expressions_beside_valence_and_arousal_are_kept(root: Path) -> None:
    edit(root, expression=["sad", "?", *["Happy"] * 10], video="clip")
    data = module(root, sampler="balanced_expressions")
    assert data.class_names == ()
    assert data.index["expression"].tolist()[:3] == [2, -1, 1]
    assert data.index["video"].tolist()[:12] == ["clip"] * 12


def test_complains_about_the_folder(root: Path) -> None:
    with pytest.raises(AvceError, match="root=FOLDER"):
        CsvDataModule(None)
    assert "There is no folder" in complaint(root / "nowhere")
    (root / "validation_list.csv").rename(root / "valid.csv")
    assert "does not hold validation_list.csv or validation.csv. It holds train, training_list.csv" in complaint(root)
    (root / "training.csv").touch()
    assert "holds both training_list.csv and training.csv" in complaint(root)


def test_complains_about_the_list(root: Path) -> None:
    path = root / "training_list.csv"
    path.write_text("")
    assert complaint(root) == f"{path} is empty."
    path.write_text("filePath,valence,arousal\n\n\n")
    assert complaint(root) == f"{path} lists no images."
    path.write_text("filePath,valence,arousal\na.jpg,0,0\nb.jpg,0,0,0\n")
    assert "cannot be read as a CSV file" in complaint(root)
    assert "line 3" in complaint(root)
    path.write_text("filePath,valence,arousal\na.jpg,0,0,0\n")
    assert "cannot be read as a CSV file: line 2 has 4 cells, the first has 3." in complaint(root)
    path.write_text('filePath,valence,arousal\n"a.jpg,0,0\nb.jpg,0,0\n')
    assert "a quotation mark is never closed" in complaint(root)
    path.write_bytes(b"\x89PNG\0\0\0\n")
    assert "is not a text file" in complaint(root)
    path.write_text("filePath;valence;arousal\na.jpg;0,31;0\n")
    assert "separates its columns by semicolons" in complaint(root)
    assert "United Kingdom" in complaint(root)
    path.write_text("filePath\tvalence\tarousal\na.jpg\t0.31\t0\n")
    assert "Rename it to .tsv" in complaint(root)
    for header in ("path,valence,arousal,Valence", "path,valence, valence,arousal", "path,valence,valence,arousal"):
        path.write_text(f"{header}\na.jpg,0,0,0\n")
        assert "which are the same name but for case and blanks" in complaint(root)
    path.write_text("filePath,valance,arousal\na.jpg,0,0\n")
    assert complaint(root) == (
        f"{path} has no column valence; its first line names filePath, valance, arousal. "
        "Did you mean to call 'valance' so?"
    )
    path.write_text("12/a.jpg,0.1,0.2\n12/b.jpg,0.1,0.2\n")
    assert "its first line names 12/a.jpg, 0.1, 0.2." in complaint(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,nan,0", "Line 3: valence 'nan' is not a number."),
        ("a.jpg,0,", "Line 3: arousal '' is not a number."),
        ("a.jpg", "Line 3: valence '' is not a number."),
        ("a.jpg,0,calm", "Line 3: arousal 'calm' is not a number."),
        ('a.jpg,"0,31",0', "Line 3: valence '0,31' has a decimal comma. Write all numbers with a point"),
        ("a.jpg,7,0", "Line 3: valence '7' is outside [-1, 1]. If the labels have a larger scale, set "),
        ("a.jpg,70,7", "set dataset.scale=100."),
        ("a.jpg,0,-1.5", "arousal '-1.5' is outside [-1, 1]."),
        ("a.jpg,inf,0", "valence 'inf' is not a number."),
        ("a.jpg,-5,-5", "-2 and -5 mark faces without a label"),
        (",0,0", "Line 3: filePath '' names no image."),
        ("../secret.jpg,0,0", "Line 3: filePath '../secret.jpg' leads out of the data set's folder"),
        ("/etc/passwd,0,0", "leads out"),
        ("x/..\\y.jpg,0,0", "leads out"),
        (f"{'x' * 300}.jpg,0,0", "is too long for the name of a file."),
    ],
)
def test_complains_about_a_line(root: Path, line: str, words: str) -> None:
    (root / "training_list.csv").write_text(f"filePath,valence,arousal\nok.jpg,0,0\n{line}\n")
    assert words in complaint(root)


def test_faults_of_labels_and_images_come_in_one_round(root: Path) -> None:
    for name in ("training_list.csv", "validation_list.csv"):
        lines = (root / name).read_text().splitlines()
        (root / name).write_text("\n".join([*lines[:1], lines[1].rpartition(",")[0] + ",calm", *lines[2:]]))
    damage(root)
    text = complaint(root)
    assert "training_list.csv: Line 2: arousal 'calm'" in text
    assert "validation_list.csv: Line 2: arousal 'calm'" in text
    assert "dataset.on_bad_label=skip" in text
    assert "images cannot be used either:" in text
    assert ": empty" in text
    (root / "training_list.csv").write_text("path,valence\n")
    (root / "validation_list.csv").write_text("")
    assert complaint(root).count("\n") == 1


def test_bad_labels_are_skipped_on_request_and_on_record(root: Path) -> None:
    table = pd.read_csv(root / "training_list.csv")
    edit(root, valence=["7", "-2", "?", "9", *table["valence"][4:]])
    data = module(root, on_bad_label="skip")
    assert data.describe()["rows"]["train"] == 8
    assert data.describe()["dropped"] == {"wrong label: bad_label": 1, "wrong label: label_out_of_range": 3}
    assert module(root, on_bad_label="skip").describe() == data.describe(), "from the cache"
    assert "Line 2: valence '7'" in complaint(root)


def damage(root: Path) -> dict[str, str]:
    """Breaks training images in every way; path -> what is wrong with it."""
    paths = pd.read_csv(root / "training_list.csv")["subDirectory_filePath"].tolist()
    png, jpeg = paths[0::2], paths[1::2]

    def cut(path: str, share: float) -> None:
        data = (root / path).read_bytes()
        (root / path).write_bytes(data[: int(len(data) * share)])

    (root / png[0]).unlink()
    (root / jpeg[0]).write_bytes(b"")
    cut(jpeg[1], 0.9)
    cut(png[1], 0.5)
    data = (root / jpeg[2]).read_bytes()
    (root / jpeg[2]).write_bytes(data[:-300] + bytes(300))
    (root / jpeg[3]).write_text("<html>404</html>")
    (root / png[2]).unlink()
    (root / png[2]).mkdir()
    return {
        png[0]: "missing",
        jpeg[0]: "empty",
        jpeg[1]: "damaged or not an image",
        png[1]: "damaged or not an image",
        jpeg[2]: "damaged or not an image",
        jpeg[3]: "damaged or not an image",
        png[2]: "cannot be opened",
    }


def test_bad_images_stop_the_training_with_the_list(root: Path) -> None:
    faults = damage(root)
    text = complaint(root)
    assert f"7 images under {root} cannot be used" in text
    for path, fault in faults.items():
        assert f"  {path}: {fault}\n" in text
    assert "dataset.on_bad_image=skip" in text


def test_bad_images_are_skipped_on_request_and_on_record(root: Path) -> None:
    before = module(root).fingerprint
    faults = damage(root)
    edit(root)  # the old check holds for the old list
    os.utime(root / "training_list.csv", ns=(1, 1))
    data = module(root, on_bad_image="skip")
    assert data.bad_images == {"missing": 1, "empty": 1, "damaged or not an image": 4, "cannot be opened": 1}
    assert data.describe()["rows"]["train"] == 5
    assert not set(data.index["path"]) & set(faults)
    assert data.index.index.tolist() == list(range(11))
    assert data.fingerprint != before
    for batch in data.train_dataloader():
        expected = data.index.loc[batch["row"].numpy(), ["valence", "arousal"]]
        np.testing.assert_array_equal(batch["label"].numpy(), expected.to_numpy(np.float32))


def test_a_repaired_image_is_back(root: Path) -> None:
    image_path = root / "train" / "000001.jpg"
    whole = image_path.read_bytes()
    image_path.write_bytes(whole[:200])
    assert "1 images" in complaint(root)
    image_path.write_bytes(whole)
    data = module(root)
    assert data.describe()["rows"]["train"] == 12
    assert data.images[1].shape == (37, 37, 3)


def test_a_long_list_is_cut_and_kept_in_a_file(written: Path, tmp_path: Path) -> None:
    names = [f"no/{number}.jpg" for number in range(50)]
    for name in ("training_list.csv", "validation_list.csv"):
        table = pd.DataFrame({"path": names, "valence": 0, "arousal": 0})
        table.to_csv(tmp_path / name, index=False)
    text = complaint(tmp_path)
    assert text.count(": missing") == 20
    assert "and 80 more, all in " in text
    assert len(pd.read_csv(text.split("all in ")[1].split("\n")[0])) == 100


def test_images_are_checked_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = module(root).fingerprint
    monkeypatch.setattr(files, "examine_all", lambda *_: pytest.fail("checked again"))
    assert module(root, seed=5, batch_size=2).fingerprint == before
    table = pd.read_csv(root / "training_list.csv")
    edit(root, valence=table["valence"] / 2)
    with pytest.raises(pytest.fail.Exception):
        _ = module(root).faces


@pytest.mark.parametrize("change", [b"", b"\xff\xd8 short"])
def test_a_file_that_changes_after_the_check_stops_the_training(root: Path, change: bytes) -> None:
    data = module(root)
    path = root / data.index["path"][1]
    path.write_bytes(change)
    with pytest.raises(AvceError, match=rf"{path.name} cannot be read or has changed"):
        data.images[1]
    path.unlink()
    with pytest.raises(AvceError, match="cannot be read or has changed"):
        data.images[1]


def test_cached_images_and_workers_make_no_difference(root: Path) -> None:
    plain, kept = module(root, num_workers=2), module(root, cache_images=True)
    for row in range(18):
        np.testing.assert_array_equal(kept.images[row], plain.images[row])
    for one, other in zip(plain.train_dataloader(), kept.train_dataloader(), strict=True):
        assert all((one[key] == other[key]).all() for key in one)  # type: ignore[literal-required]


def kept_in(root: Path) -> list[Path]:
    return sorted(path for path in (root.parent / "cache").glob("images-*") if path.is_dir())


def test_the_rows_of_a_sweep_share_the_cached_images(root: Path) -> None:
    for options in ({}, {"seed": 5, "batch_size": 6, "colour_jitter": 0.5, "image_size": 30, "resize_size": 37}):
        _ = module(root, cache_images=True, **options).images
    assert len(kept_in(root)) == 1
    _ = module(root, cache_images=True, resize_size=40).images
    assert len(kept_in(root)) == 2


def test_cached_images_are_made_anew_when_an_image_or_a_label_changes(root: Path) -> None:
    before = module(root, cache_images=True).images[0].copy()
    path = root / module(root).index["path"][0]
    size = path.stat().st_size
    path.write_bytes(cv2.imencode(path.suffix, image(40, 40))[1].tobytes().ljust(size, b"\0"))
    assert path.stat().st_size == size  # nothing but the time tells
    after = module(root, cache_images=True)
    assert (after.images[0] != before).any()
    np.testing.assert_array_equal(after.images[0], module(root).images[0])
    edit(root, valence=0.25)
    assert module(root, cache_images=True).images.path != after.images.path  # type: ignore[attr-defined]
    assert len(kept_in(root)) == 3


def test_cached_images_of_another_size_than_checked_are_refused(root: Path) -> None:
    path = root / module(root, cache_images=True).index["path"][0]
    _ = module(root, cache_images=True).images
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(AvceError, match="has changed since the images were checked"):
        _ = module(root, cache_images=True).images


def _open_cached(root: Path, start: Any, inode: Any) -> None:
    start.wait()
    data = module(root, cache_images=True)
    expected = module(root)
    assert all((data.images[row] == expected.images[row]).all() for row in range(18))
    inode.put(data.images.path.stat().st_ino)  # type: ignore[attr-defined]


def test_two_processes_that_want_the_images_at_once_build_them_once(root: Path) -> None:
    start, inode = multiprocessing.Event(), multiprocessing.Queue()
    both = [multiprocessing.Process(target=_open_cached, args=(root, start, inode)) for _ in range(2)]
    for process in both:
        process.start()
    start.set()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert inode.get() == inode.get()
    assert len(kept_in(root)) == 1
    assert not list((root.parent / "cache").glob("*.partial"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "I;16", "1", "CMYK"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_every_mode_of_image_is_rgb_in_the_end(tmp_path: Path, mode: str, suffix: str) -> None:
    source = Image.fromarray(image())
    if mode == "I;16":
        source = Image.fromarray(np.asarray(source.convert("L")).astype(np.uint16) * 257)
    else:
        source = source.convert(mode)
    try:
        source.save(tmp_path / f"a.{suffix}")
    except (OSError, KeyError):
        return  # there is no such file
    if (mode, suffix) == ("I;16", "webp"):
        return  # Pillow keeps the low bytes
    assert examine(tmp_path / f"a.{suffix}") == ((tmp_path / f"a.{suffix}").stat().st_size, "")
    loaded = load(tmp_path, f"a.{suffix}", side=30)
    assert loaded.shape == (30, 30, 3)
    assert loaded.dtype == np.uint8
    if mode in ("L", "LA", "I;16"):
        expected = np.repeat(np.asarray(Image.fromarray(image()).convert("L"))[..., None], 3, axis=2)
    elif mode == "1":
        return
    else:
        expected = image()
    difference = np.abs(loaded.astype(int) - expected)
    assert difference.mean() < (30 if mode == "P" else 6)  # 256 colours; lossy formats


def load(
    root: Path, path: str, side: int, box: tuple[int, int, int, int] = (0, 0, 0, 0), margin: float = 0.0
) -> NDArray[np.uint8]:
    table = pd.DataFrame([box], columns=["box_x", "box_y", "box_width", "box_height"])
    table = table.assign(path=path, bytes=(root / path).stat().st_size)
    return files.ImageFiles(root, table, side, margin, root)[0]


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(image(30, 40)).save(tmp_path / "a.jpg", exif=exif, quality=100)
        with Image.open(tmp_path / "a.jpg") as opened:
            expected = crop_face(np.asarray(ImageOps.exif_transpose(opened)), None, 30, 0)
        assert np.abs(load(tmp_path, "a.jpg", 30).astype(int) - expected).mean() < 1


def test_boxes_are_cut_out_with_their_margin(tmp_path: Path) -> None:
    Image.fromarray(image()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load(tmp_path, "a.png", 10, (5, 8, 10, 10)), image()[8:18, 5:15])
    np.testing.assert_array_equal(load(tmp_path, "a.png", 14, (5, 8, 10, 6), 0.4), image()[4:18, 3:17])
    beyond = load(tmp_path, "a.png", 20, (20, -5, 20, 20))
    np.testing.assert_array_equal(beyond[5:, :10], image()[:15, 20:])
    assert not beyond[:5].any()
    assert not beyond[:, 10:].any()
    assert examine(tmp_path / "a.png", (20, -5, 20, 15))[1] == ""
    assert examine(tmp_path / "a.png", (30, 0, 5, 5))[1] == "box outside the image"
    assert examine(tmp_path / "a.png", (0, -5, 5, 5))[1] == "box outside the image"


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_every_truncation_is_found(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(image(64, 64)).save(tmp_path / f"whole.{suffix}", progressive=True)
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    broken = tmp_path / f"broken.{suffix}"
    for kept in range(1, len(data), 7):
        broken.write_bytes(data[:kept])
        assert examine(broken)[1] == "damaged or not an image", f"{kept} of {len(data)} bytes"


def test_a_jpeg_that_ends_in_zeros_is_found(tmp_path: Path) -> None:
    Image.fromarray(image(64, 64)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    for lost in range(2, 200, 3):
        (tmp_path / "broken.jpg").write_bytes(data[:-lost] + bytes(lost))
        assert examine(tmp_path / "broken.jpg")[1] == "damaged or not an image", f"{lost} bytes"
    thumbnail = data[:20] + b"\xff\xd9" + data[20:]  # an end marker before the scan is none
    (tmp_path / "broken.jpg").write_bytes(thumbnail[:-2])
    assert examine(tmp_path / "broken.jpg")[1] == "damaged or not an image"


@pytest.mark.parametrize("sampler", ["balanced_plane", "balanced_expressions"])
def test_samplers_balance_what_they_say(root: Path, sampler: str) -> None:
    data = module(root, sampler=sampler)
    index = data.faces
    crowd = np.arange(len(index.table)) % 4 > 0
    labels = {"valence": np.where(crowd, 0.5, -0.5), "arousal": 0.1}
    if sampler == "balanced_expressions":
        labels = {"expression": np.where(crowd, 1, 0)}
    data.faces = FaceIndex.build(index.table.assign(**labels), index.protocol)
    drawn = np.concatenate([batch["row"] for batch in data.train_dataloader()])
    assert np.bincount(crowd[drawn]).tolist() == [6, 6]
    assert np.bincount(crowd[:12]).tolist() == [3, 9]


def test_samplers_say_what_they_lack(root: Path) -> None:
    with pytest.raises(AvceError, match="balanced_expressions needs expressions"):
        module(root, sampler="balanced_expressions").train_dataloader()
    data = module(root, sampler="balanced_plane")
    unlabelled = data.faces.table.assign(valence=np.nan, arousal=np.nan, expression=1)
    data.faces = FaceIndex.build(unlabelled, "expressions")
    with pytest.raises(AvceError, match="balanced_plane needs valence and arousal"):
        data.train_dataloader()
