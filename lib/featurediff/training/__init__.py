"""Fine-tuning: settings, batches, epochs and their checkpoints.

- `settings`: what can be set, and the key under which a training's checkpoints are kept; no torch
- `finetune`: the whole training, resumed from its last checkpoint; what is frozen; the log; the best epoch
- `trainer`, `schedule`, `augmentation`, `loading`: an epoch, its learning rates, its augmentation and its batches
- `evaluation`: loss, accuracy and confusion of a trained network
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "augmentation": [],
        "evaluation": ["Evaluation", "class_table", "confusion_table", "evaluate_network"],
        "finetune": ["TrainingSetup", "choose_epoch", "freeze_before", "set_up_training", "training_log"],
        "loading": [],
        "schedule": ["learning_rate", "make_optimizer"],
        "settings": ["TrainingSettings", "training_key"],
        "trainer": [],
    },
)
