"""The sections of `benchmarks/gpu.py`, each a module with `run(setting, report)`, and what they share.

- `setting`, `results`: what a section is given, and the file that it writes its tables to
- `processes`, `child`: every section in a process of its own
- `tests`, `rates` and `profile`, `experiment`, `grey`, `training`, `fine_tune`, `demo`: the sections
"""
