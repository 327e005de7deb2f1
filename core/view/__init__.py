"""What a visitor sees: the app script, its controls, charts, tables and words."""
