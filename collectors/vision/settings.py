"""The settings of the vision collector."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting
from collectors.vision.snapshot import ALL_TOPICS

URL: Setting[str | None] = Setting(
    "url", str, None, "The broker to take pictures from: mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS."
)
TOPIC = Setting("topic", str, ALL_TOPICS, "The topic with the pictures; + stands for any device.")
CLIENT_ID: Setting[str | None] = Setting(
    "client_id", str, None, "The name by which the broker keeps the queue; by default after this machine."
)
PASSWORD_FILE: Setting[str | None] = Setting(
    "password_file", str, None, "A file whose first line is the broker's password."
)
CA_FILE: Setting[str | None] = Setting(
    "ca_file", str, None, "Certificates to trust for the broker instead of the system's, in PEM."
)
QUEUE_DAYS = Setting(
    "queue_days", float, 7.0, "How long the broker keeps the queue while nobody takes from it.", low=0.001, high=365
)
PICTURES: Setting[str | None] = Setting(
    "pictures", str, None, "A JPEG, or a folder of them, to look at instead of a broker's; then it ends."
)

ENGINE = Setting("engine", str, "people", "What looks at the pictures.", choices=("people", "onnx", "http"))
MODEL: Setting[str | None] = Setting(
    "model", str, None, "The tag model; by default people, the model file's name, or the endpoint's host."
)
THRESHOLD = Setting("threshold", float, 0.5, "The least confidence that counts.", low=0, high=1)
ONLY: Setting[str | None] = Setting("only", str, None, "The labels that count, with commas between; by default all.")

PEOPLE_WIDTH = Setting(
    "people_width",
    int,
    720,
    "Pixels that a picture is made wide before people are looked for, who have to be 96 pixels high in it.",
    low=64,
    high=1920,
)

ONNX_MODEL: Setting[str | None] = Setting("onnx_model", str, None, "The model file, in ONNX.")
ONNX_LABELS: Setting[str | None] = Setting("onnx_labels", str, None, "The model's labels, a line each.")
ONNX_OUTPUT = Setting(
    "onnx_output",
    str,
    "yolov8",
    "How the model's output is to be read.",
    choices=("classification", "ssd", "yolov5", "yolov8", "yolov10"),
)
ONNX_SIZE = Setting("onnx_size", int, 640, "Width and height of the model's input, in pixels.", low=8, high=2048)
ONNX_SCALE = Setting(
    "onnx_scale", float, 1 / 255, "What a grey level of 0 to 255 is multiplied by, after the mean.", low=1e-6, high=1000
)
ONNX_MEAN = Setting("onnx_mean", str, "0,0,0", "The mean of red, green and blue that is taken off first.")
ONNX_OVERLAP = Setting(
    "onnx_overlap", float, 0.45, "How far two boxes of a label may overlap and still both count.", low=0, high=1
)

HTTP_URL: Setting[str | None] = Setting("http_url", str, None, "The endpoint that pictures are sent to, by POST.")
HTTP_HEADERS_FILE: Setting[str | None] = Setting(
    "http_headers_file", str, None, "A file with headers, a line `Name: value` each, such as a key."
)
HTTP_BODY = Setting(
    "http_body",
    str,
    "image",
    "How a picture is sent: as it is, as a form's file, or in JSON.",
    choices=("image", "form", "json"),
)
HTTP_FIELD = Setting("http_field", str, "image", "The name of the form's file.")
HTTP_JSON = Setting(
    "http_json", str, '{"image": "{image}"}', "The JSON to send, with {image} where the picture in base64 goes."
)
HTTP_DETECTIONS = Setting(
    "http_detections", str, "predictions", "JMESPath from the answer to the list of what was found."
)
HTTP_LABEL = Setting("http_label", str, "label", "JMESPath from one of these to its label.")
HTTP_CONFIDENCE = Setting("http_confidence", str, "confidence", "JMESPath from one of these to its confidence.")
HTTP_CONFIDENCE_UNIT = Setting(
    "http_confidence_unit", str, "fraction", "What a confidence is told in.", choices=("fraction", "percent")
)
HTTP_BOX: Setting[str | None] = Setting(
    "http_box", str, None, "JMESPath from one of these to the four numbers of its box; without it, no boxes."
)
HTTP_BOX_FORM = Setting(
    "http_box_form",
    str,
    "corners",
    "What the four are: left, top, right, bottom; or left, top, width, height; or the middle and the size.",
    choices=("corners", "size", "middle"),
)
HTTP_BOX_UNIT = Setting(
    "http_box_unit", str, "pixels", "What the four are told in.", choices=("pixels", "fraction", "percent")
)
HTTP_TIMEOUT_SECONDS = Setting(
    "http_timeout_seconds", float, 10.0, "How long one attempt may take until its answer is there.", low=0.1, high=300
)
HTTP_ATTEMPTS = Setting("http_attempts", int, 3, "How often a picture is sent before it is given up.", low=1, high=10)
HTTP_BACKOFF_SECONDS = Setting(
    "http_backoff_seconds",
    float,
    1.0,
    "The longest pause before the second attempt; it doubles with each, and each pause is drawn at random up to it.",
    low=0.01,
    high=60,
)
HTTP_BACKOFF_MAX_SECONDS = Setting(
    "http_backoff_max_seconds", float, 30.0, "The longest pause before any attempt.", low=0.01, high=600
)
BREAKER_FAILURES = Setting(
    "breaker_failures", int, 3, "How many pictures in a row have to fail until the endpoint is left alone.", low=1
)
BREAKER_SECONDS = Setting("breaker_seconds", float, 60.0, "How long the endpoint is then left alone.", low=0.1)

KEEP_DIR = Setting(
    "keep_dir", str, "/var/lib/sensetig/vision", "Where pictures that could not be looked at wait for a later try."
)
KEEP_MEGABYTES = Setting("keep_megabytes", float, 50.0, "How much they may take up; the oldest go first.", low=0.001)
KEEP_DAYS = Setting("keep_days", float, 7.0, "How long one may wait.", low=0.001, high=365)
KEEP_RETRY_SECONDS = Setting(
    "keep_retry_seconds", float, 60.0, "How long after a failure the next kept picture is tried.", low=0.1, high=86400
)

STATUS_SECONDS = Setting("status_seconds", float, 10.0, "How often the status is emitted.", low=0.1, high=3600)

SETTINGS: tuple[Setting[Any], ...] = (
    URL,
    TOPIC,
    CLIENT_ID,
    PASSWORD_FILE,
    CA_FILE,
    QUEUE_DAYS,
    PICTURES,
    ENGINE,
    MODEL,
    THRESHOLD,
    ONLY,
    PEOPLE_WIDTH,
    ONNX_MODEL,
    ONNX_LABELS,
    ONNX_OUTPUT,
    ONNX_SIZE,
    ONNX_SCALE,
    ONNX_MEAN,
    ONNX_OVERLAP,
    HTTP_URL,
    HTTP_HEADERS_FILE,
    HTTP_BODY,
    HTTP_FIELD,
    HTTP_JSON,
    HTTP_DETECTIONS,
    HTTP_LABEL,
    HTTP_CONFIDENCE,
    HTTP_CONFIDENCE_UNIT,
    HTTP_BOX,
    HTTP_BOX_FORM,
    HTTP_BOX_UNIT,
    HTTP_TIMEOUT_SECONDS,
    HTTP_ATTEMPTS,
    HTTP_BACKOFF_SECONDS,
    HTTP_BACKOFF_MAX_SECONDS,
    BREAKER_FAILURES,
    BREAKER_SECONDS,
    KEEP_DIR,
    KEEP_MEGABYTES,
    KEEP_DAYS,
    KEEP_RETRY_SECONDS,
    STATUS_SECONDS,
)
