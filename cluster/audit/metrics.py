"""The audit log's status in Prometheus' words; register `AuditMetrics` with the registry of the process."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.audit.ports import AuditLog


class AuditMetrics(Collector):
    """Reads the status when it is asked."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._log = audit_log

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        status = self._log.status()
        away_s = status.waiting_s or 0.0
        yield GaugeMetricFamily("cloudbay_audit_ok", "1 while entries reach the database", int(status.ok))
        yield GaugeMetricFamily("cloudbay_audit_waiting_bytes", "Entries not in the database yet", status.waiting_bytes)
        yield GaugeMetricFamily("cloudbay_audit_waiting_seconds", "How long the database has taken none", away_s)
        yield CounterMetricFamily("cloudbay_audit_spooled", "Entries written to the local disk", status.spooled)
        yield CounterMetricFamily("cloudbay_audit_stored", "Entries put into the database", status.stored)
        failures = status.spool_failures
        yield CounterMetricFamily("cloudbay_audit_spool_failures", "Failed writes to the local disk", failures)
