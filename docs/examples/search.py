"""Finding prompts: by what they are for, by name, by what they cost, by where an alias points.

Prints:

    for technical support: telco_support_technical v2 v1
    in production: telco_support_billing v1, telco_support_technical v1
    named telco_support_...: telco_support_billing, telco_support_technical
    newest versions with more than 300 tokens: telco_support_technical v2
    an error shows where: True
"""

import promptwire

client = promptwire.Client()
for name, use_case, tokens in (
    ("telco_support_technical", "technical_support", 250),
    ("telco_support_technical", "technical_support", 310),
    ("telco_support_billing", "billing", 180),
    ("content_blog", "content", 120),
):
    client.register_prompt(name, "{{question}}", tags={"use_case": use_case, "token_count": str(tokens)})
client.release("First", {"telco_support_technical@production": 1, "telco_support_billing@production": 1})

found = list(client.search_prompts("tags.use_case = 'technical_support'"))  # newest first
print("for technical support:", found[0].name, *(f"v{version.version}" for version in found))

live = client.search_prompts("alias = 'production'", order_by=["name"])
print("in production:", ", ".join(f"{version.name} v{version.version}" for version in live))

named = client.search_prompts("name LIKE 'telco_support_%' AND latest = true", order_by=["name"])
print("named telco_support_...:", ", ".join(version.name for version in named))

# Tags are texts: what is a number is compared here.
long = [one for one in client.search_prompts("latest = true") if int(one.tags["token_count"]) > 300]
print("newest versions with more than 300 tokens:", ", ".join(f"{one.name} v{one.version}" for one in long))

try:
    list(client.search_prompts("tags.use_case = "))
except promptwire.InvalidArgumentError as error:
    print("an error shows where:", "column" in str(error))
