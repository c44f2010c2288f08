"""Dagster assets, one module a stage: raw, dbt, publish. Assembly is in ``definitions``."""
