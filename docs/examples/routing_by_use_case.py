"""One agent, several prompts: each question goes to the one that is made for it.

Prints:

    billing: You explain bills. Why is my payment late?
    technical: You find faults. My connection drops.
    general: You are friendly. Good morning!
"""

import promptwire

client = promptwire.Client()
for use_case, text in {"billing": "explain bills", "technical": "find faults", "general": "are friendly"}.items():
    made = client.register_prompt(f"support_{use_case}", f"You {text}. {{{{question}}}}", tags={"use_case": use_case})
    client.set_prompt_alias(made.name, "production", made.version)

WORDS = {"billing": ("bill", "payment", "invoice"), "technical": ("connection", "error", "router")}

# All in one round trip, once; after that a load is a lookup in this process.
client.load_prompts(["support_billing@production", "support_technical@production", "support_general@production"])


def use_case_of(question: str) -> str:
    asked = question.lower()
    return next((case for case, words in WORDS.items() if any(word in asked for word in words)), "general")


for question in ("Why is my payment late?", "My connection drops.", "Good morning!"):
    case = use_case_of(question)
    prompt = client.load_prompt(f"prompts:/support_{case}@production")
    print(f"{case}: {prompt.format(question=question)}")
