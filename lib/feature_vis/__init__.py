"""Feature visualization: the input picture that excites a channel of a network.

Importing this package imports no torch, so that a workflow can read `feature_vis.recipe` cheaply; the
renderer itself is `feature_vis.render`.
"""
