"""What whoever is signed in may see and do of their own account; both applications have it."""
