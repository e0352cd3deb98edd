"""What every job needs around its work: a log, a device, progress, an end, and files that are whole or absent.

- `job`: the frame of every script; `progress` and `watchdog` watch it, `os_errors` explains the machine's faults
- `tables`, `csv_injection`: tables on disk
- `child_process`: what another Python is started with
- `code_digest`: the version of the code that made a result
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "child_process": ["child_environment"],
        "code_digest": [],
        "csv_injection": [],
        "job": ["log"],
        "os_errors": ["check_times", "check_writable", "describe_os_error"],
        "progress": ["note_progress"],
        "tables": ["read_table", "write_table"],
        "watchdog": ["watch"],
    },
)
