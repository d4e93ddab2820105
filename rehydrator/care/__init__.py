"""Looking after the stores on an operator's word: remirror, reconcile, doctor."""
