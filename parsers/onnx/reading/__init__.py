"""Reading ONNX nodes: the table of operators, the names in scope, one node as its reader sees it."""
