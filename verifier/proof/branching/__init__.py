"""Branch and bound, over the operands of gates and over the inputs.

Owes `methods` a lower bound that is valid whenever the search is stopped."""
