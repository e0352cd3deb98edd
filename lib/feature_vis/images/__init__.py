"""Pictures as numbers and as files: arrays, colours, spectra, statistics of your own images, PNGs with notes."""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "arrays": ["check_picture"],
        "batches": [],
        "colors": ["IMAGENET_COLORS", "IMAGENET_MEAN", "IMAGENET_STD", "normalize"],
        "fourier": [],
        "image_files": ["read_image"],
        "png": ["read_notes", "read_picture", "write_picture"],
        "statistics": ["ImageStatistics", "color_matrix", "load_statistics", "magnitude_spectrum", "save_statistics"],
    },
)
