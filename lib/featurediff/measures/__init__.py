"""What differs between two networks: their pictures, their responses to photographs, and their weights."""
