"""The figures, films and contact sheets of a run, and the page that shows what changed.

- `figures`, `film_strips`, `contact_sheet`: images to keep with the run; `palette`: their colours and the page's
- `page`: writes `results/report/index.html`, a static page that is complete in its folder, from the folder `page/`
- `sources`, `tables`: the files of a run that the page is made from, and its columns
- `thumbnails`, `probe_sheets`: small versions of pictures and of photographs, on sheets
- `pca_map`: a map of a layer's pictures
- `provenance`: how the run was made
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "contact_sheet": [],
        "figures": ["change_over_epochs", "confusion_matrix", "save_figure", "similarity_boxplot", "training_curves"],
        "film_strips": ["write_films"],
        "page": ["write_page"],
        "palette": ["PALETTE"],
        "pca_map": [],
        "probe_sheets": ["write_probe_sheets"],
        "provenance": [],
        "sources": ["NetworkFacts", "Sources"],
        "tables": ["network_table"],
        "thumbnails": ["write_thumbnails"],
    },
)
