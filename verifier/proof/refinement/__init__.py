"""Better bounds without splitting: α-CROWN slopes, β-CROWN multipliers, clipping, multi-neuron bounds.

Slopes and multipliers are free parameters of which any value is sound; half-spaces follow from a sound bound
of an undecided row (Clip-and-Verify)."""
