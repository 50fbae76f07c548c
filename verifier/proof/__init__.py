"""From bounds to an answer: a question about a region is proved or left undecided.

`methods` goes from the cheapest method to the deepest; `refinement` raises bounds without splitting;
`branching` is branch and bound. Owes the callers: what is proved is proved; `finished` and `why` tell the
rest."""
