"""The embedded issuer's HTTP endpoints and pages."""
