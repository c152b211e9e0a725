"""Parts of `bench/loops.py`.

- `recordings.py`: recorded runs with their labels
- `rivals.py`: rules that others use, each one function
- `score.py`: what a rule comes to, with intervals, and the choice of options by cross-validation
- `report.py`: the tables
"""
