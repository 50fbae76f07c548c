"""Writing one `Graph`: values, the builder that folds and simplifies, and its rewrite rules."""
