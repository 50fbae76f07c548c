"""The ONNX reader. `read_onnx` is the way in; `registry.onnx_op` is where operators are added."""
