"""The OCPP-J wire, sans-I/O: frames, connections, schemas and the 1.6 translation."""
