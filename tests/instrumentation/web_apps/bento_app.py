"""A BentoML service that is no model: for the spans of its requests."""

from __future__ import annotations

import logging

import bentoml


@bentoml.service(workers=1)
class Doubler:
    @bentoml.api
    def double(self, number: int) -> int:
        logging.getLogger("app").warning("doubling %d", number)
        return 2 * number
