"""Parts of `bench/loops_hard.py`.

- `kinds.py`: the kinds of loops and of good work, as `bench/loop_kinds.toml` describes them, and which are set aside
- `texts.py`: what a template of a description stands for
- `script.py`: a kind and a seed become a script: what each agent asks, and what comes of it
- `play.py`: a script through the real runtime
- `rules.py`: one-line rules and other libraries on a script
- `report.py`: figures, tables and bars
"""
