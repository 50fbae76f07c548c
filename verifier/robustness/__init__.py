"""Is the class of these samples constant near them, and how far?

Verdicts per sample: certified, broken, misclassified, unknown. A certified ball and a confirmed point of
another class inside it never both: that is an error of its own, not a verdict."""
