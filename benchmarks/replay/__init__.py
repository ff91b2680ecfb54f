"""Real charging sessions, replayed second by second under one policy after the other."""
