"""Networks: built by name, their weights loaded, read at their layers, and made ready to be optimised against."""
