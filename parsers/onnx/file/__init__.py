"""The file and its runtime: loading, free dimensions, sample inputs, what onnxruntime answers."""
