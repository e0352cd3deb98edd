"""Fine-tuning: settings, batches, epochs and their checkpoints."""
