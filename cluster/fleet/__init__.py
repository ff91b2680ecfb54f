"""The fleet: which Ray actors run, where, and that they keep running."""
