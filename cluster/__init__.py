"""Where the platform runs: Ray, sockets, databases, keys."""
