"""Networks, images and counts of published papers (`benchmarks`), and what recert proves on them."""
