"""What stands before the two applications: how the platform is, and what their relations mean."""
