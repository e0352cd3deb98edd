"""featurediff on the command line: look at results, render without a workflow, write and check a config.

`cli` holds the commands' options and words and imports nothing that is slow; each command's work is in the module of
its name and is imported when it runs. Nothing imports this package.
"""
