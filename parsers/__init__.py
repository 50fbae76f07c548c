"""From files to values: ONNX models to a `Graph`, VNN-LIB queries to a `Specification`."""
