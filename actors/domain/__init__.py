"""What the standard's words mean, as values and pure functions."""
