"""The application of staff: the fleet, its stations, transactions and tokens, and the platform itself."""
