"""One pass of bounds through the network.

Interval arithmetic, backward linear bound propagation (CROWN), forward linear bounds, zonotopes. Each takes
the linear bounds of the gates as given and owes `bounds` a function that is never above what is bounded, for
any gate bounds that are sound."""
