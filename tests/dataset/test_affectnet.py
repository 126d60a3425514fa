import csv
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avce_pl.dataset.affectnet import AffectNetDataModule
from avce_pl.errors import AvceError
from avce_pl.synthesis import FaceStyle, draw
from avce_pl.synthesis.writers import FIRST_SUBJECT, LAYOUTS
from avce_pl.synthesis.writers.affectnet import COLUMNS_2017, expression_2017, expression_2021

TRAIN, VAL, SIZE = 26, 9, 64
STYLES = {"affectnet_2017": FaceStyle(crop=0.75), "affectnet_2021": FaceStyle()}


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both releases without a fault; not to be changed."""
    folder = tmp_path_factory.mktemp("affectnet")
    for layout in STYLES:
        assert LAYOUTS[layout].write(folder / layout, train=TRAIN, val=VAL, size=SIZE) == []
    return {layout: folder / layout for layout in STYLES}


@pytest.fixture
def old(clean: dict[str, Path], tmp_path: Path) -> Path:
    """The release of 2017, to be changed."""
    return Path(shutil.copytree(clean["affectnet_2017"], tmp_path / "old"))


@pytest.fixture
def new(clean: dict[str, Path], tmp_path: Path) -> Path:
    """The release of 2021, to be changed."""
    return Path(shutil.copytree(clean["affectnet_2021"], tmp_path / "new"))


def module(root: Path, **options: object) -> AffectNetDataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return AffectNetDataModule(str(root), **options)  # type: ignore[arg-type]


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def training_list(root: Path) -> Path:
    return root / "Manually_Annotated_file_lists" / "training.csv"


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def save(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize("layout", STYLES)
def test_every_label_is_the_one_that_was_written(clean: dict[str, Path], tmp_path: Path, layout: str) -> None:
    data = module(clean[layout], cache_dir=str(tmp_path))
    assert data.task == "valence_arousal"
    assert data.protocol == {"affectnet_2017": "affectnet_va_4500", "affectnet_2021": "affectnet_va_4000"}[layout]
    assert data.describe()["rows"] == {"train": TRAIN, "val": VAL, "test": 0}
    assert data.describe()["dropped"] == {}
    assert data.faces.landmarks is not None
    code = {"affectnet_2017": expression_2017, "affectnet_2021": expression_2021}[layout]
    seen = Counter[int]()
    for row in data.index.itertuples():
        number = row.Index - (TRAIN if row.split == "val" else 0)
        face, rendered = draw(0, FIRST_SUBJECT[row.split] + number // 5, number % 5, SIZE, STYLES[layout])
        np.testing.assert_allclose([row.valence, row.arousal], face.label, atol=1e-6)
        assert row.expression == code(face)
        np.testing.assert_allclose(data.faces.landmarks[row.Index], rendered.landmarks, atol=0.006)
        if layout == "affectnet_2017":
            points = rendered.landmarks
            middle = [row.box_x + row.box_width / 2, row.box_y + row.box_height / 2]
            assert np.abs(middle - points.mean(axis=0)).max() < 0.15 * SIZE, "the face is in its box"
            assert data.images[row.Index].shape == (37, 37, 3)
        image = cv2.imread(str(clean[layout] / row.path), cv2.IMREAD_COLOR_RGB)
        assert image is not None
        expected = rendered.image[: image.shape[0], : image.shape[1]]
        assert np.abs(image.astype(int) - expected).mean() < 15
        seen[row.expression] += 1
    assert seen[7], "Contempt is there too"


def test_the_box_is_not_transposed(old: Path) -> None:
    rows = lines(training_list(old))
    path = next((old / "Manually_Annotated").rglob(rows[3][0].split("/")[1]))
    assert path.suffix == ".png"
    picture = np.zeros((60, 90, 3), np.uint8)
    picture[10:30, 50:80] = 255  # x 50, y 10, width 30, height 20
    cv2.imwrite(str(path), picture)
    rows[3][1:5] = ["50", "10", "30", "20"]
    save(training_list(old), rows)
    crop = module(old).images[2]  # 30 pixels of the photo, of which the face's 20 are the middle
    assert crop[8:29].min() == 255
    assert crop[[0, -1]].max() == 0


def test_cached_crops_are_those_of_their_margin(old: Path) -> None:
    for margin in (0.0, 0.5, 0.0):
        plain, kept = module(old, margin=margin), module(old, margin=margin, cache_images=True)
        for row in range(TRAIN + VAL):
            np.testing.assert_array_equal(kept.images[row], plain.images[row])
    assert len([path for path in (old.parent / "cache").glob("images-*") if path.is_dir()]) == 2


def test_columns_are_found_by_name(old: Path) -> None:
    expected = module(old).faces
    rows = [[row[8], "7", *row[:8]] for row in lines(training_list(old))]
    rows[0][:2] = ["arousal", "valence_raw"]
    save(training_list(old), rows)
    assert module(old).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    "place", ["", "Manually_Annotated", "Manually_Annotated/Manually_Annotated_Images", "a/b/Manually_Annotated"]
)
def test_lists_and_images_of_2017_are_found_wherever_they_are(old: Path, place: str) -> None:
    labels = module(old).faces.labels
    (old / place).mkdir(parents=True, exist_ok=True)
    for name in ("training.csv", "validation.csv"):
        (training_list(old).parent / name).rename(old / place / name)
    np.testing.assert_array_equal(module(old).faces.labels, labels)


@pytest.mark.parametrize("nest", ["train_set/train_set", "AffectNet/train_set", "a/b/c/train_set/train_set"])
def test_folders_of_2021_are_found_wherever_they_are(new: Path, tmp_path: Path, nest: str) -> None:
    labels = module(new).faces.labels
    for split in ("train_set", "val_set"):
        target = tmp_path / "moved" / nest.replace("train_set", split)
        target.parent.mkdir(parents=True, exist_ok=True)
        (new / split).rename(target)
        assert not (new / split).exists()
    np.testing.assert_array_equal(module(tmp_path / "moved").faces.labels, labels)


@pytest.mark.parametrize(
    ("fault", "dropped"),
    [
        ("sentinels", {"uncertain": 1, "no face": 1, "without valence and arousal (-2)": 1}),
        ("label_out_of_range", {"valence or arousal outside [-1, 1]": 1}),
        ("negative_box", {"without a box": 1}),
        ("headerless", {}),
        ("nested", {}),
        ("wrong_case", {}),
        ("duplicate_image", {}),
        ("duplicate_row", {}),
        ("overlap", {}),
    ],
)
def test_faults_of_2017_that_do_not_stop_the_training(
    clean: dict[str, Path], tmp_path: Path, fault: str, dropped: dict[str, int]
) -> None:
    root = tmp_path / "faulty"
    injected = LAYOUTS["affectnet_2017"].write(root, train=TRAIN, val=VAL, size=SIZE, faults=[fault])
    data, right = module(root), module(clean["affectnet_2017"], cache_dir=str(tmp_path))
    assert data.describe()["dropped"] == dropped
    more = {"duplicate_row": (1, 0), "overlap": (0, 1)}.get(fault, (0, 0))
    rows = {"train": TRAIN - sum(dropped.values()) + more[0], "val": VAL + more[1], "test": 0}
    assert data.describe()["rows"] == rows
    assert data.bad_images == {}
    # the rows that are left are right, and none of them is one that should have gone
    by_name = {row.path.rpartition("/")[2].lower(): row for row in right.index.itertuples()}
    for row in data.index.itertuples():
        written = by_name[row.path.rpartition("/")[2].lower()]
        assert (row.valence, row.arousal, row.expression) == (written.valence, written.arousal, written.expression)
        assert (root / row.path).is_file()
    if dropped:
        assert not {path for _, path, _ in injected} & set(data.index["path"])


@pytest.mark.parametrize("layout", STYLES)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing_image", "missing"),
        ("empty_image", "empty"),
        ("truncated_image", "damaged or not an image"),
        ("box_outside", "box outside the image"),
    ],
)
def test_bad_images_are_named(tmp_path: Path, layout: str, fault: str, reason: str) -> None:
    if fault not in LAYOUTS[layout].faults:
        return
    root = tmp_path / "faulty"
    (injected,) = LAYOUTS[layout].write(root, train=TRAIN, val=VAL, size=SIZE, faults=[fault])
    assert f"1 images under {root} cannot be used:\n  {injected.path}: {reason}\n" in complaint(root)
    assert module(root, on_bad_image="skip").bad_images == {reason: 1}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("bad_label", "training.csv: Line 2: valence 'happy' is not a number."),
        ("bad_landmarks", "is not 136 numbers, x and y of 68 points."),
    ],
)
def test_faults_of_2017_that_stop_with_file_and_line(tmp_path: Path, fault: str, words: str) -> None:
    LAYOUTS["affectnet_2017"].write(tmp_path / "faulty", train=TRAIN, val=VAL, size=SIZE, faults=[fault])
    text = complaint(tmp_path / "faulty")
    assert words in text
    assert "training.csv: Line 2: " in text


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("expression", "11", "Line 4: expression '11' is not an expression; they are 0 to 10."),
        ("expression", "1.5", "Line 4: expression '1.5' is not a whole number."),
        ("face_x", "left", "Line 4: face_x 'left' is not a number."),
        ("face_width", "9999999999", "Line 4: face_width '9999999999' is too large."),
        ("arousal", "", "Line 4: arousal '' is not a number."),
        ("facial_landmarks", ";".join(["1"] * 135 + ["x"]), "Line 4: facial_landmarks '1;1;"),
        ("subDirectory_filePath", "../1/x.jpg", "Line 4: subDirectory_filePath '../1/x.jpg' leads out"),
        ("subDirectory_filePath", "", "Line 4: subDirectory_filePath '' names no image."),
    ],
)
def test_complains_about_a_line(old: Path, column: str, cell: str, words: str) -> None:
    rows = lines(training_list(old))
    rows[3][COLUMNS_2017.index(column)] = cell
    save(training_list(old), rows)
    assert words in complaint(old)


def test_no_landmarks_are_no_fault(old: Path) -> None:
    rows = lines(training_list(old))
    rows[3][5] = ""
    save(training_list(old), rows)
    landmarks = module(old).faces.landmarks
    assert landmarks is not None
    assert np.isnan(landmarks).all(axis=(1, 2)).tolist() == [number == 2 for number in range(TRAIN + VAL)]


@pytest.mark.parametrize(
    ("fault", "file", "wanted"),
    [
        ("bad_label", "0_val.npy", "It does not hold a number."),
        ("truncated_label", "0_aro.npy", "It does not hold a number."),
        ("pickled_label", "0_exp.npy", "It does not hold an expression, 0 to 10."),
        ("missing_label", "0_aro.npy", "It is not there: every image has"),
    ],
)
def test_faults_of_2021_that_stop_with_the_file(tmp_path: Path, fault: str, file: str, wanted: str) -> None:
    root = tmp_path / "faulty"
    LAYOUTS["affectnet_2021"].write(root, train=12, val=VAL, size=SIZE, faults=[fault])
    assert f"train_set/annotations/{file}: {wanted}" in complaint(root)


@pytest.mark.parametrize("fault", ["nested", "wrong_case", "duplicate_image", "overlap", "label_out_of_range"])
def test_faults_of_2021_that_do_not_stop_the_training(tmp_path: Path, fault: str) -> None:
    root = tmp_path / "faulty"
    LAYOUTS["affectnet_2021"].write(root, train=TRAIN, val=VAL, size=SIZE, faults=[fault])
    dropped = {"valence or arousal outside [-1, 1]": 1} if fault == "label_out_of_range" else {}
    data = module(root)
    assert data.describe()["dropped"] == dropped
    assert data.describe()["rows"] == {"train": TRAIN - len(dropped), "val": VAL, "test": 0}


def test_the_same_id_in_both_splits_is_two_images(clean: dict[str, Path], tmp_path: Path) -> None:
    index = module(clean["affectnet_2021"], cache_dir=str(tmp_path)).index
    names = index["path"].astype(str).map(lambda path: path.rpartition("/")[2])
    ids = {split: set(names[index["split"] == split]) for split in ("train", "val")}
    assert ids["train"] & ids["val"]
    numbers = [int(name.removesuffix(".jpg")) for name in names[index["split"] == "train"]]
    assert numbers == sorted(numbers)
    assert numbers != list(range(TRAIN)), "ids have gaps"


def test_labels_of_2021_may_be_numbers_and_landmarks_may_lack(new: Path) -> None:
    expected = module(new).faces
    for path in (new / "train_set" / "annotations").glob("*_val.npy"):
        np.save(path, np.array([float(np.load(path).item())]))
    for path in (new / "train_set" / "annotations").glob("*_exp.npy"):
        np.save(path, np.array(int(np.load(path).item())))
    (new / "train_set" / "annotations" / "0_lnd.npy").unlink()
    faces = module(new).faces
    assert faces.landmarks is None
    np.testing.assert_allclose(faces.labels, expected.labels)
    assert faces.table["expression"].tolist() == expected.table["expression"].tolist()


def test_lists_made_of_the_npy_files_are_read(new: Path) -> None:
    expected = module(new).faces
    for split in ("train", "val"):
        annotations = new / f"{split}_set" / "annotations"
        rows = [["number", "exp", "val", "aro"]]
        for path in sorted(annotations.glob("*_exp.npy"), key=lambda p: int(p.stem.split("_")[0])):
            number = path.stem.split("_")[0]
            rows.append([number, *(np.load(annotations / f"{number}_{k}.npy").item() for k in ("exp", "val", "aro"))])
        shutil.rmtree(annotations)
        (new / "lists").mkdir(exist_ok=True)
        save(new / "lists" / f"{split}_set_annotation_without_lnd.csv", rows)
    data = module(new)
    assert data.fingerprint == expected.fingerprint
    shutil.rmtree(new / "val_set")
    with pytest.raises(AvceError, match="val_set/images under"):
        data.read()


def test_the_new_partition_is_read_with_its_test_images(new: Path) -> None:
    index = module(new).index
    for split in ("train_set", "val_set"):
        (new / "images").mkdir(exist_ok=True)
        (new / split / "images").rename(new / "images" / split)
        shutil.rmtree(new / split)
    (new / "annotations" / "VA").mkdir(parents=True)
    names = index["path"].str.replace("/images", "")
    for number, split in enumerate(("train", "valid", "test")):
        part = index.assign(name=names, age="20-29", gender="Female", race="Asian")[number::3]
        columns = ["name", "valence", "arousal", "age", "gender", "race"]
        part[columns].to_csv(new / "annotations" / "VA" / f"{split}.csv", index=False)
    data = module(new)
    assert data.protocol == "affectnet_va_repartitioned"
    assert data.describe()["rows"] == {"train": 12, "val": 12, "test": 11}
    assert data.test_split == "test"
    assert data.describe()["bad_images"] == {}
    assert "Choose dataset.protocol=affectnet_va_repartitioned." in complaint(new, protocol="affectnet_8")


def test_protocols_choose_the_rows(old: Path) -> None:
    rows = lines(training_list(old))
    for number, row in enumerate(rows[1:]):
        row[6] = str(number % 11)
    save(training_list(old), rows)
    kept = {"affectnet_va_4500": 9, "affectnet_va_4000": 8, "affectnet_8": 8, "affectnet_7": 7}
    for protocol, classes in kept.items():
        data = module(old, protocol=protocol)
        codes = [number % 11 for number in range(TRAIN) if number % 11 < classes]
        assert data.index["expression"][data.faces.rows("train")].tolist() == codes
        assert data.faces.protocol == protocol
        assert data.task == ("valence_arousal" if "_va_" in protocol else "expression")
        assert data.task == "valence_arousal" or data.classes == classes
        reasons = {"uncertain": 2, "no face": 2, "class None": 2, "class Contempt": 2}
        val = data.describe()["rows"]["val"]
        assert sum(data.faces.dropped.values()) == TRAIN - len(codes) + VAL - val
        assert set(data.faces.dropped) <= set(reasons)


def test_protocols_of_the_other_release_are_refused(clean: dict[str, Path], tmp_path: Path) -> None:
    text = complaint(clean["affectnet_2021"], cache_dir=str(tmp_path), protocol="affectnet_va_4500")
    assert "release of 2021, which cannot be read as affectnet_va_4500" in text
    assert "dataset.protocol=affectnet_va_4000 or affectnet_8 or affectnet_7" in text


def test_the_counts_of_the_protocols_are_the_published_ones() -> None:
    rows = {name: dict(protocol.rows) for name, protocol in AffectNetDataModule.protocols.items()}
    assert rows == {
        "affectnet_va_4500": {"train": 320_739, "val": 4_500},
        "affectnet_va_4000": {"train": 287_651, "val": 4_000},
        "affectnet_8": {"train": 287_651, "val": 4_000},
        "affectnet_7": {"train": 283_901, "val": 3_500},
        "affectnet_va_repartitioned": {},
    }


def test_what_is_missing_is_named_with_where_to_ask_for_it(old: Path, new: Path, tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path / 'nowhere'}; set root=FOLDER" in complaint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    text = complaint(tmp_path / "empty")
    assert "does not hold training.csv and validation.csv (release of 2017), or train_set/annotations" in text
    assert "It holds nothing." in text
    assert "mohammadmahoor.com" in text
    with pytest.raises(AvceError, match="root=FOLDER"):
        AffectNetDataModule(None)
    (old / "Manually_Annotated").rename(tmp_path / "away")
    assert "Unpack Manually_Annotated_Images there." in complaint(old)
    (tmp_path / "away").rename(old / "Manually_Annotated")
    new.rename(old / "newer")
    text = complaint(old)
    assert "release of 2017 in" in text
    assert "release of 2021 in" in text


def test_an_empty_folder_of_labels_is_named(new: Path) -> None:
    shutil.rmtree(new / "val_set" / "annotations")
    (new / "val_set" / "annotations").mkdir()
    assert f"{new / 'val_set' / 'annotations'} holds no labels such as 0_exp.npy" in complaint(new)


def test_a_list_without_header_and_with_other_cells_is_refused(old: Path) -> None:
    training_list(old).write_text("12/a.jpg,0.1,0.2\n12/b.jpg,0.1,0.2\n")
    assert "training.csv, line 1: neither names of columns (subDirectory_filePath, face_x" in complaint(old)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10),
            st.sampled_from([-2, -1, -0.5, 0, 1, 1.01, 5]),
            st.sampled_from([-2, -1, 0.25, 1, -1.5]),
            st.sampled_from([-1, 0, 1, 40]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([("affectnet_va_4500", 9), ("affectnet_8", 8), ("affectnet_7", 7)]),
    st.booleans(),
)
def test_the_drop_rule(
    old: Path, labels: list[tuple[int, float, float, int]], protocol: tuple[str, int], headerless: bool
) -> None:
    path = training_list(old).with_name("validation.csv")
    rows = lines(training_list(old))
    listed = [
        [rows[n + 1][0], "1", "1", str(width), "40", "", str(code), str(valence), str(arousal)]
        for n, (code, valence, arousal, width) in enumerate(labels)
    ]
    save(path, listed if headerless else [rows[0], *listed])
    name, classes = protocol
    index = module(old, protocol=name).read_all()
    kept = [
        (code, valence, arousal)
        for code, valence, arousal, width in labels
        if code < classes and abs(valence) <= 1 and abs(arousal) <= 1 and width > 0
    ]
    table = index.table[index.table["split"] == "val"]
    assert [(r.expression, r.valence, r.arousal) for r in table.itertuples()] == kept
    train = sum(int(row[6]) >= classes for row in rows[1:])
    assert sum(index.dropped.values()) == train + len(labels) - len(kept)


@pytest.mark.parametrize("layout", STYLES)
def test_a_changed_list_is_read_anew(clean: dict[str, Path], tmp_path: Path, layout: str) -> None:
    root = Path(shutil.copytree(clean[layout], tmp_path / "data"))
    before = module(root).describe()["rows"]["val"]
    if layout == "affectnet_2017":
        path = training_list(root).with_name("validation.csv")
        save(path, lines(path)[:-1])
    else:
        annotations = root / "val_set" / "annotations"
        last = max(int(path.stem.split("_")[0]) for path in annotations.iterdir())
        for kind in ("exp", "val", "aro", "lnd"):
            (annotations / f"{last}_{kind}.npy").unlink()
    assert module(root).describe()["rows"]["val"] == before - 1


def test_batches_hold_the_labels_of_their_rows(old: Path) -> None:
    data = module(old, protocol="affectnet_8")
    for batch in data.train_dataloader():
        rows = data.index.loc[batch["row"].numpy()]
        np.testing.assert_array_equal(batch["label"].numpy(), rows[["valence", "arousal"]].to_numpy(np.float32))
        assert batch["expression"].tolist() == rows["expression"].tolist()
    assert pd.unique(data.index["split"]).tolist() == ["train", "val"]
