"""The rules, one file per module of core: tables of cases and property tests, no fixtures."""
