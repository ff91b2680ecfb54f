"""The platform against a reference, measured side by side in one run and written as ratios."""
