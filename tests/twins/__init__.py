"""In-memory twins of the ports, with the semantics that the contract tests prove for the real ones too."""
