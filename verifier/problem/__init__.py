"""What is asked, without the network.

A `Region` (box, balls, one half-space) that can minimise a linear function soundly; a `Question` (rows and
goals); a `Budget` (deadline, deepest method); `Settings`. Owes everyone: `Region.minimum` is never above the
true minimum, rounding included. Knows no network and no gate."""
