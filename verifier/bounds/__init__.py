"""All intermediate bounds of a network over a region, and bounds of its outputs.

Goes through the gates in order: pre-activation bounds, octagon cuts, planes; then rows of outputs. Owes
`proof`: sound for every point of the region (for a part of it, where operands are split); −∞ where it gave
up, +∞ where the part is empty."""
