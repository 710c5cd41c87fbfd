"""What keeps the pages true: blocks that are executed, sums that are checked, links that resolve."""
