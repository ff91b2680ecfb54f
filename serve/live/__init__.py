"""Live events over HTTP: one subscription to one client, as server-sent events or as a WebSocket."""
