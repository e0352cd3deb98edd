"""What every job needs around its work: a log, a device, progress, an end, and files that are whole or absent."""
