"""The config: read with its lines, checked, expanded, and handed to the rules as a plan. No torch here."""
