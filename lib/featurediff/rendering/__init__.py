"""Channel pictures on disk: rendered in batches, listed in tables, and judged as failed or not."""
