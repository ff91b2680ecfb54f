"""Events on their ways out: live ones as they come; business ones by outbox and journal, to a stream and Kinesis."""
