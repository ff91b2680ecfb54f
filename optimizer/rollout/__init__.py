"""When the stations of a fleet download and install new firmware: batches in time slots, under every limit there is.

Pure: it decides only when, never whether a firmware may be installed or a rollout must stop. docs/rollout.md has the
formulation.
"""
