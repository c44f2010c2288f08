"""ATOM on Dagster: an open, rerunnable measurement of the open-language-model ecosystem."""

__version__ = "0.1.0"
