"""From documents to a corpus: everything that was read, once each, with the account of every file."""
