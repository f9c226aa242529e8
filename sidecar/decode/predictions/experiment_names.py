"""Which attributes of a log record say what about an experiment (an A/B test). Data only; the first that holds
something counts. What stands on the resource counts where the record itself does not say it."""

from __future__ import annotations

VERSION = 1

ASSIGNMENTS: tuple[tuple[str, str], ...] = (
    ("ml.experiment", "ml.variant"),
    ("feature_flag.key", "feature_flag.result.variant"),
    ("feature_flag.key", "feature_flag.variant"),
    ("experiment", "variant"),
    ("inferenceservicename", "endpoint"),
)
"""(experiment, variant), both of one row: OpenTelemetry's feature flags in their two spellings, what programs log, and
KServe's CloudEvents, whose endpoint is `default` or `canary`."""

USERS = ("user.id", "enduser.id", "feature_flag.context.id", "user_id", "userId")
"""Who was shown the variant."""

EXPOSURE_EVENTS = ("feature_flag.evaluation", "ml.exposure", "exposure")
"""Events that say that somebody was given a variant. A prediction that names an experiment says so too."""

CONVERSION_EVENTS = ("ml.conversion", "conversion")
"""Events that say that the variant had the success that the experiment is about."""

VALUES = ("ml.conversion.value", "conversion_value", "revenue", "value", "amount")
"""What a conversion is worth, as a number."""

NAMED_BY = ("event.name", "event_name")
"""Attributes that name an event, where LogRecord.event_name does not; else its body, where that is a text."""
