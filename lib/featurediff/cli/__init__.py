"""The command line. `main` holds every command's options and help; a module named as the command does its work.

`workflow` finds the workflow and runs it, `results` reads a folder of results, `estimate` measures what `check` tells.
"""
