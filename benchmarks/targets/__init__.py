"""How `check_targets.py` measures each number that the default bundle has to reach."""
