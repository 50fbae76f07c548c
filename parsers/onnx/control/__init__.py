"""The operators of ONNX that hold subgraphs: If, Loop and Scan."""
