"""A model file run by OpenCV: each kind of output, and files that are none."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.core.api import Unavailable
from collectors.core.settings import Values
from collectors.vision.engines import Box, Detection, EngineError, InvalidImage, open_engine, select_detections
from collectors.vision.engines.onnx_inputs import Input, inputs, with_sizes
from collectors.vision.engines.outputs import READERS, Fit, OutputError
from tests.unit import onnx_models, vision_support

LABELS = ("person", "dog", "cat")
#: A picture twice as wide as high, in an input of 100 pixels: 25 pixels of border above and below.
WIDE = Fit.letterboxed(200, 100, 100)


def plain(blue: int, green: int, red: int, width: int = 40, height: int = 30) -> bytes:
    """A picture of one colour."""
    done, encoded = cv2.imencode(".jpg", np.full((height, width, 3), (blue, green, red), np.uint8))
    assert done
    return bytes(encoded.tobytes())


def engine(folder: Path, file: Path, output: str, *, labels: tuple[str, ...] = LABELS, **values: Any) -> Any:
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return open_engine(
        Values(
            {
                "engine": "onnx",
                "onnx_model": str(file),
                "onnx_labels": str(folder / "labels.txt"),
                "onnx_output": output,
                "onnx_size": 16,
                **values,
            }
        ),
        print,
    )


def read(output: str, rows: NDArray[Any], fit: Fit = WIDE, threshold: float = 0.5) -> list[Detection]:
    found = READERS[output](threshold, 0.45).read(rows.astype(np.float32), LABELS, fit)
    return sorted(found, key=lambda each: -each.confidence)


def approx(label: str, confidence: float, box: Box) -> tuple[str, object, object]:
    return label, pytest.approx(confidence, abs=1e-4), pytest.approx(tuple(box), abs=1e-3)


def test_sizes_left_open_are_named_with_what_fixes_them(tmp_path: Path) -> None:
    model = onnx_models.of_any_size(tmp_path / "open.onnx")
    assert inputs(model.read_bytes()) == (Input("images", ("batch", 3, "height", "width")),)
    with pytest.raises(Unavailable) as caught:
        engine(tmp_path, model, "yolov8")
    assert "the sizes of its input images are open (batch x 3 x height x width)" in str(caught.value)
    assert f"onnxslim {model} fixed.onnx --input-shapes images:1,3,16,16" in str(caught.value)


def test_fixed_sizes_are_not_blamed(tmp_path: Path) -> None:
    model = onnx_models.brightness(tmp_path / "m.onnx")
    assert inputs(model.read_bytes()) == (Input("input", (1, 3, 16, 16)),)
    with pytest.raises(Unavailable, match="cannot be read as yolov8") as caught:
        engine(tmp_path, model, "yolov8")
    assert "sizes of its input" not in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_noise_has_no_inputs(noise: bytes, cut: int) -> None:
    assert isinstance(inputs(noise), tuple)
    with tempfile.TemporaryDirectory() as folder:
        whole = onnx_models.of_any_size(Path(folder) / "open.onnx").read_bytes()
    assert isinstance(inputs(whole[:cut] + noise + whole[cut:]), tuple)


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=5))
def test_only_the_sizes_of_the_input_are_changed(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = onnx_models.of_any_size(Path(folder) / "open.onnx").read_bytes()
    changed = with_sizes(whole, "images", sizes)
    assert inputs(changed) == (Input("images", tuple(sizes)),)
    # The model has its name, nodes and output as before.
    before, after = onnx.load_from_string(whole), onnx.load_from_string(changed)
    after.graph.input[0].CopyFrom(before.graph.input[0])
    assert after == before
    assert with_sizes(whole, "other", sizes) == whole


# --- networks, run -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "label"), [(plain(0, 0, 255), "red"), (plain(0, 255, 0), "green"), (plain(255, 0, 0), "blue")]
)
def test_classification_receives_the_colours_in_order(picture: bytes, label: str, tmp_path: Path) -> None:
    looking = engine(
        tmp_path, onnx_models.brightness(tmp_path / "rgb.onnx"), "classification", labels=("red", "green", "blue")
    )
    found = select_detections(looking.detect(picture, vision_support.never), 0.5, frozenset())
    assert [each.label for each in found] == [label]
    assert looking.model == "rgb"
    assert looking.available is None


@pytest.mark.parametrize("sizes", [("batch", 3, 16, 16), (1, 3, "height", "width"), ("?", 3, "h", "w")])
@pytest.mark.parametrize("nodes", onnx_models.READS_ITS_SIZE)
def test_open_sizes_are_fixed_by_the_setting(nodes: str, sizes: tuple[int | str, ...], tmp_path: Path) -> None:
    model = onnx_models.open_mean(tmp_path / "open.onnx", sizes, nodes)
    looking = engine(tmp_path, model, "classification", labels=("red", "green", "blue"))
    found = select_detections(looking.detect(plain(255, 0, 0), vision_support.never), 0.5, frozenset())
    assert [each.label for each in found] == ["blue"]


@pytest.mark.parametrize("sizes", [(1, 16, 16, 3), ("batch", "height", "width", 3)])
def test_colours_may_be_the_last_dimension(sizes: tuple[int | str, ...], tmp_path: Path) -> None:
    model = onnx_models.open_mean(tmp_path / "last.onnx", sizes, "colours last")
    looking = engine(tmp_path, model, "classification", labels=("red", "green", "blue"))
    found = select_detections(looking.detect(plain(0, 255, 0), vision_support.never), 0.5, frozenset())
    assert [each.label for each in found] == ["green"]


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((1, 3, 32, 32), "input images of .* is 1 x 3 x 32 x 32: onnx_size is 16; set onnx_size = 32"),
        ((1, 24, 24, 3), "is 1 x 24 x 24 x 3: onnx_size is 16; set onnx_size = 24"),
        ((1, 1, 16, 16), "is 1 x 1 x 16 x 16: it has 1 channels instead of 3; export the model for pictures in colour"),
        ((8, 3, 16, 16), "is 8 x 3 x 16 x 16: it takes 8 pictures at once; export the model with a batch of 1"),
        ((1, 3, 16, 32), "is 1 x 3 x 16 x 32: it is no square; export the model with a square input"),
    ],
)
def test_input_that_takes_no_such_picture_is_named(sizes: tuple[int | str, ...], sentence: str, tmp_path: Path) -> None:
    model = onnx_models.open_mean(tmp_path / "m.onnx", sizes, "colours last" if sizes[3] == 3 else "as it is")
    with pytest.raises(Unavailable, match=sentence):
        engine(tmp_path, model, "classification")


def test_scale_and_mean_apply_to_each_colour(tmp_path: Path) -> None:
    looking = engine(
        tmp_path,
        onnx_models.brightness(tmp_path / "rgb.onnx"),
        "classification",
        labels=("red", "green", "blue"),
        onnx_mean="255,0,0",
        onnx_scale=0.1,
    )
    values = {each.label: each.confidence for each in looking.detect(plain(10, 10, 255), vision_support.never)}
    assert values["red"] < 0.3, "red is at its mean, and so less than green and blue, which are above theirs"


def test_detection_network_returns_boxes(tmp_path: Path) -> None:
    # One place in the middle of an input of 16 pixels, half as wide; a picture of 40x30 has a border of 2 above.
    output = np.array([[[8], [8], [8], [6], [0.1], [0.9], [0.2]]], np.float32)
    looking = engine(tmp_path, onnx_models.fixed(tmp_path / "tiny.onnx", output), "yolov8", model="my model")
    ((label, confidence, box),) = looking.detect(plain(9, 9, 9), vision_support.never)
    assert (label, confidence, box) == approx("dog", 0.9, Box(25, 25, 50, 50))
    assert looking.model == "my model"


#: A person in the middle of a picture of 32x32, and places without anything, in the layouts of exported models.
PERSON = (16.0, 16.0, 8.0, 16.0)


def _exported(version: str) -> NDArray[np.float32]:
    if version == "yolov10":
        rows = np.zeros((1, 300, 6), np.float32)
        rows[0, 0] = (12, 8, 20, 24, 0.9, 0)
        return rows
    places = np.zeros((21, 4 + 3 + (version == "yolov5")), np.float32)
    places[:, :4] = 16
    places[7, :4] = PERSON
    places[8, :4] = PERSON  # the same person, found twice
    if version == "yolov5":
        places[7, 4:], places[8, 4:] = (0.95, 0.95, 0.1, 0.1), (0.9, 0.8, 0.1, 0.1)
        return places[None]
    places[7, 4:], places[8, 4:] = (0.9, 0.1, 0.1), (0.7, 0.1, 0.1)
    return np.ascontiguousarray(places.T[None])


@pytest.mark.parametrize(
    ("version", "output"),
    [("yolov5", "yolov5"), ("yolov8", "yolov8"), ("yolov10", "yolov10"), ("yolo11", "yolov8")],
)
def test_layout_of_an_exported_model_is_read(version: str, output: str, tmp_path: Path) -> None:
    model = onnx_models.fixed(tmp_path / f"{version}.onnx", _exported(version), side=32)
    looking = engine(tmp_path, model, output, onnx_size=32)
    found = select_detections(looking.detect(plain(9, 9, 9, 64, 64), vision_support.never), 0.5, frozenset())
    ((label, confidence, box),) = found
    assert (label, box) == ("person", Box(37.5, 25, 25, 50))
    assert confidence == pytest.approx(0.9, abs=0.01)


def real_model() -> Path:
    """A YOLOv8 that was exported with open sizes, of 12 MB; the package is MIT-licensed."""
    found = importlib.util.find_spec("nudenet")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no model: pip install --no-deps nudenet==3.4.2")
    return Path(found.submodule_search_locations[0]) / "320n.onnx"


def test_real_model_with_open_sizes_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        Unavailable, match=r"input images are open \(batch x 3 x height x width\): export it with fixed"
    ):
        engine(tmp_path, real_model(), "yolov8", labels=tuple("abcdefghijklmnopqr"), onnx_size=320)


def test_real_model_runs_once_its_sizes_are_fixed(tmp_path: Path) -> None:
    slim = pytest.importorskip("onnxslim", reason="no onnxslim: pip install onnxslim")
    fixed = tmp_path / "fixed.onnx"
    slim.slim(str(real_model()), str(fixed), input_shapes=["images:1,3,320,320"])
    looking = engine(tmp_path, fixed, "yolov8", labels=tuple("abcdefghijklmnopqr"), onnx_size=320)
    found = looking.detect(plain(90, 120, 60, 400, 300), vision_support.never)
    assert all(0 <= each.confidence <= 1 for each in found)


def test_undecodable_image_is_invalid(tmp_path: Path) -> None:
    looking = engine(tmp_path, onnx_models.brightness(tmp_path / "m.onnx"), "classification")
    whole = plain(1, 2, 3)
    with pytest.raises(InvalidImage, match="an image cannot be decoded"):
        looking.detect(whole[:2] + b"\xff\xd9", vision_support.never)
    with pytest.raises(InvalidImage, match="too narrow for the model"):
        engine(tmp_path, onnx_models.fixed(tmp_path / "y.onnx", np.zeros((1, 7, 2), np.float32)), "yolov8").detect(
            plain(1, 2, 3, 2000, 2), vision_support.never
        )


def test_network_with_non_finite_output_fails(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="its output has values that are not finite"):
        engine(tmp_path, onnx_models.fixed(tmp_path / "m.onnx", np.full((1, 3), np.nan, np.float32)), "classification")


def test_network_that_fails_later_keeps_its_images(tmp_path: Path) -> None:
    looking = engine(tmp_path, onnx_models.brightness(tmp_path / "m.onnx"), "classification")
    looking._labels = ("one",)
    with pytest.raises(EngineError, match="the model m fails: its output has 3 values 1x3, and there are 1 labels"):
        looking.detect(plain(1, 2, 3), vision_support.never)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"onnx_model": "/no/such/model"}, "there is no model file /no/such/model"),
        ({"onnx_labels": "/no/such/labels"}, "the labels in /no/such/labels cannot be read"),
        ({"onnx_model": None}, "the engine onnx needs the setting onnx_model: Model file in ONNX format"),
        ({"onnx_labels": None}, "the engine onnx needs the setting onnx_labels"),
        ({"onnx_output": "yolov8"}, r"cannot be read as yolov8: its output is 1x3, and 1x7x\(places\) is expected"),
        ({"onnx_output": "yolov5"}, r"cannot be read as yolov5: its output is 1x3, and 1x\(places\)x8 is expected"),
        ({"onnx_output": "ssd"}, "cannot be read as ssd: its output is 1x3, and rows of 7 are expected"),
        ({"onnx_output": "yolov10"}, "cannot be read as yolov10: its output is 1x3, and rows of 6 are expected"),
        ({"onnx_mean": "1,2"}, "onnx_mean is '1,2'; it must be three numbers"),
    ],
)
def test_mismatched_setting_is_reported_at_the_start(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    model = onnx_models.brightness(tmp_path / "m.onnx")
    with pytest.raises(Unavailable, match=sentence):
        engine(tmp_path, model, **{"output": values.pop("onnx_output", "classification"), **values})


@pytest.mark.parametrize("content", [b"", b"this is no model", bytes(1000)])
def test_file_that_is_not_a_model_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(
        Unavailable, match=r"m\.onnx (is not an ONNX model that OpenCV|does not accept images|cannot be read)"
    ):
        engine(tmp_path, tmp_path / "m.onnx", "classification")


def test_truncated_model_is_reported(tmp_path: Path) -> None:
    model = onnx_models.fixed(tmp_path / "m.onnx", np.zeros((1, 3), np.float32))
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(Unavailable, match="is not an ONNX model that OpenCV"):
        engine(tmp_path, model, "classification")


def test_empty_labels_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="has no labels; it needs one line per class"):
        engine(tmp_path, onnx_models.brightness(tmp_path / "m.onnx"), "classification", labels=("", ""))


# --- outputs, as arrays ------------------------------------------------------------------------------


def test_scores_become_probabilities_and_probabilities_are_kept() -> None:
    scores = read("classification", np.array([[2.0, 1.0, -1.0]]))
    assert sum(each.confidence for each in scores) == pytest.approx(1)
    assert scores[0].label == "person"
    assert read("classification", np.array([[0.7, 0.2, 0.1]]))[0].confidence == pytest.approx(0.7)
    assert read("classification", np.array([[1e30, 0, -1e30]]))[0].confidence == 1


def test_version_8_has_a_column_per_place() -> None:
    places = np.array([[50, 50, 20, 25, 0.9, 0.0, 0.0], [10, 30, 10, 10, 0.0, 0.2, 0.6]])
    first, second = read("yolov8", places.T[None])
    # The picture takes the rows 25 to 75 of the input.
    assert first == approx("person", 0.9, Box(40, 25, 20, 50))
    assert second == approx("cat", 0.6, Box(5, 0, 10, 20))


def test_version_5_multiplies_scores_with_objectness() -> None:
    places = np.array([[50, 50, 20, 20, 0.9, 0.9, 0.0, 0.0], [50, 50, 20, 20, 0.4, 0.0, 0.9, 0.0]])
    assert [(each.label, round(each.confidence, 2)) for each in read("yolov5", places[None])] == [("person", 0.81)]


def test_overlapping_boxes_count_once_per_label() -> None:
    places = np.array(
        [
            [50, 50, 20, 20, 0.9, 0.0, 0.0],
            [51, 51, 20, 20, 0.8, 0.0, 0.0],
            [50, 50, 20, 20, 0.0, 0.7, 0.0],
            [80, 50, 20, 20, 0.6, 0.0, 0.0],
        ]
    )
    found = read("yolov8", places.T[None])
    assert [(each.label, round(each.confidence, 1)) for each in found] == [
        ("person", 0.9),
        ("dog", 0.7),
        ("person", 0.6),
    ]


def test_place_without_an_object_is_no_detection() -> None:
    assert read("yolov8", np.zeros((1, 7, 100)), threshold=0.0) == []
    assert read("yolov10", np.zeros((1, 300, 6)), threshold=0.0) == []
    assert read("ssd", np.zeros((1, 1, 100, 7)), threshold=0.0) == []


def test_version_10_has_corners_in_pixels_of_the_input() -> None:
    assert read("yolov10", np.array([[[10, 30, 30, 50, 0.8, 1], [0, 0, 9, 9, 0.1, 0]]])) == [
        approx("dog", 0.8, Box(10, 10, 20, 40))
    ]


def test_ssd_has_relative_corners_and_numbers_for_unlabelled_classes() -> None:
    rows = np.array([[[[0, 1, 0.9, 0.1, 0.2, 0.5, 0.6], [0, 7, 0.6, -0.5, 0, 2, 1]]]])
    assert read("ssd", rows, Fit.stretched(300)) == [
        approx("dog", 0.9, Box(10, 20, 40, 40)),
        approx("class 7", 0.6, Box(0, 0, 100, 100)),
    ]


@pytest.mark.parametrize("output", READERS)
def test_non_finite_output_is_rejected(output: str) -> None:
    forms = {"classification": (1, 3), "ssd": (1, 1, 2, 7), "yolov5": (1, 2, 8), "yolov8": (1, 7, 2)}
    with pytest.raises(OutputError, match="values that are not finite"):
        read(output, np.full(forms.get(output, (1, 2, 6)), np.inf))
