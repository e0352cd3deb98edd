"""The command line: `main` holds the options and words, and a module of its own does the work of each command."""
