"""A package, so that its operator (scope="package") has ended when other tests begin."""
