"""The demo's pictures: drawn with NumPy and Pillow, every draw from the generator that is handed in."""
