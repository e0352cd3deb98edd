"""Networks whose change has a known cause: what is hidden in the training photographs, and the training itself."""
