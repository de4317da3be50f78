"""The settings of the vision collector."""

from __future__ import annotations

from typing import Any, NamedTuple

from collectors.core.settings import Setting, Values
from collectors.vision.snapshot import ALL_TOPICS

URL: Setting[str | None] = Setting(
    "url", str, None, "MQTT broker to receive images from: mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS."
)
TOPIC = Setting("topic", str, ALL_TOPICS, "Topic of the images; + matches any device.")
CLIENT_ID: Setting[str | None] = Setting(
    "client_id", str, None, "Client id under which the broker keeps the queue; derived from the host name by default."
)
PASSWORD_FILE: Setting[str | None] = Setting(
    "password_file", str, None, "File whose first line is the password for the broker."
)
CA_FILE: Setting[str | None] = Setting(
    "ca_file",
    str,
    None,
    "CA certificates (PEM) to verify the broker with; by default the system's and this hub's.",
)
QUEUE_DAYS = Setting(
    "queue_days",
    float,
    7.0,
    "Time that the broker keeps the queue while the collector is away, in days.",
    low=0.001,
    high=365,
)
PICTURES: Setting[str | None] = Setting(
    "pictures",
    str,
    None,
    "JPEG file, or folder of JPEGs, to process instead of a broker's images; the collector then ends.",
)

ENGINE = Setting("engine", str, "people", "Detection engine.", choices=("people", "onnx", "http"))
MODEL: Setting[str | None] = Setting(
    "model", str, None, "The tag model; by default people, the name of the model file, or the endpoint's host."
)
THRESHOLD = Setting("threshold", float, 0.5, "Minimum confidence of a detection.", low=0, high=1)
ONLY: Setting[str | None] = Setting("only", str, None, "Labels to report, separated by commas; all by default.")

PEOPLE_WIDTH = Setting(
    "people_width",
    int,
    720,
    "Width in pixels that an image is scaled to for people detection; people must be 96 pixels high in it.",
    low=64,
    high=1920,
)

ONNX_MODEL: Setting[str | None] = Setting("onnx_model", str, None, "Model file in ONNX format.")
ONNX_LABELS: Setting[str | None] = Setting("onnx_labels", str, None, "File with the model's labels, one per line.")
ONNX_OUTPUT = Setting(
    "onnx_output",
    str,
    "yolov8",
    "Format of the model's output.",
    choices=("classification", "ssd", "yolov5", "yolov8", "yolov10"),
)
ONNX_SIZE = Setting("onnx_size", int, 640, "Width and height of the model's input, in pixels.", low=8, high=2048)
ONNX_SCALE = Setting(
    "onnx_scale",
    float,
    1 / 255,
    "Factor for grey levels of 0 to 255, after the mean is subtracted.",
    low=1e-6,
    high=1000,
)
ONNX_MEAN = Setting("onnx_mean", str, "0,0,0", "Mean of red, green and blue to subtract first.")
ONNX_OVERLAP = Setting("onnx_overlap", float, 0.45, "Maximum overlap of two boxes with the same label.", low=0, high=1)

HTTP_URL: Setting[str | None] = Setting("http_url", str, None, "URL of the endpoint that receives images by POST.")
HTTP_HEADERS_FILE: Setting[str | None] = Setting(
    "http_headers_file", str, None, "File with request headers, such as a key: one line `Name: value` each."
)
HTTP_BODY = Setting(
    "http_body",
    str,
    "image",
    "Request body: the image itself, a file in a form, or JSON.",
    choices=("image", "form", "json"),
)
HTTP_FIELD = Setting("http_field", str, "image", "Name of the file field in the form.")
HTTP_JSON = Setting(
    "http_json", str, '{"image": "{image}"}', "JSON to send; {image} is replaced with the image in base64."
)
HTTP_DETECTIONS = Setting(
    "http_detections", str, "predictions", "JMESPath from the response to the list of detections."
)
HTTP_LABEL = Setting("http_label", str, "label", "JMESPath from a detection to its label.")
HTTP_CONFIDENCE = Setting("http_confidence", str, "confidence", "JMESPath from a detection to its confidence.")
HTTP_CONFIDENCE_UNIT = Setting(
    "http_confidence_unit", str, "fraction", "Unit of the confidence.", choices=("fraction", "percent")
)
HTTP_BOX: Setting[str | None] = Setting(
    "http_box", str, None, "JMESPath from a detection to the four numbers of its box; unset, no boxes are reported."
)
HTTP_BOX_FORM = Setting(
    "http_box_form",
    str,
    "corners",
    "The four numbers of a box: left, top, right, bottom; or left, top, width, height; or centre and size.",
    choices=("corners", "size", "middle"),
)
HTTP_BOX_UNIT = Setting(
    "http_box_unit", str, "pixels", "Unit of the four numbers.", choices=("pixels", "fraction", "percent")
)
HTTP_TIMEOUT_SECONDS = Setting(
    "http_timeout_seconds",
    float,
    10.0,
    "Timeout of one attempt, until the whole response has arrived.",
    low=0.1,
    high=300,
)
HTTP_ATTEMPTS = Setting("http_attempts", int, 3, "Maximum number of attempts per image.", low=1, high=10)
HTTP_BACKOFF_SECONDS = Setting(
    "http_backoff_seconds",
    float,
    1.0,
    "Maximum delay before the second attempt; it doubles with each attempt, and each delay is random up to it.",
    low=0.01,
    high=60,
)
HTTP_BACKOFF_MAX_SECONDS = Setting(
    "http_backoff_max_seconds", float, 30.0, "Maximum delay before any attempt.", low=0.01, high=600
)
BREAKER_FAILURES = Setting(
    "breaker_failures", int, 3, "Number of consecutive failed images that opens the circuit breaker.", low=1
)
BREAKER_SECONDS = Setting("breaker_seconds", float, 60.0, "Time that the circuit breaker stays open.", low=0.1)

KEEP_DIR = Setting(
    "keep_dir", str, "/var/lib/sensetig/vision", "Folder of the retry queue, for images whose detection failed."
)
KEEP_MEGABYTES = Setting(
    "keep_megabytes",
    float,
    50.0,
    "Maximum size of the retry queue, in MB; the oldest images are dropped first.",
    low=0.001,
)
KEEP_DAYS = Setting(
    "keep_days", float, 7.0, "Maximum age of an image in the retry queue, in days.", low=0.001, high=365
)
KEEP_RETRY_SECONDS = Setting(
    "keep_retry_seconds",
    float,
    60.0,
    "Delay after a failure before an image of the retry queue is retried.",
    low=0.1,
    high=86400,
)

STATUS_SECONDS = Setting("status_seconds", float, 10.0, "Interval of the status.", low=0.1, high=3600)

#: Every setting declared above, in that order.
SETTINGS: tuple[Setting[Any], ...] = tuple(value for value in globals().values() if isinstance(value, Setting))


class Config(NamedTuple):
    """Which detections are reported, and when: see the settings of these names, and ``only`` for the labels."""

    threshold: float = THRESHOLD.default
    labels: frozenset[str] = frozenset()
    status_seconds: float = STATUS_SECONDS.default
    keep_retry_seconds: float = KEEP_RETRY_SECONDS.default


def load_config(values: Values) -> Config:
    """The configuration that the settings describe."""
    labels = frozenset(label.strip() for label in (values[ONLY] or "").split(",") if label.strip())
    return Config(values[THRESHOLD], labels, values[STATUS_SECONDS], values[KEEP_RETRY_SECONDS])
