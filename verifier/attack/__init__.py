"""Counterexamples: points that may violate what is asked.

Projected gradient descent and sampling in torch find candidates. None of them counts before onnxruntime,
running the original file, has agreed (`replay`)."""
