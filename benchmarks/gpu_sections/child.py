"""The process of one section: python -m gpu_sections.child NAME NUMBER PARTS SETTING"""

import importlib
import sys
import traceback
from pathlib import Path

from feature_vis.files import write_text
from gpu_sections.processes import REASON
from gpu_sections.results import Report, Results
from gpu_sections.setting import NotPossible, Setting


def main(name: str, number: str, parts: str, given: str) -> None:
    setting = Setting.from_json(given)
    report = Report(Results(setting.out / "results.md", Path(parts)), int(number), name.replace("_", " ").capitalize())
    try:
        importlib.import_module(f"gpu_sections.{name}").run(setting, report)
    except NotPossible as error:
        print(error, flush=True)
        write_text(setting.work / REASON, str(error))
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        write_text(setting.work / REASON, f"failed: {type(error).__name__}: {first[:200]}")
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
