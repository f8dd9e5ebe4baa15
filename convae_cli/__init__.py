"""The command `convae`: its words, its tasks, and what each verb calls."""
