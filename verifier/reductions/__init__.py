"""A problem made smaller, and its counterexamples brought back: the reductions of cvxpy (Agrawal et al.
2018).

A list of them stands between what is asked and what is bounded and attacked. What each owes:

    apply   if an input satisfies a case of the old problem, an input satisfies a case of the new one;
            so where the new problem is refuted, the old one is
    back    takes an input of the new problem to the old one's, in its shapes and types

Nothing is owed the other way: whether a point that came back is a counterexample is decided by onnxruntime,
running the original file, and exact arithmetic."""
