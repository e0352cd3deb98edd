"""Data sets of photographs: listed, split, decoded, and handed to a network as tensors.

- `formats`: the layouts that are understood; `listing`, `label_csv` and `mat_file` read their folders and lists
- `expected_counts`: how many photographs the published data sets have
- `split`: training, validation and test photographs, and the file that records them
- `decode`, `cache`, `torch_dataset`: from a file to a tensor
- `demo`: data sets that are drawn
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "cache": ["PictureCache"],
        "decode": ["load_rgb", "val_crop"],
        "demo": [],
        "expected_counts": ["PUBLISHED"],
        "formats": ["FORMATS", "read_samples"],
        "label_csv": [],
        "listing": ["Problem", "Sample"],
        "mat_file": [],
        "split": ["make_split", "read_split", "write_split"],
        "torch_dataset": ["PictureDataset", "photograph_batches", "train_transform", "val_transform"],
    },
)
