"""Settings into services: the only folder that chooses adapters. Nothing here runs at import time."""
