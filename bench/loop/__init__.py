"""Parts of `bench/loops.py`.

- `recordings.py`: recorded runs with their labels
- `rivals.py`: rules that others use, each one function
- `peers.py`: the loop guards of other libraries, each behind an adapter of a few lines
- `distance.py`: the edit distance that one of them spends all its time with
- `score.py`: what a rule comes to, with intervals, and the choice of options by cross-validation
- `report.py`: the tables
"""
