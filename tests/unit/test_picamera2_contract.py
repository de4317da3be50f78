"""The parts of picamera2 that the CSI camera uses exist with the same signatures; the double offers nothing else.

picamera2 runs only on a Pi, but its source can be read anywhere. Only its two outputs, which are plain Python, are
executed as well.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import collectors.camera.backends.picamera2 as backend
from collectors.camera.backends.picamera2 import CsiCamera, Library
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values
from tests.doubles import picamera2 as double
from tests.doubles.package import Package, Unobtainable, Use, archive, classes, uses
from tests.unit.camera_media_support import BASE_NS, boxes, shown

VERSION = "0.3.38"

#: The path of each class; the encoder has two, and a Pi 5 uses the second.
PLACES = {
    "Picamera2": ["picamera2/picamera2.py:Picamera2"],
    "CompletedRequest": ["picamera2/request.py:CompletedRequest"],
    "H264Encoder": [
        "picamera2/encoders/h264_encoder.py:H264Encoder",
        "picamera2/encoders/libav_h264_encoder.py:LibavH264Encoder",
    ],
    "CircularOutput2": ["picamera2/outputs/circularoutput2.py:CircularOutput2"],
    "PyavOutput": ["picamera2/outputs/pyavoutput.py:PyavOutput"],
    "Job": ["picamera2/job.py:Job"],
    "MappedArray": ["picamera2/request.py:MappedArray"],
}

#: The classes of the expressions in the backend's source.
RECEIVERS = {
    "camera": "Picamera2",
    "self._camera": "Picamera2",
    "library.Picamera2": "Picamera2",
    "request": "CompletedRequest",
    "output": "PyavOutput",
    "self._circular": "CircularOutput2",
    "mapped": "MappedArray",
}

#: Attributes that only tests use on the double.
OF_THE_DOUBLE = {
    "Picamera2": {"world", "camera_num", "stamp", "closed"},
    "CompletedRequest": set(),
    "H264Encoder": {"begin", "encode_picture", "end"},
    "CircularOutput2": set(),
    "PyavOutput": set(),
    "Job": {"cancelled", "__init__"},
    "MappedArray": set(),
}


@pytest.fixture(scope="module")
def package() -> Package:
    try:
        return Package(archive("picamera2", VERSION), "picamera2")
    except Unobtainable as error:
        pytest.skip(str(error))


def ours() -> ast.Module:
    return ast.parse(inspect.getsource(backend))


def constructions(tree: ast.AST) -> Iterator[Use]:
    """Where the backend makes an object: ``library.X(...)``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if ast.unparse(node.func.value) in ("library", "self._library") and node.func.attr in PLACES:
            keywords = tuple(each.arg for each in node.keywords if each.arg is not None)
            yield Use(node.func.attr, "__init__", (len(node.args), keywords), node.lineno)


def refusals(package: Package, use: Use) -> Iterator[str]:
    for place in PLACES[use.owner]:
        found = package.look_up(*place.split(":"))
        where = f"line {use.line}: {place} {use.name}"
        if use.call is not None and use.name in found.methods:
            refusal = found.methods[use.name].refusal(*use.call)
            if refusal:
                yield f"{where} {refusal}"
        elif use.call is not None or use.name not in found.attributes | found.methods.keys():
            yield f"{where} is not there"


def test_backend_uses_the_package_as_it_is_defined(package: Package) -> None:
    found = [*uses(ours(), RECEIVERS), *constructions(ours())]
    assert [refusal for use in found for refusal in refusals(package, use)] == []
    # That the text has been read as it is meant: some of each, and of each kind.
    assert {use.owner for use in found} == PLACES.keys() - {"Job"}
    names = {use.name for use in found}
    assert {"capture_request", "wait", "create_video_configuration", "error_callback", "buffer_duration_ms"} <= names


def test_contract_detects_a_missing_name(package: Package) -> None:
    broken = "camera.capture_requests()\ncamera.wait(job, seconds=1)\nrequest.arrays\noutput.error_callback(1)\n"
    told = [refusal for use in uses(ast.parse(broken), RECEIVERS) for refusal in refusals(package, use)]
    assert sorted(told) == [
        "line 1: picamera2/picamera2.py:Picamera2 capture_requests is not there",
        "line 2: picamera2/picamera2.py:Picamera2 wait has no parameter seconds",
        "line 3: picamera2/request.py:CompletedRequest arrays is not there",
        "line 4: picamera2/outputs/pyavoutput.py:PyavOutput error_callback is not there",
    ]


