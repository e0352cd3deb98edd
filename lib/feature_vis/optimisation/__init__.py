"""The ascent: where pictures start, how they are optimised many at a time, and how an interrupted one goes on."""
