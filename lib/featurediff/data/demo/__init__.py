"""Data sets that are drawn, so that the demo needs no download: shapes, dogs and cars.

`datasets` writes them. `shapes` (with `textures`), `dogs` and `cars` draw what is seen, `scenes` what is behind it, and
`canvas` has the outlines and the antialiasing.
"""
