"""Faults on a running platform, and witnesses of what it owes its stations afterwards."""
