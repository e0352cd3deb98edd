"""The page that shows what changed: `results/report/index.html`, static, complete in its folder.

- `thumbnails`: the pictures, small, 64 on a WebP sheet, with what their PNGs say of themselves
- `probe_sheets`: the probe images that excite channels most, on sheets alike
- `tables`: the tables of a run, one row a channel, in the order the page numbers them
- `pca_map`: where the pictures of a layer lie among each other
- `provenance`: what made the run: revision, versions, devices, seconds
- `page`: all of it as scripts that a browser loads from `file://`, piece by piece, when a view needs them
"""
