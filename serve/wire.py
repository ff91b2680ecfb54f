"""What all JSON of the API has in common: camelCase names with units, read straight off the platform's own values.

Must not know: endpoints.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, from_attributes=True)


class Asked(Wire):
    """Base of all request bodies: no unknown fields."""

    model_config = ConfigDict(extra="forbid")
