"""Events on Valkey streams: live ones as they come, business ones from the outbox."""
