"""What is measured about recert, one package an idea; every command prints markdown for docs.

`engine`           how fast bounds are: against recorded and live peers, by length, size, batch, threads
`relaxations`      how tight and how fast the planes of gates are, and of what the reader composes of gates
`published`        certified counts and margins on the networks of published papers
`competition`      verdicts and times of the suites for VNN-LIB
`recorded_bounds`  bounds bit for bit: that a change of structure changed none
"""
