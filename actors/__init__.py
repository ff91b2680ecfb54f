"""What a charger is: plain Python, with no Ray, no database, no sockets and no clock of its own."""
