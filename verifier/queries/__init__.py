"""VNN-LIB queries: sat with a witness that satisfies the query exactly, unsat, or unknown."""
