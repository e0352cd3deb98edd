"""Print each network's validation accuracy: `python scripts/show_accuracies.py results`."""

import sys
from pathlib import Path

import pandas as pd

for log in sorted(Path(sys.argv[1]).glob("*/training.csv")):
    last = pd.read_csv(log).iloc[-1]
    print(f"{log.parent.name}: validation accuracy {last['val_accuracy']:.3f} after {int(last['epoch']) + 1} epochs")
