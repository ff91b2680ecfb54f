"""What all JSON of the API has in common: camelCase names with units, read straight off the platform's own values.

Must not know: endpoints.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _spelled(value: object) -> object:
    if not isinstance(value, datetime) and not (isinstance(value, str) and _MOMENT.match(value)):
        raise ValueError("a date and time with its offset is expected, like 2026-05-04T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_spelled)]
"""A moment as RFC 3339 spells it: numbers of seconds are none."""


class Wire(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, from_attributes=True)


class Asked(Wire):
    """Base of all request bodies: no unknown fields."""

    model_config = ConfigDict(extra="forbid")
