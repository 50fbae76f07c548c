"""The recurrent operators of ONNX, each written as its equations in the standard's letters."""
