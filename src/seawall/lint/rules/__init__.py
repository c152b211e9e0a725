"""The rules of the lint, by subject. Each is a function of a description. If the description does not hold what a rule needs,
the rule finds nothing.
"""
