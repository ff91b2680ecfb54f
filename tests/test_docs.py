"""Paths and tests that the documents name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
_FOLDERS = "actors|cluster|optimizer|serve|simulator|configs|tests|docs|benchmarks|deploy"
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]*\w/?)`")

_TEST = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_named_in_a_document_exists(document: Path) -> None:
    text = document.read_text()
    missing = [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    missing += [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    assert not missing


def test_every_test_named_in_a_document_exists() -> None:
    named = {name for document in DOCUMENTS for name in _TEST.findall(document.read_text())}
    there = {
        name
        for path in ROOT.glob("tests/**/test_*.py")
        for name in [path.stem, *re.findall(r"def (test_\w+)", path.read_text())]
    }
    assert named
    assert named <= there, named - there
