"""Every recurrent form of ONNX becomes one `Scan` here."""
