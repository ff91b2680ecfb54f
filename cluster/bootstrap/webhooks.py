"""Webhooks as those need them who make them."""

from __future__ import annotations

from datetime import timedelta

from cluster.bootstrap.connections import now
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.ports import DeliveryLog, SubscriptionStore
from cluster.webhooks.subscriptions import UrlRules, WebhookDeliveries, Webhooks
from configs.settings import Settings


def open_webhooks(settings: Settings, store: SubscriptionStore) -> Webhooks:
    """Return the subscriptions."""
    hooks = settings.webhooks
    urls = UrlRules(AddressRules(hooks.allowed_networks), allow_http=hooks.allow_http)
    return Webhooks(store, urls, hooks.max_per_owner, timedelta(hours=hooks.rotation_hours), now)


def open_deliveries(settings: Settings, store: SubscriptionStore, log: DeliveryLog) -> WebhookDeliveries:
    """Return what became of their events."""
    return WebhookDeliveries(store, log, timedelta(hours=settings.webhooks.retry_hours), now)
