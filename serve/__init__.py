"""HTTP: the API on Ray Serve and FastAPI. Nothing here decides anything."""
