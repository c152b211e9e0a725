"""Reads teams into descriptions: teams of Seawall, of CrewAI, and of the plain form."""
