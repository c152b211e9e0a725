"""Parts of `bench/lint.py`.

- `teams.py`: teams with their labels
- `rivals.py`: TF-IDF cosine and Jaccard
- `regression.py`: the logistic regression, its strength and the threshold, chosen without the teams they are tried on
- `measures.py`: AUC, precision and recall, with intervals
- `report.py`: the tables
"""
