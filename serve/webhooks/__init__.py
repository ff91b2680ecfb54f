"""Webhooks over HTTP: the same operations in the application of staff and in the app."""
