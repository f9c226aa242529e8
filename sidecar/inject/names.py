"""Names that are seen in a cluster: annotations that ask, names of what is put into a pod, paths and ports."""

from __future__ import annotations

PREFIX = "model-sidecar/"
INJECT = "model-sidecar/inject"
"""`true` or `false`: whether the pod gets the sidecar. As a label of a namespace: `true` for all of its pods."""
CONTAINER = "model-sidecar/container"
SERVICE_NAME = "model-sidecar/service-name"
MODEL = "model-sidecar/model"
MODEL_VERSION = "model-sidecar/model-version"
CAPTURE = "model-sidecar/capture"
INSTRUMENT = "model-sidecar/instrument"
PYTHON_PATH = "model-sidecar/python-path"
LOGS = "model-sidecar/logs"
CONFIG = "model-sidecar/config"
REFERENCE = "model-sidecar/reference"
SUITE = "model-sidecar/suite"
INJECTED = "model-sidecar/injected"
"""Annotation with the version of what was injected, and label `true`."""
OPTIONS = (
    *(INJECT, CONTAINER, SERVICE_NAME, MODEL, MODEL_VERSION, CAPTURE, INSTRUMENT, PYTHON_PATH, LOGS, CONFIG),
    *(REFERENCE, SUITE),
)

SIDECAR_CONTAINER = "model-sidecar"
BUNDLE_CONTAINER = "model-sidecar-bundle"
DATA_VOLUME = "model-sidecar-data"
BUNDLE_VOLUME = "model-sidecar-bundle"
LOG_VOLUME = "model-sidecar-logs"
CONFIG_VOLUME = "model-sidecar-config"
SECRET_VOLUME = "model-sidecar-secrets"
REFERENCE_VOLUME = "model-sidecar-references"
SUITE_VOLUME = "model-sidecar-suites"
VOLUMES = (
    *(DATA_VOLUME, BUNDLE_VOLUME, LOG_VOLUME, CONFIG_VOLUME, SECRET_VOLUME),
    *(REFERENCE_VOLUME, SUITE_VOLUME),
)

BUNDLE_PATH = "/model-sidecar/bundle"
BUNDLE_SOURCE = "/bundle"
"""Where the bundle is in its image."""
DATA_PATH = "/var/lib/sidecar"
LOG_PATH = "/var/log/model"
CONFIG_PATH = "/etc/sidecar/config"
CONFIG_FILE = f"{CONFIG_PATH}/sidecar.yaml"
SECRET_PATH = "/etc/sidecar/secrets"
REFERENCE_PATH = "/etc/sidecar/references"
SUITE_PATH = "/etc/sidecar/suites"

GRPC_PORT, HTTP_PORT, METRICS_PORT = 4317, 4318, 9464
METRICS_PORT_NAME = "sidecar-metrics"
USER_ID = 65532
"""Of the image's user."""
