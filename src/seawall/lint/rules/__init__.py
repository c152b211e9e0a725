"""The rules of the lint, by what they look at. Each is a function of a description and says nothing where it is silent."""
