"""Data sets: listed, split, decoded and handed on as tensors."""