def test_every_import_of_the_backend_exists_in_the_package(package: Package) -> None:
    imported = [
        (node.module, each.name)
        for node in ast.walk(ours())
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("picamera2")
        for each in node.names
    ]
    assert len(imported) == 5
    for module, name in imported:
        assert package.offers(module.replace(".", "/") + "/__init__.py", name), (module, name)


def test_streams_and_sensor_use_the_keywords_that_the_package_reads(package: Package) -> None:
    stream = package.words("picamera2/picamera2.py", "check_stream_config")
    sensor = package.words("picamera2/picamera2.py", "check_camera_config")
    given: dict[str, set[str]] = {}
    for node in ast.walk(ours()):
        if (
            isinstance(node, ast.keyword)
            and node.arg in ("main", "lores", "sensor")
            and isinstance(node.value, ast.Dict)
        ):
            given[node.arg] = {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    assert given["main"] == given["lores"] == {"size", "format"}
    assert given["main"] <= stream
    assert given["sensor"] == {"output_size"} <= sensor


def test_timeouts_raise_the_exceptions_that_the_backend_handles(
    package: Package,
) -> None:
    job = package.texts["picamera2/job.py"]
    assert "from concurrent.futures import CancelledError, Future" in job
    assert "return self._future.result(timeout=timeout)" in job, "which raises TimeoutError"
    assert "False - return immediately" in package.texts["picamera2/picamera2.py"], "and gives a job, with wait=False"


def test_libcamera_names_are_those_that_the_package_uses(package: Package) -> None:
    everything = "\n".join(package.texts.values())
    for name in (
        "FrameDurationLimits",
        "ExposureTime",
        "AnalogueGain",
        "SensorTimestamp",
        "AfMode",
        ".hflip",
        ".vflip",
    ):
        assert name in everything, name


def test_double_has_exactly_the_parameters_of_the_package(package: Package) -> None:
    doubles = classes(ast.parse(inspect.getsource(double)))
    for name, places in PLACES.items():
        made = doubles[name]
        real = package.look_up(*places[0].split(":"))
        own = OF_THE_DOUBLE[name]
        public = {each for each in made.attributes if not each.startswith("_")} - own
        assert public <= real.attributes | real.methods.keys(), name
        for method in made.methods.keys() - own:
            if method in ("__init__", "_add_stream") or not method.startswith("_"):
                assert method in real.methods, f"{name}.{method}"
                assert made.methods[method].positional == real.methods[method].positional, f"{name}.{method}"


@pytest.fixture
def outputs(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package's own outputs, which need nothing else of it."""
    folder = tmp_path / "contract_outputs"
    folder.mkdir()
    for name in ("output", "circularoutput2", "pyavoutput"):
        (folder / f"{name}.py").write_text(package.texts[f"picamera2/outputs/{name}.py"])
    (folder / "__init__.py").write_text(
        "from .circularoutput2 import CircularOutput2\nfrom .pyavoutput import PyavOutput\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("contract_outputs")
    for name in [name for name in sys.modules if name.startswith("contract_outputs")]:
        del sys.modules[name]


@pytest.mark.parametrize("real", [True, False], ids=["the package's outputs", "the double's"])
def test_double_writes_the_same_clip_as_the_package(real: bool, outputs: ModuleType, tmp_path: Path) -> None:
    made: Any = outputs if real else double
    double.Picamera2.world = double.World([10 + number for number in range(200)])
    library = Library(
        double.Picamera2,
        double.H264Encoder,
        made.CircularOutput2,
        made.PyavOutput,
        double.Transform,
        double.MappedArray,
    )
    values = Values({"media_dir": str(tmp_path), "pre_capture_seconds": 2.0, "main_width": 320, "main_height": 240})
    ribbon = CsiCamera(library, values, ErrorReporter("camera", print), lambda: BASE_NS, double.Picamera2.world.clock)
    assert ribbon.buffer_seconds == 3.0
    frames = ribbon.frames(lambda _seconds: False)
    path = tmp_path / "clip.mp4"
    for number in range(200):
        next(frames)
        if number == 100:
            ribbon.begin_clip(str(path))
        if number == 150:
            ribbon.end_clip()
    ribbon.close()
    found = shown(path)
    order = boxes(path)
    assert order.index("moov") < order.index("mdat")
    # The buffer holds pictures 71 to 100 then; the first key frame among them is 80. Output lags by 3 s.
    assert [time for time, _ in found] == pytest.approx([number / 10 for number in range(len(found))], abs=0.001)
    levels = [round((told * 10 + 10) / 1.164 + 16) for _, told in found]
    assert levels == pytest.approx([90 + number for number in range(41)], abs=2)
