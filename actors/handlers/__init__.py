"""One handler per message, grouped by OCPP functional block; `routes` and `commands` are the tables."""
