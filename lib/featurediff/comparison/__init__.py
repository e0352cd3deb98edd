"""The tables of a comparison: every channel before and after, and through the epochs of a training."""
