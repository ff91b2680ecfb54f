"""The examples of docs/issuers.md, so that the tests use what the document says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from configs.identity import TrustedIssuer

DOCUMENT = Path(__file__).parents[3] / "docs" / "issuers.md"


def documented() -> dict[str, dict[str, Any]]:
    """Return the issuers of all examples by name."""
    examples = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    found = [issuer for example in examples for issuer in yaml.safe_load(example)["identity"]["issuers"]]
    return {issuer["name"]: issuer for issuer in found}


def example(name: str, **changes: Any) -> TrustedIssuer:
    """Return the settings of an example, with the addresses of a test."""
    return TrustedIssuer.model_validate({**documented()[name], **changes})
