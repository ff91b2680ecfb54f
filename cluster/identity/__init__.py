"""Who calls the API and how the platform knows: issuers, tokens, people, keys of machines."""
