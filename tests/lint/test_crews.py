"""Ordinary small crews, and which of their roles a reader would say overlap: none but those that are told the same."""

from __future__ import annotations

import pytest

from seawall.lint import AgentDescription, TeamDescription
from seawall.lint.linting import lint_team

CREWS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "starter": (
        ("researcher", "Senior researcher on {topic}", "Find what is new about {topic}. You have years of experience and a clear and concise style. Research {topic} and return a list of ten points."),
        ("analyst", "Reporting analyst on {topic}", "Turn the findings on {topic} into a report. You have an eye for detail and a clear and concise style. Expand each point into a section of the report."),
    ),
    "languages": (
        ("translator_de", "German translator", "Translate the product text into German. Keep names and units as they are."),
        ("translator_fr", "French translator", "Translate the product text into French. Keep names and units as they are."),
        ("translator_es", "Spanish translator", "Translate the product text into Spanish. Keep names and units as they are."),
    ),
    "one word": (
        ("stock_analyst", "Stock analyst", "Analyse the stock market and recommend three stocks with reasons."),
        ("bond_analyst", "Bond analyst", "Analyse the bond market and recommend three bonds with reasons."),
        ("writer", "Letter writer", "Write the monthly letter to investors."),
    ),
    "invoices and contracts": (
        ("invoice_clerk", "Invoice clerk", "Extract dates, amounts and parties from invoices and store them in the ledger."),
        ("contract_clerk", "Contract clerk", "Extract dates, amounts and parties from contracts and store them in the archive."),
        ("auditor", "Auditor", "Compare the ledger with the archive and list what does not match."),
    ),
    "lead names": (
        ("lead", "Project lead", "You coordinate the team. The researcher collects market data, the analyst calculates forecasts, and the writer writes the report. Decide who works next and check that nothing is missing."),
        ("researcher", "Researcher", "Collect market data from public sources."),
        ("analyst", "Analyst", "Calculate forecasts from the market data."),
        ("writer", "Writer", "Write the report from the forecasts."),
    ),
    "support": (
        ("triage", "Triage agent", "Read each ticket and decide whether it goes to billing or to technical support."),
        ("billing", "Billing agent", "Answer questions on invoices and payments. Decide whether a refund is due."),
        ("technical", "Technical support agent", "Answer questions on installation and errors. Decide whether a bug report is needed."),
    ),
    "software": (
        ("architect", "Software architect", "Design the structure of the application and its interfaces."),
        ("developer", "Developer", "Write the code of the application from the design."),
        ("tester", "Tester", "Write and run tests for the code, and report bugs."),
        ("reviewer", "Code reviewer", "Review the code for security and readability. Approve the code or ask for changes."),
    ),
    "trip": (
        ("city_picker", "City expert", "Compare cities by weather, prices and events, and pick the best one for the trip."),
        ("guide", "Local guide", "Collect attractions, customs and hints for the chosen city."),
        ("concierge", "Travel concierge", "Make a day by day itinerary with budget and packing list from the guide's notes."),
    ),
    "hiring": (
        ("screener", "CV screener", "Read applications and rate candidates against the job description."),
        ("interviewer", "Interview planner", "Prepare interview questions for each candidate on the short list."),
        ("recruiter", "Recruiter", "Write offers and rejections to candidates after the interviews. Keep a clear and friendly tone."),
    ),
    "twins": (
        ("market_scout", "Market researcher", "Research competitors, their prices and products, and write a summary of the market."),
        ("analyst", "Market analyst", "Research the competitors and their products and prices. Write the summary of the market."),
        ("designer", "Designer", "Design the logo."),
    ),
    "two who answer": (
        ("clerk", "Clerk", "Look up the order and write the reply to the customer."),
        ("helper", "Helper", "Find the order and write the customer a reply. Translate it if needed."),
        ("cook", "Cook", "Prepare lunch."),
    ),
}  # fmt: skip
OVERLAP = {"twins": ("analyst", "market_scout"), "two who answer": ("clerk", "helper")}


def find_overlaps(crew: tuple[tuple[str, str, str], ...]) -> list[tuple[str, ...]]:
    agents = tuple(AgentDescription(name=name, role=role, instructions=told) for name, role, told in crew)
    found = lint_team(TeamDescription(name="crew", agents=agents))
    return [each.agents for each in found if each.code in ("SW101", "SW102", "SW201")]


@pytest.mark.parametrize("name", CREWS)
def test_a_crew_overlaps_where_a_reader_would_say_so_and_nowhere_else(name: str) -> None:
    assert find_overlaps(CREWS[name]) == ([OVERLAP[name]] if name in OVERLAP else [])


def test_what_a_lead_is_told_of_its_colleagues_is_no_duty_of_its_own() -> None:
    lead, *others = CREWS["lead names"]
    alone = (
        ("lead", "Project lead", "Collect market data, and calculate forecasts from the market data."),
        *others,
    )

    assert find_overlaps((lead, *others)) == []
    assert ("analyst", "lead") in find_overlaps(alone)
