"""What changed between two networks, what does it look like, is it real, and does it matter?"""
