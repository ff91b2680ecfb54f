"""The audit log's status as numbers, by the names that `metrics` shows them under.

Must not know: where they are shown.
"""

from __future__ import annotations

from cluster.audit.ports import AuditStatus


def numbers(status: AuditStatus) -> dict[str, float]:
    """Return one process' status; `audit_ok` is 1 while entries reach the database."""
    return {
        "audit_ok": int(status.ok),
        "audit_waiting_bytes": status.waiting_bytes,
        "audit_waiting_seconds": status.waiting_s or 0.0,
        "audit_spooled": status.spooled,
        "audit_stored": status.stored,
        "audit_spool_failures": status.spool_failures,
    }
