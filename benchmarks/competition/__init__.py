"""Suites of VNN-LIB queries run as their authors run them: a process for each query."""
