"""The first ten minutes: register, load, point aliases, search, go back.

Prints:

    registered telco_support_technical version 1
    production: You are a support engineer. Help Ana step by step.
    newest: version 2, tags {'token_count': '310', 'use_case': 'technical_support'}
    production is version 2 now
    and version 1 again
    telco_support_technical v2: 5G and IoT
    telco_support_technical v1: First
"""

import promptwire

client = promptwire.Client()  # PROMPTWIRE_TARGET, or localhost:50051
NAME = "telco_support_technical"

first = client.register_prompt(
    NAME,
    "You are a support engineer. Help {{customer}} step by step.",
    commit_message="First",
    tags={"use_case": "technical_support", "token_count": "250"},
)
print(f"registered {first.name} version {first.version}")

client.set_prompt_alias(NAME, "production", first.version)
print("production:", client.load_prompt(f"prompts:/{NAME}@production").format(customer="Ana"))

second = client.register_prompt(
    NAME,
    "You are a senior support engineer. Help {{customer}} with 5G and IoT.",
    commit_message="5G and IoT",
    tags={"use_case": "technical_support", "token_count": "310"},
)
newest = client.load_prompt(f"prompts:/{NAME}@latest")
print(f"newest: version {newest.version}, tags {dict(sorted(newest.tags.items()))}")

client.set_prompt_alias(NAME, "production", second.version)
print(f"production is version {client.load_prompt(f'{NAME}@production').version} now")

client.rollback_prompt_alias(NAME, "production", reason="answers got longer")
print(f"and version {client.load_prompt(f'{NAME}@production').version} again")

for version in client.search_prompts("tags.use_case = 'technical_support'"):
    print(f"{version.name} v{version.version}: {version.commit_message}")
