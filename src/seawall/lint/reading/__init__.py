"""Reads teams into descriptions: of Seawall, of CrewAI, and of the plain form."""
