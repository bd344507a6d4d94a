"""The commands, one file per noun: its branch of the tree, then what each verb does."""
