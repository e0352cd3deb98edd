"""Pictures as numbers and as files: colours, spectra, statistics of images, PNGs."""
