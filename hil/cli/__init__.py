"""The verbs that the bench adds to the haulier command."""
