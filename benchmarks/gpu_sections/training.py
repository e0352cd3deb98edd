"""Whether loading keeps up with training: the training of config/paper.yaml on the packed photographs."""

import os

import torch
import training

from featurediff.training.loading import threads_for_loading
from featurediff.training.settings import TrainingSettings
from gpu_sections.results import Report
from gpu_sections.setting import Setting, end_blocks


def run(setting: Setting, report: Report) -> None:
    device = setting.torch_device()
    if not setting.rehearse:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    settings = TrainingSettings(
        epochs=1 + setting.number(6, 1),
        train_from=next(iter(end_blocks(setting.network()))),
        batch_size=setting.number(100, 4),
        size=setting.size(400, 32),
        rotation=30,
        cache_mb=4000,
    )
    found: dict[str, training.Measured] = {}
    with threads_for_loading(settings, device) as workers:
        report.add(
            f"{setting.model} from `{settings.train_from}` on, crops of {settings.size} px, batches of "
            f"{settings.batch_size}, {workers} processes load. The packed photographs are smaller than the data sets' "
            "own, so that decoding them takes less.",
            "",
        )
        count = 8 if setting.rehearse else None
        for name, value in training.measure(setting.photographs(), count, setting.model, settings, workers, device):
            found[name] = value
            report.last(training.table(found, device))
    report.keep()
