"""The colours of the figures and of the page."""

__all__ = ["DARK_PALETTE", "LABEL", "PALETTE"]

# Okabe & Ito 2008: distinguishable with the common kinds of colour blindness. Their yellow is too pale on white, and
# their black is the colour of text.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")

# The same hues, light enough for a dark page.
DARK_PALETTE = ("#4FA8DC", "#F08A4B", "#3CC79B", "#E3A3C6", "#8FD0F5", "#F2BC4A")

# A grey with enough contrast to a light and to a dark page (4.5 : 1 on white).
LABEL = "#767676"
