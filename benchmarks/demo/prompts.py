"""What the demo registers: four prompts of a telephone company's support, and how `@production` moves among their
versions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

ALIAS: Final = "production"


@dataclass(frozen=True, slots=True)
class Draft:
    """A version to register."""

    text: str
    message: str
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Move:
    """One flip of `@production`."""

    name: str
    version: int
    what: str
    """`promote` or `roll back`."""
    reason: str


CONCISE: Final = "telco_support_concise"
DETAILED: Final = "telco_support_detailed"
TECHNICAL: Final = "telco_support_technical"
RETENTION: Final = "telco_support_retention"

PROMPTS: Final[dict[str, list[Draft]]] = {
    CONCISE: [
        Draft(
            "You answer customers of {{company}} by text message.\n"
            "Customer: {{customer_name}}, plan {{plan}}.\n"
            "Question: {{question}}\n\n"
            "Answer in at most two sentences. No greeting, no sign-off. If the answer needs the account opened, say "
            "that an agent will call back within {{callback_hours}} hours, and nothing else.",
            "First version: two sentences, for SMS and chat previews",
            {"use_case": "simple_question", "cost": "low"},
        ),
    ],
    DETAILED: [
        Draft(
            "You are a support agent of {{company}} and have time for this customer.\n"
            "Customer: {{customer_name}}, with us since {{customer_since}}, plan {{plan}}.\n"
            "Question: {{question}}\n\n"
            "1. Say in one sentence what you understood.\n"
            "2. Answer completely: what happens, when, and what it costs to the cent, with tax.\n"
            "3. Name the page or menu where the customer can see the same.\n"
            "4. Close with the one thing to watch for on the next bill.\n"
            "Never quote a price that is not in the facts below.\n\nFacts:\n{{facts}}",
            "First version: complete answers for billing and contract questions",
            {"use_case": "complex_question", "cost": "high"},
        ),
        Draft(
            "You are a support agent of {{company}} and have time for this customer.\n"
            "Customer: {{customer_name}}, with us since {{customer_since}}, plan {{plan}}.\n"
            "Question: {{question}}\n\n"
            "Start with the answer in one sentence. Then explain: what happens, when, and what it costs to the cent, "
            "with tax.\n"
            "Name the page or menu where the customer can see the same, and the one thing to watch for on the next "
            "bill.\n"
            "Quote only prices from the facts below; where one is missing, say who will call back with "
            "it.\n\nFacts:\n{{facts}}",
            "Answer first: people stopped reading at the summary of their own question",
            {"use_case": "complex_question", "cost": "medium"},
        ),
    ],
    TECHNICAL: [
        Draft(
            "You are a technical support engineer of {{company}}.\n"
            "Customer: {{customer_name}}. Device: {{device}}. Line: {{line_type}}.\n"
            "Problem: {{problem}}\n\n"
            "Work from the wall to the screen: power, cable, lights of the router, line, Wi-Fi, device. One step a "
            "message; wait for what the customer sees. After four steps without success open a ticket, and read its "
            "number out.",
            "First version: basic troubleshooting",
            {"use_case": "technical_support", "cost": "medium"},
        ),
        Draft(
            "You are a senior technical support engineer of {{company}}.\n"
            "Customer: {{customer_name}}. Device: {{device}}. Line: {{line_type}}.\n"
            "Problem: {{problem}}\nMeasured on our side in the last 15 minutes:\n{{line_measurements}}\n\n"
            "If the measurements already show the fault, say so and skip every step that could not matter. Otherwise "
            "work from the wall to the screen, one step a message. For 5G ask for the band and the signal in dBm "
            "before anything else; for an IoT SIM check APN and roaming first. After three steps without success "
            "book an engineer for one of {{visit_slots}}.",
            "Uses line measurements; adds 5G and IoT",
            {"use_case": "technical_support", "cost": "high"},
        ),
        Draft(
            "You are a senior technical support engineer of {{company}}.\n"
            "Customer: {{customer_name}}. Device: {{device}}. Line: {{line_type}}.\n"
            "Problem: {{problem}}\nMeasured on our side in the last 15 minutes:\n{{line_measurements}}\n\n"
            "If the measurements already show the fault, say so and skip every step that could not matter. Otherwise "
            "two steps a message, cheapest first. Ask about radio (band, signal in dBm) on 5G lines only, and about "
            "APN and roaming for IoT SIMs only. After three steps without success book an engineer for one of "
            "{{visit_slots}}; if there is none, say so and promise a call.",
            "Asks about radio on radio lines only; two steps a message",
            {"use_case": "technical_support", "cost": "medium"},
        ),
    ],
    RETENTION: [
        Draft(
            "You speak for {{company}} with a customer who wants to leave.\n"
            "Customer: {{customer_name}}, with us since {{customer_since}}, pays {{monthly_price}} a month.\n"
            "Reason given: {{reason}}\n\n"
            "Take the reason seriously and repeat it in your own words. Offer exactly one thing out of {{offers}}: "
            "the one that answers this reason. If it is declined, confirm the end of the contract and its date at "
            "once; do not ask again.",
            "First version: one offer, no pressure",
            {"use_case": "retention", "cost": "medium"},
        ),
        Draft(
            "You speak for {{company}} with a customer who wants to leave.\n"
            "Customer: {{customer_name}}, with us since {{customer_since}}, pays {{monthly_price}} a month.\n"
            "Reason given: {{reason}}\nUse of the last three months:\n{{usage}}\n\n"
            "Compare what is paid with what is used before anything is offered. If a smaller plan would do, say so, "
            "even though it earns less. Otherwise offer one thing out of {{offers}}. If it is declined, confirm the "
            "end of the contract and its date.",
            "Looks at what the customer uses before it offers anything",
            {"use_case": "retention", "cost": "high"},
        ),
    ],
}

_MOVES: Final = (
    Move(TECHNICAL, 2, "promote", "line measurements are in"),
    Move(TECHNICAL, 1, "roll back", "it asks for dBm on copper lines"),
    Move(RETENTION, 2, "promote", "won the test of last week"),
    Move(TECHNICAL, 3, "promote", "copper lines are told apart"),
    Move(RETENTION, 1, "roll back", "usage data is a day late"),
    Move(DETAILED, 2, "promote", "answer first"),
    Move(TECHNICAL, 2, "roll back", "two steps a message confuse"),
    Move(DETAILED, 1, "roll back", "a price without tax was quoted"),
    Move(TECHNICAL, 3, "promote", "shown to confuse nobody"),
    Move(TECHNICAL, 1, "roll back", "no visit slots in region north"),
)
"""Ends where it begins, so that it can be gone through again."""


def moves(count: int) -> Iterator[Move]:
    return islice(cycle(_MOVES), count)


def references() -> list[str]:
    return [f"prompts:/{name}@{ALIAS}" for name in PROMPTS]


def short(name: str) -> str:
    return name.removeprefix("telco_support_")
