"""The network, compiled for bounding.

A `Block` of steps: gates and scans, and between them affine forms with the magnitudes that rounding needs.
Owes `propagation`: each form equals the graph's value up to its stated error, and every nonlinearity is a row
of `relaxations.GATES`. Raises `UnsupportedModel` for the rest."""
