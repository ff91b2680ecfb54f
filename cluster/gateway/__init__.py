"""The edge: stations' WebSockets on one side, batches to and from the hosts on the other."""
