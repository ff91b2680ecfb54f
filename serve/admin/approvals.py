"""Four eyes: what somebody asks for, and another person approves or rejects."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query, Response

from actors.errors import Changed
from cluster.approvals import Approval, ApprovalFilter, State, Wish
from serve.admin.record_wire import ApprovalAsked, ApprovalOut, DecisionAsked
from serve.context import Asking, Context
from serve.etags import IfMatch, expected, quoted
from serve.hal import ListOf, present
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/approvals", "approvals")

FILTERS = "state,kind,target,requestedBy,limit"
_ONE = "/approvals/{approval_id}"
_Text = Annotated[str | None, Query(min_length=1, max_length=1000)]


@router.get("", response_model=ListOf[ApprovalOut])
async def list_approvals(
    asking: Asking,
    state: State | None = None,
    kind: _Text = None,
    target: _Text = None,
    requested_by: Annotated[_Text, Query(alias="requestedBy")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List requests, the newest first."""
    page = await asking.services.approvals.list(ApprovalFilter(state, kind, target, requested_by), cursor, limit)
    forms = {"ask": asking.form("POST /approvals", "Ask for an approval", body=ApprovalAsked)}
    return listed(asking, "cb:approval", page, lambda one: _shown(asking, one), forms)


@router.post("", status_code=201, response_model=ApprovalOut, dependencies=[Once])
async def ask_for_approval(asked: ApprovalAsked, asking: Asking, response: Response) -> dict[str, object]:
    """Ask for the approval of another person. It is good for exactly this, once, until it expires."""
    wish = Wish(asked.kind, asked.target, dict(asked.payload), asked.reason)
    approvals, approval_id = asking.services.approvals, asking.id_of("approval")
    approval = await approvals.ask(asking.caller, approval_id, wish, again=asking.again)
    response.headers["Location"] = asking.href(_ONE, {"approval_id": approval.id})
    return _shown(asking, approval)


@router.get("/{approval_id}", response_model=ApprovalOut)
async def get_approval(approval_id: str, asking: Asking, response: Response) -> dict[str, object]:
    """Return one request and what became of it."""
    return _tagged(asking, await asking.services.approvals.get(approval_id), response)


@router.post("/{approval_id}/decision", response_model=ApprovalOut, dependencies=[Once])
async def decide(
    approval_id: str, asked: DecisionAsked, asking: Asking, response: Response, if_match: IfMatch = None
) -> dict[str, object]:
    """Approve or reject what another person has asked for."""
    approvals, tag, version = asking.services.approvals, expected(if_match), None
    if tag is not None:
        seen = await approvals.get(approval_id)
        if tag != _tag(asking, seen):
            raise Changed("the request has changed since you looked")
        version = seen.version
    approval = await approvals.decide(asking.caller, approval_id, version, asked.verdict, asked.remark)
    return _tagged(asking, approval, response)


def _tag(asking: Context, approval: Approval) -> str:
    return f"{approval.version}-{asking.services.approvals.state(approval)}"


def _tagged(asking: Context, approval: Approval, response: Response) -> dict[str, object]:
    response.headers["ETag"] = quoted(_tag(asking, approval))
    return _shown(asking, approval)


def _shown(asking: Context, approval: Approval) -> dict[str, object]:
    at = {"approval_id": approval.id}
    links = {"self": asking.link(f"GET {_ONE}", at), "up": asking.link("GET /approvals")}
    forms = {
        name: asking.form(
            f"POST {_ONE}/decision", title, at, body=DecisionAsked, values={"verdict": verdict}
        )
        for name, title, verdict in (("approve", "Approve it", "approved"), ("reject", "Reject it", "rejected"))
    }  # fmt: skip
    decides = asking.services.approvals.may_decide(asking.caller, approval)
    return {
        **msgspec.structs.asdict(approval),
        "state": asking.services.approvals.state(approval),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present(forms if decides else {}),
    }
