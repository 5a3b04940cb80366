"""What does an agent really get? Aliases, versions, content, and where it came from.

Prints:

    newest: version 2, aliases: staging
    production is version 1
    v1 - First - aliases: production - tags: {'use_case': 'technical_support'}
    v2 - 5G and IoT - aliases: staging - tags: {'use_case': 'technical_support'}
    31 characters: Help {{customer}} step by...
    content is what its digest says: True
    the store says the same: True
    connected and fresh: True
    prompt 'telco' has no alias 'prodction'; it has production, staging
"""

import promptwire

NAME = "telco"
client = promptwire.Client()
for number, (text, message, alias) in enumerate(
    [("Help {{customer}} step by step.", "First", "production"), ("Help with 5G.", "5G and IoT", "staging")], 1
):
    client.register_prompt(NAME, text, message, {"use_case": "technical_support"})
    client.set_prompt_alias(NAME, alias, number)

newest = client.load_prompt(f"prompts:/{NAME}@latest")
print(f"newest: version {newest.version}, aliases: {', '.join(newest.aliases) or 'none'}")
production = client.load_prompt(f"prompts:/{NAME}@production")
print(f"production is version {production.version}")

for version in client.search_prompts(f"name = '{NAME}'", order_by=["version"]):
    aliases = ", ".join(version.aliases) or "none"
    print(f"v{version.version} - {version.commit_message} - aliases: {aliases} - tags: {dict(version.tags)}")

print(f"{len(production.template)} characters: {production.template[:25]}...")
# The digest was checked when the version arrived; two processes with the same digest have the same content.
print("content is what its digest says:", production.digest.startswith("sha256:"))
strong = client.load_prompt(f"{NAME}@production", consistency="strong")  # asks the store, past every cache
print("the store says the same:", strong.digest == production.digest)

client.wait_for_ready([f"{NAME}@production"])
status = client.status()  # calls nobody
print("connected and fresh:", status.connected and status.fresh)

try:
    client.load_prompt(f"{NAME}@prodction")
except promptwire.AliasNotFoundError as error:
    print(error)
