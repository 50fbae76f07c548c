"""Functions of one variable: pieces on which they are convex or concave, and the curves with one
inflection."""
