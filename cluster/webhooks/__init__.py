"""Webhooks: business events as signed HTTP requests to endpoints that users name, at least once."""
