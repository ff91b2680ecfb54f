"""Any one change, removal, insertion or swap of entries is found, and the entry to blame is named."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import BadRequest
from cluster.audit.chain import EMPTY, ChainedEntry, Finding, Head, Verifier, chained, digest
from tests.cluster.audit.deeds import deed

pytestmark = pytest.mark.pure

PLACES = st.integers(1, 12)
COUNT = 12


def chain(count: int = COUNT) -> list[ChainedEntry]:
    return chained(EMPTY, [deed(number) for number in range(1, count + 1)])


def verified(links: list[ChainedEntry], head: Head | None, *anchors: Head) -> list[Finding]:
    verifier = Verifier(anchors)
    return [finding for link in links for finding in verifier.take(link)] + list(verifier.end(head))


def renumbered(links: list[ChainedEntry]) -> list[ChainedEntry]:
    return [msgspec.structs.replace(link, seq=seq) for seq, link in enumerate(links, 1)]


def named(findings: list[Finding]) -> list[tuple[int, str]]:
    return [(finding.seq, finding.kind) for finding in findings]


WHOLE = chain()
HEAD = WHOLE[-1].head


def test_a_whole_chain_has_no_findings() -> None:
    assert verified(WHOLE, HEAD, WHOLE[4].head, HEAD) == []
    assert verified([], EMPTY) == []


def test_chains_continue_where_they_ended() -> None:
    first = chained(EMPTY, [deed(1), deed(2)])
    assert first + chained(first[-1].head, [deed(3)]) == chain(3)


TEXTS = ("id", "subject", "issuer", "action", "target_kind", "target_id", "address", "user_agent", "problem")


def other_values() -> st.SearchStrategy[dict[str, Any]]:
    text = st.text(max_size=20)
    return st.one_of(
        st.sampled_from(TEXTS).flatmap(lambda name: st.fixed_dictionaries({name: text})),
        st.fixed_dictionaries({"status": st.integers(201, 599)}),
        st.just({"at": deed(99).at}),
        st.just({"subject": None, "roles": ("auditor",)}),
        st.fixed_dictionaries({"details": st.dictionaries(text, text, min_size=2, max_size=3)}),
    )


@given(PLACES, other_values())
def test_a_changed_entry_is_named_and_no_other(place: int, values: dict[str, Any]) -> None:
    links = list(WHOLE)
    link = links[place - 1]
    links[place - 1] = msgspec.structs.replace(link, entry=msgspec.structs.replace(link.entry, **values))
    assert named(verified(links, HEAD)) == [(place, "changed")]


@given(PLACES, st.binary(min_size=32, max_size=32), st.sampled_from(["hash", "previous"]))
def test_a_changed_hash_is_named(place: int, value: bytes, field: str) -> None:
    links = list(WHOLE)
    links[place - 1] = msgspec.structs.replace(links[place - 1], **{field: value})
    assert named(verified(links, HEAD)) == [(place, "changed")]


@given(PLACES)
def test_an_entry_replaced_with_a_fitting_hash_is_found_at_the_next_one(place: int) -> None:
    links = list(WHOLE)
    link, forged = links[place - 1], deed(99)
    links[place - 1] = ChainedEntry(place, forged, link.previous, digest(link.previous, forged))
    (finding,) = verified(links, HEAD)
    assert (finding.seq, finding.kind) == ((place, "head") if place == COUNT else (place + 1, "unlinked"))
    assert f"entry {place}" in finding.text or f", {place}," in finding.text


@given(PLACES, st.booleans())
def test_a_removed_entry_is_named(place: int, renumber: bool) -> None:
    links = WHOLE[: place - 1] + WHOLE[place:]
    findings = named(verified(renumbered(links) if renumber else links, HEAD))
    if not renumber or place == COUNT:
        assert findings == [(place, "missing")]
    else:
        assert findings == [(place, "unlinked"), (COUNT, "missing")]


@given(st.sets(PLACES, min_size=1))
def test_any_number_of_removed_entries_is_found(places: set[int]) -> None:
    findings = verified([link for link in WHOLE if link.seq not in places], HEAD)
    assert findings
    assert findings[0].seq == min(places)
    assert {finding.kind for finding in findings} == {"missing"}


@given(PLACES)
def test_an_inserted_entry_is_named_though_it_fits_and_all_others_were_renumbered(place: int) -> None:
    before = WHOLE[place - 2].head if place > 1 else EMPTY
    (forged,) = chained(before, [deed(99)])
    links = renumbered([*WHOLE[: place - 1], forged, *WHOLE[place - 1 :]])
    findings = verified(links, HEAD)
    assert (place, "inserted") in named(findings)
    assert "entry 13" in findings[-1].text, "and there is one more than the head knows"


def test_entries_added_past_the_head_are_named() -> None:
    findings = verified(WHOLE + chained(HEAD, [deed(99)]), HEAD)
    assert named(findings) == [(COUNT + 1, "inserted")]


def test_an_entry_put_before_the_first_is_named() -> None:
    forged = msgspec.structs.replace(chained(EMPTY, [deed(99)])[0], seq=0)
    assert named(verified([forged, *WHOLE], HEAD)) == [(0, "inserted")]


@given(st.permutations(WHOLE), st.booleans())
def test_any_other_order_is_found(links: list[ChainedEntry], renumber: bool) -> None:
    moved = renumbered(links) if renumber else links
    assert bool(verified(moved, HEAD)) == (links != WHOLE)


def test_a_lost_head_is_a_finding() -> None:
    assert named(verified(WHOLE, None)) == [(COUNT, "head")]


@given(st.integers(0, COUNT))
def test_a_cut_chain_whose_head_was_set_back_is_found_by_an_anchor(kept: int) -> None:
    head = WHOLE[kept - 1].head if kept else EMPTY
    assert verified(WHOLE[:kept], head) == [], "without an anchor nobody can know"
    assert named(verified(WHOLE[:kept], head, HEAD)) == ([(COUNT, "anchor")] if kept < COUNT else [])


def test_a_chain_made_anew_is_found_by_an_anchor() -> None:
    anew = chained(EMPTY, [deed(number, station_id="CP-2") for number in range(1, COUNT + 1)])
    assert verified(anew, anew[-1].head) == []
    assert named(verified(anew, anew[-1].head, WHOLE[4].head)) == [(5, "anchor")]


def test_an_anchor_is_read_back_from_its_text() -> None:
    assert Head.parse(f" {HEAD}\n") == HEAD
    assert verified(WHOLE, HEAD, Head.parse(str(EMPTY))) == [], "the head of an empty chain holds for every chain"


@pytest.mark.parametrize("text", ["", "12", "x:00", "12:zz", "12:00", f"0:{'01' * 32}", f"-1:{'00' * 32}"])
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="anchor"):
        Head.parse(text)
