"""The comparison of arms: tasks, baselines, tables; a noun, since `sgm_core.compare` has the verb."""
