"""The order desk of `seawall demo`: agents that misbehave on purpose, once with guards that observe, once enforced.

- `world.py` is a database that counts every call. `team.py` defines the agents, `scripts.py` what they do, `provider.py`
  the model provider that plays the scripts and charges for them.
- `scene.py` defines a scene. `single_run_scenes.py` and `many_run_scenes.py` hold them, and `scenes.py` numbers them.
- `runner.py` plays a scene: it opens a `context.py` for each mode, and one of the `workloads.py` starts the runs.
  `child.py` is the process that is killed, `signers.py` has the people who approve, and `places.py` says where files
  lie.
- `results.py` has the results of a scene in one mode, `claims.py` checks them, `report.py` sums up, `table.py` draws.
"""
